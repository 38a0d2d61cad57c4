/** A server in a process of its own (`warden up`), with an owner, for the revocation run; everything on loopback. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { formatOwnerKeyid, issueTicket } from "@trustwarden/core/agentid/enrolment.ts";
import { formatTicketValue } from "@trustwarden/core/agentid/enrolment-value.ts";
import { type AuthorityStepAnswer, authorityStepAnswer } from "@trustwarden/core/api/authority.ts";
import { ownerAnswer, ticketAnswer } from "@trustwarden/core/api/identity.ts";
import { discovery } from "@trustwarden/core/api/ledger.ts";
import { type RevocationAnswer, revocationAnswer } from "@trustwarden/core/api/revocation.ts";
import { encodeBase64url } from "@trustwarden/core/bytes.ts";
import { encodeSpki } from "@trustwarden/core/crypto.ts";
import { formatUlid } from "@trustwarden/core/id.ts";
import { type JsonObject, parseJsonObject } from "@trustwarden/core/json.ts";
import { parseScope } from "@trustwarden/core/scope.ts";
import type { Signer } from "@trustwarden/core/signer.ts";
import { systemRuntime } from "../../sdk/runtime.ts";
import { createSigner } from "../domain.ts";
import { askOperator, end } from "../warden.ts";

const WARDEN = join(import.meta.dirname, "..", "..", "cli", "main.ts");
const TRUST_DOMAIN = "bench.test";
const TICKET_SECONDS = 600;
const INSTANCE_SECONDS = 3600;

/** What the run needs of a server. */
export interface Deployment {
  readonly pid: number;
  /** Origin where leases are asked for. */
  readonly stopUrl: string;
  /** A ticket for one instance of an agent. */
  agentTicket(name: string, ttlSeconds?: number): string;
  verifierTicket(name: string): Promise<string>;
  /** A relay in a process of its own. */
  openRelay(name: string): Promise<{ readonly url: string; readonly child: ChildProcess }>;
  /** As an operator; returns when the server says that everybody stopped. */
  revoke(instanceId: string): Promise<RevocationAnswer>;
  /** A step of the authority, as an operator. */
  stepAuthority(body: JsonObject): Promise<AuthorityStepAnswer>;
  close(): Promise<void>;
}

/** Starts a server below an empty directory. */
export async function openDeployment(directory: string): Promise<Deployment> {
  const config = join(directory, "config");
  // A run makes a thousand agents of one owner in a minute; what that costs by default is not what it measures.
  mkdirSync(config, { recursive: true, mode: 0o700 });
  writeFileSync(
    join(config, "server.json"),
    JSON.stringify({ quotas: { easyAgentsPerOwnerPerMinute: 1_000_000 } }),
  );
  const places = ["--data", join(directory, "data"), "--config-dir", config];
  const listen = ["--trust-domain", TRUST_DOMAIN, "--port", "0", "--stop-port", "0", "--log-level", "error"];
  const child = spawn(process.execPath, [WARDEN, "up", "--no-node", ...listen, ...places], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const [line] = await once(createInterface({ input: child.stdout }), "line");
  const ready = parseJsonObject(String(line));
  const ask = (method: string, path: string, body?: JsonObject) =>
    askOperator(String(ready.admin_socket), { method, path, body });
  const signer = createSigner();
  const spki = encodeBase64url(encodeSpki(signer.publicKey));
  const owner = ownerAnswer.parse(await ask("POST", "/v1/owners", { name: "bench", spki }));
  const { authorities_sha256, stop_url } = discovery.parse(await ask("GET", "/.well-known/trustwarden"));
  return {
    pid: Number(child.pid),
    stopUrl: stop_url,
    agentTicket: (name, ttlSeconds = INSTANCE_SECONDS) =>
      formatTicketValue({
        authoritiesSha256: authorities_sha256,
        server: String(ready.url),
        ticket: issueAgentTicket(signer, owner.owner_id, { name, ttlSeconds }),
      }),
    verifierTicket: async (name) => {
      const body = { name, ttl_seconds: INSTANCE_SECONDS };
      return ticketAnswer.parse(await ask("POST", "/v1/verifier-tickets", body)).ticket;
    },
    openRelay: async (name) => {
      const body = { name, ttl_seconds: INSTANCE_SECONDS, relay: true };
      const { ticket } = ticketAnswer.parse(await ask("POST", "/v1/verifier-tickets", body));
      const relay = spawn(
        process.execPath,
        [WARDEN, "relay", "serve", "--listen", "127.0.0.1:0", "--status-every", "0", ...places],
        { stdio: ["ignore", "pipe", "inherit"], env: { ...process.env, TRUSTWARDEN_TICKET: ticket } },
      );
      const [said] = await once(createInterface({ input: relay.stdout }), "line");
      return { url: String(parseJsonObject(String(said)).url), child: relay };
    },
    revoke: async (id) =>
      revocationAnswer.parse(await ask("POST", "/v1/revocations", { target: { kind: "instance", id } })),
    stepAuthority: async (body) => authorityStepAnswer.parse(await ask("POST", "/v1/authority/steps", body)),
    close: () => end(child),
  };
}

function issueAgentTicket(
  signer: Signer,
  owner: string,
  { name, ttlSeconds }: { readonly name: string; readonly ttlSeconds: number },
): string {
  const now = Math.floor(Date.now() / 1000);
  const ticket = {
    v: 1,
    kind: "agent",
    jti: formatUlid(Date.now(), systemRuntime.random),
    aud: `spiffe://${TRUST_DOMAIN}`,
    iat: now,
    exp: now + TICKET_SECONDS,
    owner,
    path: "team/finance",
    name,
    scope: parseScope(["read:transactions"]),
    ttl_seconds: ttlSeconds,
    limits: { depth: 0, fan_out: 0, budget: null },
  } as const;
  return issueTicket(ticket, signer, formatOwnerKeyid(signer.publicKey));
}
