/**
 * What may happen only once: a ticket, a grant, an intent, a key.
 *
 * A claim is written in the transaction of the command it belongs to, so a refused command leaves its ticket unused
 * and fifty parallel uses of one ticket are decided by one row. Claims outlive what they guard and are then removed.
 */

import { encodeBase64url } from "@trustwarden/core/bytes.ts";
import { sha256 } from "@trustwarden/core/crypto.ts";
import { parseEnvelope } from "@trustwarden/core/dsse.ts";
import { type ErrorCode, TrustWardenError } from "@trustwarden/core/error.ts";
import type { CommandContext, IssueCommand } from "../ports.ts";
import type { NetworkAttestation } from "../registration-ports.ts";
import type { SqliteDatabase } from "../sqlite-database.ts";
import { secondsOf } from "./deps.ts";
import { readEnrolmentFloor } from "./enrolment-floor.ts";
import { requireLiveSvid } from "./live-instance.ts";

/** An intent is accepted for at most 60 s of life and 30 s of skew at either end; more is only storage. */
const INTENT_CLAIM_SECONDS = 300;
/** Claims and SVIDs are removed this long after they ended: far more than clocks are allowed to go back. */
const KEPT_SECONDS = 3600;
/** Removed in one go, so that a commit never waits for house-keeping. */
const MAX_REMOVED = 500;

const CLAIM = "INSERT INTO claims (kind, issuer, id, expires_at) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING";
const CLAIM_KEY = "INSERT INTO keys (spki_sha256, holder) VALUES (?, ?) ON CONFLICT DO NOTHING";
const FIND_KEY = "SELECT holder FROM keys WHERE spki_sha256 = ?";
const REMOVE_CLAIMS = `
  DELETE FROM claims WHERE (kind, issuer, id) IN
    (SELECT kind, issuer, id FROM claims WHERE expires_at < ? ORDER BY expires_at LIMIT ${MAX_REMOVED})`;
const REMOVE_SVIDS = `
  DELETE FROM svids WHERE svid_sha256 IN
    (SELECT svid_sha256 FROM svids WHERE not_after < ? ORDER BY not_after LIMIT ${MAX_REMOVED})`;

const ENROLMENT_CODES = {
  ticket: "ticket_used",
  "verifier-ticket": "ticket_used",
  grant: "grant_used",
} as const satisfies Record<IssueCommand["via"], ErrorCode>;

/**
 * Uses up a ticket or grant. A `jti` is its issuer's own: nobody can use up another's by guessing it.
 *
 * @throws TrustWardenError `ticket_used` or `grant_used`.
 */
export function claimEnrolment(database: SqliteDatabase, command: IssueCommand, issuer: string): void {
  const { via, jti, enrolmentExpiresAt, enrolmentIssuedAt } = command;
  // What was used between a backup and its restore is in no table: nothing of that time is taken any more.
  if (enrolmentIssuedAt <= readEnrolmentFloor(database))
    throw new TrustWardenError(ENROLMENT_CODES[via], { jti, reason: "signed before a restore" });
  const { changes } = database.run(CLAIM, via, issuer, jti, enrolmentExpiresAt);
  if (changes === 0) throw new TrustWardenError(ENROLMENT_CODES[via], { jti });
}

/** Evidence is named by a digest of what was signed, the same in each of its forms and types. */
const ANY_ISSUER = "";

/**
 * Uses up evidence that may be shown once.
 *
 * @throws TrustWardenError `attestation_replayed`.
 */
export function claimEvidence(
  database: SqliteDatabase,
  { type, singleUse }: Pick<NetworkAttestation, "type" | "singleUse">,
): void {
  if (singleUse === null) return;
  const { changes } = database.run(CLAIM, "evidence", ANY_ISSUER, singleUse.id, singleUse.expiresAt);
  if (changes === 0) throw new TrustWardenError("attestation_replayed", { type });
}

/**
 * Uses up the intent of an agent's command, whose signer must be alive in this transaction: an agent that was revoked
 * between its authentication and this commit does nothing more.
 *
 * @throws TrustWardenError `intent_replayed`, or the codes of `requireLiveSvid`.
 */
export function claimIntent(database: SqliteDatabase, context: CommandContext): void {
  if (context.intent === null) return;
  const now = secondsOf(context);
  // The guard has verified the envelope: its keyid is the SVID that signed it.
  const svidSha256 = parseEnvelope(context.intent.envelope).unverifiedKeyid;
  const { changes } = database.run(
    CLAIM,
    "intent",
    svidSha256,
    context.intent.eventId,
    now + INTENT_CLAIM_SECONDS,
  );
  if (changes === 0) throw new TrustWardenError("intent_replayed", { eventId: context.intent.eventId });
  requireLiveSvid(database, { svidSha256, now });
}

/**
 * Registers a key to its holder, for ever.
 *
 * @throws TrustWardenError `key_reused` when anybody ever had it: another agent, a verifier, an owner, or the same
 *   instance before.
 */
export function claimKey(database: SqliteDatabase, spki: Uint8Array, holder: string): void {
  const { changes } = database.run(CLAIM_KEY, encodeBase64url(sha256(spki)), holder);
  if (changes === 0) throw new TrustWardenError("key_reused");
}

/** As `claimKey`, for the one holder that keeps its key when it renews: the server. */
export function claimOwnKey(database: SqliteDatabase, keySha256: string, holder: string): void {
  const { changes } = database.run(CLAIM_KEY, keySha256, holder);
  if (changes === 0 && database.get(FIND_KEY, keySha256)?.text("holder") !== holder) {
    throw new TrustWardenError("key_reused");
  }
}

/** By what a signed document is claimed: a `jti` is its signer's own, and names one spelling of one document. */
export function formatDocumentId(jti: string, digest: string): string {
  return `${jti} ${digest}`;
}

/** Removes some of what ended long ago. Keys stay. @param now - Unix seconds. */
export function removeEnded(database: SqliteDatabase, now: number): void {
  database.run(REMOVE_CLAIMS, now - KEPT_SECONDS);
  database.run(REMOVE_SVIDS, now - KEPT_SECONDS);
}
