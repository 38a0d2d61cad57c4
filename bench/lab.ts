/**
 * A real server and a real service, each a process of its own, with an owner who may enrol agents.
 *
 * The server is `warden up`. The service (`guard-service.ts`) answers the same question twice: behind `verifyAgent`,
 * and bare, over the same TLS. Everything lies in one directory that the caller removes.
 */
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { promisify } from "node:util";
import { formatOwnerKeyid, issueTicket } from "@trustwarden/core/agentid/enrolment.ts";
import { formatTicketValue } from "@trustwarden/core/agentid/enrolment-value.ts";
import { ownerAnswer, ticketAnswer } from "@trustwarden/core/api/identity.ts";
import { discovery } from "@trustwarden/core/api/ledger.ts";
import { encodeBase64url } from "@trustwarden/core/bytes.ts";
import { encodeSpki } from "@trustwarden/core/crypto.ts";
import { formatUlid } from "@trustwarden/core/id.ts";
import type { JsonObject } from "@trustwarden/core/json.ts";
import { parseScope } from "@trustwarden/core/scope.ts";
import type { Signer } from "@trustwarden/core/signer.ts";
import { systemRuntime } from "../sdk/runtime.ts";
import { createSigner } from "./domain.ts";
import { observation } from "./observe.ts";
import { askOperator, end } from "./warden.ts";

const run = promisify(execFile);
const TRUST_DOMAIN = "bench.test";
const READY_TIMEOUT_MS = 20_000;
const WARDEN = join(import.meta.dirname, "..", "cli", "main.ts");
const SERVICE = join(import.meta.dirname, "guard-service.ts");

/** Where the service listens. */
export interface ServiceAddress {
  /** Behind `verifyAgent`. */
  readonly guarded: string;
  /** The same work for anybody. */
  readonly bare: string;
}

/** The processes, running. */
export interface Lab {
  /** A fresh ticket for an instance of an agent. */
  readonly ticket: (name: string) => string;
  readonly startService: () => Promise<ServiceAddress>;
  /** Copies the ledger as it is now. @param directory - new or empty. */
  readonly exportLedger: (directory: string) => Promise<void>;
  readonly close: () => Promise<void>;
}

/** Starts a server below a directory. */
export async function openLab(directory: string): Promise<Lab> {
  const children: ChildProcess[] = [];
  const places = ["--data", join(directory, "data"), "--config-dir", join(directory, "config")];
  const listen = ["--trust-domain", TRUST_DOMAIN, "--port", "0", "--stop-port", "0", "--log-level", "error"];
  const ready = await start(children, [WARDEN, "up", "--no-node", ...listen, ...places], {});
  const socketPath = String(ready.admin_socket);
  const ask = (method: string, path: string, body?: JsonObject) =>
    askOperator(socketPath, { method, path, body });
  const signer = createSigner();
  const spki = encodeBase64url(encodeSpki(signer.publicKey));
  const owner = ownerAnswer.parse(await ask("POST", "/v1/owners", { name: "bench", spki }));
  const { authorities_sha256 } = discovery.parse(await ask("GET", "/.well-known/trustwarden"));
  const reference = { authoritiesSha256: authorities_sha256, server: String(ready.url) };
  return {
    ticket: (name) => formatTicketValue({ ...reference, ticket: issue(signer, owner.owner_id, name) }),
    startService: async () => {
      const body = { name: "finance", ttl_seconds: 3600 };
      const { ticket } = ticketAnswer.parse(await ask("POST", "/v1/verifier-tickets", body));
      const { guarded, bare } = await start(children, [SERVICE], { TRUSTWARDEN_TICKET: ticket });
      return { guarded: String(guarded), bare: String(bare) };
    },
    exportLedger: async (target) => {
      await run(process.execPath, [WARDEN, "ledger", "export", target, ...places]);
    },
    close: async () => {
      // The server last: the service still reports what came of its visits.
      for (const child of children.toReversed()) await end(child);
    },
  };
}

function issue(signer: Signer, owner: string, name: string): string {
  const now = Math.floor(Date.now() / 1000);
  const ticket = {
    v: 1,
    kind: "agent",
    jti: formatUlid(Date.now(), systemRuntime.random),
    aud: `spiffe://${TRUST_DOMAIN}`,
    iat: now,
    exp: now + 600,
    owner,
    path: "team/finance",
    name,
    scope: parseScope(["read:transactions", "write:transactions"]),
    ttl_seconds: 3600,
    limits: { depth: 3, fan_out: 10_000, budget: null },
  } as const;
  return issueTicket(ticket, signer, formatOwnerKeyid(signer.publicKey));
}

/** Starts a program that says in one line of JSON when it is ready. */
async function start(
  children: ChildProcess[],
  args: readonly string[],
  env: Readonly<Record<string, string>>,
): Promise<Readonly<Record<string, unknown>>> {
  const observed = observation();
  const child = spawn(process.execPath, [...observed.args, ...args], {
    env: { PATH: process.env.PATH, ...observed.env, ...env },
    stdio: ["ignore", "pipe", "inherit"],
  });
  children.push(child);
  const lines = createInterface({ input: child.stdout });
  const ended = once(child, "exit").then(([code]) => {
    throw new Error(`${args[0]} ended with ${code} before it was ready`);
  });
  const signal = AbortSignal.timeout(READY_TIMEOUT_MS);
  const [line] = await Promise.race([once(lines, "line", { signal }), ended]);
  ended.catch(() => undefined);
  return Object(JSON.parse(String(line)));
}
