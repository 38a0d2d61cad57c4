/** Signs a single-use ticket for one verifier or relay. The event names it; the ticket itself is a secret until it is used. */
import { issueVerifierTicket } from "@trustwarden/core/agentid/enrolment.ts";
import { formatSpiffeId } from "@trustwarden/core/agentid/spiffe-id.ts";
import { formatUlid } from "@trustwarden/core/id.ts";
import type { CommandContext } from "../ports.ts";
import type { SqliteDatabase } from "../sqlite-database.ts";
import { readServerKeyid } from "./control-record.ts";
import { type CommandDeps, type CommandResult, secondsOf } from "./deps.ts";

/** The operator who asked for it is about to start the service. */
const TICKET_SECONDS = 3600;

export interface CreateVerifierTicketCommand {
  readonly context: CommandContext;
  readonly name: string;
  /** Lifetime of the verifier's instance. */
  readonly ttlSeconds: number;
  readonly isRelay: boolean;
}

/** @throws TrustWardenError `name_malformed`, `ttl_malformed`, or `store_unavailable` before the server's first SVID. */
export function createVerifierTicket(
  database: SqliteDatabase,
  { context, name, ttlSeconds, isRelay }: CreateVerifierTicketCommand,
  deps: CommandDeps,
): CommandResult<{ readonly ticket: string }> {
  const jti = formatUlid(context.nowMs, deps.random);
  const iat = secondsOf(context);
  const exp = iat + TICKET_SECONDS;
  const aud = formatSpiffeId(deps.trustDomain, []);
  const kind = isRelay ? "relay" : "verifier";
  const document = { v: 1, kind, jti, aud, iat, exp, name, ttl_seconds: ttlSeconds } as const;
  const ticket = issueVerifierTicket(document, deps.serverSigner, readServerKeyid(database, deps));
  return {
    value: { ticket },
    draft: {
      kind: "ticket",
      allow: true,
      reasons: [],
      subject: `${kind}:${name}`,
      chain: [],
      details: { jti, name, ttl_seconds: ttlSeconds, expires_at: exp },
    },
  };
}
