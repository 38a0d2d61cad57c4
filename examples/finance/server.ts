/**
 * A small finance API that agents visit: real rows in its own database, behind `verifyAgent`.
 *
 * The route table is all that it says about permission: which request is which action on which resource. Whether an
 * agent may do it is decided by TrustWarden before the handler runs; nothing in here checks a key, a role or a token.
 *
 *   TRUSTWARDEN_TICKET=… node examples/finance/server.ts [--port N] [--database FILE] [--log FILE]
 *
 * Prints one line of JSON when it is ready. The log gets one line for each action that was carried out.
 */
import { openSync, writeSync } from "node:fs";
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer } from "node:https";
import { parseArgs } from "node:util";
import { type Visit, verifyAgent } from "trustwarden";
import { FinanceDatabase } from "./database.ts";

const RESOURCE = "sqlite://finance-db";

/** Which request is which action on which resource. */
const ROUTES = [
  { method: "GET", path: "/transactions", action: "read:transactions", resource: `${RESOURCE}/transactions` },
  {
    method: "GET",
    path: "/transactions/{id}",
    action: "read:transactions",
    resource: `${RESOURCE}/transactions/{id}`,
  },
  {
    method: "POST",
    path: "/transactions",
    action: "write:transactions",
    resource: `${RESOURCE}/transactions`,
  },
  {
    method: "DELETE",
    path: "/transactions/{id}",
    action: "delete:transactions",
    resource: `${RESOURCE}/transactions/{id}`,
  },
  { method: "POST", path: "/journal", action: "write:ledger", resource: `${RESOURCE}/journal` },
];

/** What a handler answers with. */
interface Answer {
  readonly status: number;
  readonly body: object;
}

const { values: options } = parseArgs({
  options: {
    port: { type: "string", default: "0" },
    database: { type: "string", default: ":memory:" },
    log: { type: "string" },
  },
});
const database = new FinanceDatabase(options.database);
const logFile = options.log === undefined ? undefined : openSync(options.log, "a", 0o600);
const agents = await verifyAgent({ routes: ROUTES });
const server = createServer(agents.tlsOptions(), agents.handler(visited));
server.listen(Number(options.port), "127.0.0.1", () => {
  const address = server.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  process.stdout.write(`${JSON.stringify({ ready: true, url: `https://127.0.0.1:${port}` })}\n`);
});
for (const signal of ["SIGTERM", "SIGINT"]) process.once(signal, () => void stop());

/** Runs only for what was decided, recorded and is still live. */
async function visited(_request: IncomingMessage, response: ServerResponse, visit: Visit): Promise<void> {
  const { status, body } = carryOut(visit);
  logAction(visit, status);
  response.writeHead(status, { "content-type": "application/json" });
  response.end(`${JSON.stringify(body)}\n`);
}

function carryOut(visit: Visit): Answer {
  const id = Number(visit.params.id);
  switch (visit.action) {
    case "read:transactions":
      return visit.params.id === undefined ? listTransactions() : readTransaction(id);
    case "write:transactions":
      return addTransaction(visit);
    case "write:ledger":
      return addJournalEntry(visit);
    case "delete:transactions":
      return { status: database.deleteTransaction(id) ? 200 : 404, body: { deleted: id } };
    default:
      return { status: 404, body: { error: "no such action" } };
  }
}

function listTransactions(): Answer {
  return { status: 200, body: { transactions: database.listTransactions() } };
}

function readTransaction(id: number): Answer {
  const found = Number.isSafeInteger(id) ? database.findTransaction(id) : undefined;
  return found === undefined ? { status: 404, body: { error: "no such row" } } : { status: 200, body: found };
}

function addTransaction({ body }: Visit): Answer {
  const { account, amountCents, memo } = parseBody(body);
  if (typeof account !== "string" || typeof memo !== "string" || !Number.isSafeInteger(amountCents))
    return { status: 400, body: { error: "account, amountCents and memo are needed" } };
  const id = database.addTransaction({ account, amountCents: Number(amountCents), memo });
  return { status: 201, body: { id } };
}

function addJournalEntry({ body }: Visit): Answer {
  const { transactionId, text } = parseBody(body);
  if (!Number.isSafeInteger(transactionId) || typeof text !== "string")
    return { status: 400, body: { error: "transactionId and text are needed" } };
  const found = database.findTransaction(Number(transactionId));
  if (found === undefined) return { status: 404, body: { error: "no such row" } };
  return { status: 201, body: { id: database.addJournalEntry({ transactionId: found.id, text }) } };
}

/** An empty object for anything that is not a JSON object; the caller then answers 400. */
function parseBody(body: Uint8Array): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(Buffer.from(body).toString("utf8"));
    return typeof value === "object" && value !== null ? { ...value } : {};
  } catch {
    return {};
  }
}

/** One line an action, with the machine's clock at the moment after it was done. */
function logAction({ agent, action, resource, receipt }: Visit, status: number): void {
  if (logFile === undefined) return;
  const line = {
    at_ms: Date.now(),
    agent_id: agent.agentId,
    action,
    resource,
    status,
    event_id: receipt.event_id,
  };
  writeSync(logFile, `${JSON.stringify(line)}\n`);
}

async function stop(): Promise<void> {
  server.close();
  server.closeAllConnections();
  await agents.close();
  database.close();
}
