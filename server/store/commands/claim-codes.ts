/**
 * Agents that register themselves: a code for each, kept as a digest, and the one owner who answers for it.
 *
 * What is kept of a stranger is little, for ten minutes, and costs it work, more of it the more have asked: a human waits for
 * one agent, a loop for thousands. Nothing here makes an agent. What an owner gives is a ticket for the key that asked.
 */
import { createClaimCode, digestOfClaimCode } from "@trustwarden/core/agentid/claim-code.ts";
import { digestOfEnrolment, type Ticket } from "@trustwarden/core/agentid/enrolment.ts";
import { parseAgentLabel } from "@trustwarden/core/agentid/names.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { formatUlid } from "@trustwarden/core/id.ts";
import { formatCanonicalJson } from "@trustwarden/core/json.ts";
import { isSubset, parseScope } from "@trustwarden/core/scope.ts";
import type {
  AcceptClaimCommand,
  AskClaimCommand,
  AskedClaim,
  ClaimCommand,
  ClaimState,
} from "../claim-ports.ts";
import { findWaitingClaim } from "../claim-rows.ts";
import type { SqliteDatabase } from "../sqlite-database.ts";
import { requireLiveOwner } from "./admission.ts";
import { keepDeposited } from "./deposit-ticket.ts";
import { type CommandDeps, type CommandResult, secondsOf } from "./deps.ts";

/** Long enough to read a code out, and no longer. */
const CLAIM_SECONDS = 600;
/** Of the first; a fraction of a second of one core. */
const FIRST_BITS = 16;
/** As many more double the work: the last who is let wait brings 19 bits, and SDKs bring up to 20. */
const WAITING_A_BIT = 128;
/** Nobody is let wait beyond this many in ten minutes, void ones too; each is a row and an event. */
const MAX_WAITING = 512;

const REMOVE_ENDED = "DELETE FROM claim_codes WHERE expires_at <= ?";
// What no code and no key finds; it counts until its time is over, since its event stays too.
const VOID_EARLIER =
  "UPDATE claim_codes SET code_sha256 = claim_id, thumbprint = '' WHERE thumbprint = ? AND owner_id IS NULL";
const COUNT =
  "SELECT COUNT(*) AS count, MIN(expires_at) AS first_end FROM claim_codes WHERE owner_id IS NULL";
const INSERT = `
  INSERT INTO claim_codes (claim_id, code_sha256, thumbprint, wish, expires_at) VALUES (?, ?, ?, ?, ?)`;
const ANSWER = `
  UPDATE claim_codes SET owner_id = ?, ticket = ?, expires_at = ? WHERE claim_id = ? AND owner_id IS NULL`;

/** @throws TrustWardenError as `ClaimCommands` says. */
export function changeClaim(
  database: SqliteDatabase,
  command: ClaimCommand,
  deps: CommandDeps,
): CommandResult<AskedClaim | ClaimState> {
  switch (command.change) {
    case "ask":
      return askClaim(database, command, deps);
    case "accept":
      return acceptClaim(database, command);
  }
}

function askClaim(
  database: SqliteDatabase,
  { context, thumbprint, wish, workBits }: AskClaimCommand,
  deps: CommandDeps,
): CommandResult<AskedClaim> {
  const now = secondsOf(context);
  parseAgentLabel(wish);
  parseScope(wish.scope);
  database.run(REMOVE_ENDED, now);
  requireClaimWork(database, { workBits, now });
  // A further code of one key makes the earlier void, as a further link does.
  database.run(VOID_EARLIER, thumbprint);
  const claimId = `clm_${formatUlid(context.nowMs, deps.random)}`;
  const code = createClaimCode(deps.random);
  const expiresAt = now + CLAIM_SECONDS;
  const kept = formatCanonicalJson({ ...wish });
  database.run(INSERT, claimId, digestOfClaimCode(code), thumbprint, kept, expiresAt);
  return {
    value: { claimId, code, expiresAt },
    draft: {
      kind: "ticket",
      allow: true,
      reasons: [],
      subject: claimId,
      chain: [],
      details: { change: "ask", thumbprint, wish: { ...wish }, expires_at: expiresAt },
    },
  };
}

function acceptClaim(
  database: SqliteDatabase,
  { context, codeSha256, ticket, envelope, assertion }: AcceptClaimCommand,
): CommandResult<ClaimState> {
  const now = secondsOf(context);
  const { owner: ownerId } = ticket;
  requireLiveOwner(database, ownerId);
  const claim = findWaitingClaim(database, { codeSha256, ownerId, now });
  if (claim === undefined) throw new TrustWardenError("claim_unknown");
  requireAsAsked(ticket, claim);
  if (assertion !== null) keepDeposited(database, { ticket, envelope, assertion, now });
  const expiresAt = now + CLAIM_SECONDS;
  database.run(ANSWER, ownerId, envelope, expiresAt, claim.claimId);
  return {
    value: { ...claim, expiresAt, answer: { ownerId, ticket: envelope } },
    draft: {
      kind: "ticket",
      allow: true,
      reasons: [],
      subject: ownerId,
      chain: [`owner:${ownerId}`],
      details: {
        change: "claim",
        claim_id: claim.claimId,
        ticket: { ...ticket, scope: [...ticket.scope], limits: { ...ticket.limits } },
        ticket_sha256: digestOfEnrolment(envelope),
        credential_id: assertion?.credentialId ?? null,
      },
    },
  };
}

/**
 * A ticket for the key that asked, of the name that it asked for, and of no more: an agent is not given what it did not ask for.
 *
 * @throws TrustWardenError `claim_mismatch`.
 */
function requireAsAsked(ticket: Ticket, { thumbprint, wish }: ClaimState): void {
  const isName = ticket.path === wish.path && ticket.name === wish.name;
  if (ticket.holder_thumbprint !== thumbprint) throw mismatch("holder_thumbprint");
  if (!isName) throw mismatch("name");
  if (!isSubset({ parent: parseScope(wish.scope), child: ticket.scope })) throw mismatch("scope");
  if (ticket.ttl_seconds > wish.ttl_seconds) throw mismatch("ttl_seconds");
}

/** @throws TrustWardenError `registration_costly` with what would do. */
function requireClaimWork(
  database: SqliteDatabase,
  { workBits, now }: { readonly workBits: number; readonly now: number },
): void {
  const waiting = database.get(COUNT);
  const count = waiting?.integer("count") ?? 0;
  const bits = FIRST_BITS + Math.floor(count / WAITING_A_BIT);
  if (count < MAX_WAITING && workBits >= bits) return;
  const retryAfterSeconds = Math.max(1, (waiting?.integerOrNull("first_end") ?? now) - now);
  throw new TrustWardenError("registration_costly", { waiting: count, workBits: bits, retryAfterSeconds });
}

function mismatch(field: string): TrustWardenError {
  return new TrustWardenError("claim_mismatch", { field });
}
