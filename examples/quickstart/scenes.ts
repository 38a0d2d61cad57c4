/**
 * The first scenes: server, owner, service, agents, and the two refusals of the founding story.
 */
import { type Facts, type Player, PlayerRefused } from "./conversation.ts";
import { expect, type Shown } from "./playbill.ts";
import type { JsonFacts, Stage } from "./stage.ts";

export const TRUST_DOMAIN = "acme.test";
export const OWNER = "alice";

/** What the orchestrator may do; each child gets a part of it. */
const ORCHESTRATOR_SCOPE = ["read:transactions", "write:transactions", "write:ledger", "write:reports"];

/** The server's addresses. */
export interface ServerPlace {
  readonly url: string;
  readonly stopUrl: string;
}

/** An agent on the stage. */
export interface Agent {
  readonly player: Player;
  readonly id: string;
  readonly agentId: string;
}

/** The payment agent, with the write that the three questions are asked about. */
export interface PaymentAgent extends Agent {
  readonly eventId: string;
  readonly row: number;
}

export async function openServer(stage: Stage): Promise<Shown<ServerPlace>> {
  const ready = await stage.startServer(TRUST_DOMAIN);
  const value = { url: String(ready.url), stopUrl: String(ready.stop_url) };
  return {
    detail: `${value.url}, TLS 1.3, a data directory of its own; the unseal key is outside it`,
    row: ["One process, one directory", `trust domain ${TRUST_DOMAIN}`],
    value,
  };
}

export async function createOwner(stage: Stage): Promise<Shown<string>> {
  const { owner_id } = await stage.warden("owner", "create", OWNER);
  return {
    detail: `${OWNER} is ${owner_id}; her private key stays in her configuration directory`,
    row: ["Every chain starts at an owner", String(owner_id)],
    value: String(owner_id),
  };
}

export async function openFinance(stage: Stage): Promise<Shown<string>> {
  const { ticket } = await stage.warden("verifier", "ticket", "--name", "finance-api", "--ttl", "1h");
  const ready = await stage.startFinance(String(ticket));
  return {
    detail: `${ready.url}, SQLite rows behind verifyAgent`,
    row: ["A real service with its own database", "finance-api, holds a lease"],
    value: String(ready.url),
  };
}

export async function enterOrchestrator(stage: Stage): Promise<Shown<Agent>> {
  const scope = ORCHESTRATOR_SCOPE.flatMap((atom) => ["--scope", atom]);
  const place = ["--owner", OWNER, "--path", "team/finance", "--name", "orchestrator", "--ttl", "8h"];
  const { ticket } = await stage.warden("agent", "ticket", ...place, ...scope);
  const player = stage.enter("orchestrator.ts", { TRUSTWARDEN_TICKET: String(ticket) });
  const value = { player, ...identityOf(await player.ask("introduce")) };
  return {
    detail: `${value.id}\nhad this identity before it did anything`,
    row: ["Identity at instantiation", "a certificate, not an API key in a database"],
    value,
  };
}

export async function enterPaymentAgent({
  stage,
  orchestrator,
  finance,
}: {
  readonly stage: Stage;
  readonly orchestrator: Agent;
  readonly finance: string;
}): Promise<Shown<PaymentAgent>> {
  const agent = await enterChild({ stage, orchestrator, file: "payment-agent.ts" });
  const read = await agent.player.ask("read", { url: finance });
  const written = await agent.player.ask("write", { url: finance });
  expect(read.status === 200 && Number(read.rows) > 0, "the payment agent reads rows");
  expect(
    written.status === 201 && written.journal_status === 201,
    "the payment agent writes a row and its entry",
  );
  return {
    detail: `child with 3 of the 4 permissions: read ${read.rows} rows, wrote row ${written.row} and its journal entry`,
    row: ["A child gets a strict subset", "read, write, ledger; not reports"],
    value: { ...agent, eventId: String(written.event_id), row: Number(written.row) },
  };
}

export async function refuseDelete({
  payment,
  finance,
  stage,
}: {
  readonly payment: PaymentAgent;
  readonly finance: string;
  readonly stage: Stage;
}): Promise<Shown<undefined>> {
  const { status, event_id } = await payment.player.ask("erase", { url: finance, row: payment.row });
  expect(status === 403, `delete:transactions is denied, and not ${status}`);
  const { event } = await stage.warden("ledger", "show", String(event_id));
  const reasons = reasonsOf(event);
  const read = await payment.player.ask("read", { url: finance });
  expect(Number(read.rows) >= payment.row, "the row is still there");
  return {
    detail: `its delete:transactions on row ${payment.row}: 403, ${reasons}; the row is still there, the attempt is recorded`,
    row: ["Permission at every action", `delete:transactions denied (${reasons})`],
    value: undefined,
  };
}

export async function enterFetcher({
  stage,
  orchestrator,
  finance,
}: {
  readonly stage: Stage;
  readonly orchestrator: Agent;
  readonly finance: string;
}): Promise<Shown<Agent>> {
  const value = await enterChild({ stage, orchestrator, file: "fetcher.ts" });
  const read = await value.player.ask("read", { url: finance });
  const write = await value.player.ask("write", { url: finance });
  expect(read.status === 200, "the fetcher reads");
  expect(write.status === 403, "the fetcher may not write");
  return {
    detail: `child with read:transactions: read ${read.rows} rows, its write is denied`,
    row: ["Another child, another subset", "reads; may not write"],
    value,
  };
}

export async function refuseRogue({
  stage,
  orchestrator,
}: {
  readonly stage: Stage;
  readonly orchestrator: Agent;
}): Promise<Shown<undefined>> {
  const before = await countInstances(stage);
  const refusal = await enterChild({ stage, orchestrator, file: "rogue.ts" }).then(
    () => undefined,
    (error: unknown) => (error instanceof PlayerRefused ? error.facts : Promise.reject(error)),
  );
  expect(
    refusal?.code === "scope_not_subset",
    `the rogue is refused as scope_not_subset, not ${refusal?.code}`,
  );
  expect(refusal.counterexample === "delete:transactions", "the refusal names delete:transactions");
  expect((await countInstances(stage)) === before, "no identity was made");
  return {
    detail:
      "refused at creation, although its parent signed the grant: it could do delete:transactions, its parent not",
    row: ["No child exceeds its parent", "scope_not_subset, counter-example delete:transactions"],
    value: undefined,
  };
}

/** Number of instances that the registry knows, live or not. */
export async function countInstances(stage: Stage): Promise<number> {
  const { agents } = await stage.warden("agent", "list");
  if (!Array.isArray(agents)) throw new Error("a list of agents was expected");
  return agents.reduce((sum: number, agent: JsonFacts) => sum + lengthOf(agent.instances), 0);
}

/** A child in its own process asks, the orchestrator in its own grants; the request and the grant are no secrets. */
async function enterChild({
  stage,
  orchestrator,
  file,
}: {
  readonly stage: Stage;
  readonly orchestrator: Agent;
  readonly file: string;
}): Promise<Agent> {
  const player = stage.enter(file);
  const { request = "" } = await player.ask("request");
  const { grant = "" } = await orchestrator.player.ask("grant", { request });
  return { player, ...identityOf(await player.ask("complete", { grant })) };
}

function identityOf({ id, agent_id }: Facts): Pick<Agent, "id" | "agentId"> {
  return { id: String(id), agentId: String(agent_id) };
}

function reasonsOf(event: unknown): string {
  if (typeof event !== "object" || event === null || !("reasons" in event)) return "";
  return Array.isArray(event.reasons) ? event.reasons.join(", ") : "";
}

function lengthOf(value: unknown): number {
  return Array.isArray(value) ? value.length : 0;
}
