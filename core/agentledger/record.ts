/**
 * Records as the log holds them: the exact bytes of a DSSE envelope, and what they say.
 *
 * Parsing is closed and canonical, so one record has one spelling, except for its ECDSA signature, of which anybody
 * can compute a second one. Records are therefore told apart by their key and payload, never by their bytes.
 */
import { encodeBase64url, parseUtf8 } from "../bytes.ts";
import { type PublicKey, sha256 } from "../crypto.ts";
import {
  parseEnvelope,
  parseUnverifiedPayload,
  payloadTypeOf,
  type UnverifiedEnvelope,
  verifyEnvelope,
} from "../dsse.ts";
import { TrustWardenError } from "../error.ts";
import {
  type ControlRecord,
  type DecisionRecord,
  type Intent,
  type OutcomeRecord,
  parseControlRecord,
  parseDecisionRecord,
  parseIntent,
  parseOutcomeRecord,
} from "../event.ts";
import type { JsonObject } from "../json.ts";
import { type PresentedIntent, parsePresentedIntent } from "../presented-intent.ts";

/** What a record says, by its kind. */
export type RecordBody =
  | { readonly kind: "intent"; readonly value: Intent }
  | { readonly kind: "presented-intent"; readonly value: PresentedIntent }
  | { readonly kind: "decision"; readonly value: DecisionRecord }
  | { readonly kind: "outcome"; readonly value: OutcomeRecord }
  | { readonly kind: "control"; readonly value: ControlRecord };

export type RecordKind = RecordBody["kind"];

/** A parsed record whose signature nobody has checked. */
export interface UnverifiedRecord {
  readonly unverified: RecordBody;
  readonly envelope: UnverifiedEnvelope;
  /** base64url SHA-256 of the entry: for an intent, what its decision and outcome call `intent_sha256`. */
  readonly entrySha256: string;
  /** base64url SHA-256 of the signed payload: what stays the same when the signature is respelled. */
  readonly payloadSha256: string;
}

const KINDS: readonly RecordKind[] = ["intent", "presented-intent", "decision", "outcome", "control"];

/**
 * The record of a log entry.
 *
 * @throws TrustWardenError `record_malformed`, `dsse_malformed`, `base64_malformed`, `request_malformed` or a JSON code.
 */
export function parseRecord(entry: Uint8Array): UnverifiedRecord {
  const envelope = parseEnvelope(parseUtf8(entry));
  const kind = KINDS.find((name) => payloadTypeOf(name) === envelope.payloadType);
  if (kind === undefined) throw new TrustWardenError("record_malformed", { reason: "payload type" });
  return {
    unverified: parseBody(kind, parseUnverifiedPayload(envelope)),
    envelope,
    entrySha256: encodeBase64url(sha256(entry)),
    payloadSha256: encodeBase64url(sha256(envelope.payload)),
  };
}

/**
 * What a record says, proven to be signed by the key of the SVID that it names.
 *
 * @param svid - certificate of the signer, proven to chain to a trusted root by the caller.
 * @throws TrustWardenError `signature_invalid`, or `svid_mismatch` when the record names another certificate: a key
 *   may be certified twice, and then the certificate counts, not only the key.
 */
export function verifyRecord(
  record: UnverifiedRecord,
  svid: { readonly sha256: string; readonly publicKey: PublicKey },
): RecordBody {
  const { unverified, envelope } = record;
  const body = parseBody(unverified.kind, verifyEnvelope(envelope, unverified.kind, svid.publicKey));
  const names = [envelope.unverifiedKeyid, ...(body.kind === "intent" ? [body.value.agent.svid_sha256] : [])];
  if (names.some((name) => name !== svid.sha256))
    throw new TrustWardenError("svid_mismatch", { kind: body.kind });
  return body;
}

/**
 * The key that one record of the log has alone: payload type, signer's SVID, the intent's SVID, event id.
 *
 * @param intentSvidSha256 - `svid_sha256` of the intent it belongs to; null for a control record without one.
 */
export function formatRecordKey(
  { unverified, envelope }: UnverifiedRecord,
  intentSvidSha256: string | null,
): string {
  const { kind, value } = unverified;
  const svid = credentialOf(unverified) ?? intentSvidSha256 ?? "-";
  return [kind, envelope.unverifiedKeyid, svid, value.event_id].join(" ");
}

/**
 * Whether a record was seen before under its key; call it with what is known of that key.
 *
 * @returns true for the same record again (a resend, or the other spelling of its signature), false for a new one.
 * @throws TrustWardenError `event_conflict` for another payload under the same key.
 */
export function isResend(
  record: UnverifiedRecord,
  known: { readonly payloadSha256: string } | undefined,
): boolean {
  if (known === undefined) return false;
  if (known.payloadSha256 === record.payloadSha256) return true;
  throw new TrustWardenError("event_conflict", { event_id: record.unverified.value.event_id });
}

/** What an intent was made with: the digest of its SVID, or the thumbprint of the presented key; null for the rest. */
export function credentialOf(body: RecordBody): string | null {
  if (body.kind === "intent") return body.value.agent.svid_sha256;
  return body.kind === "presented-intent" ? body.value.token.jkt : null;
}

/** The intent that a record belongs to, by the digest of the intent's entry; an intent belongs to itself. */
export function intentDigestOf({ unverified, entrySha256 }: UnverifiedRecord): string | null {
  const isIntent = unverified.kind === "intent" || unverified.kind === "presented-intent";
  return isIntent ? entrySha256 : unverified.value.intent_sha256;
}

function parseBody(kind: RecordKind, json: JsonObject): RecordBody {
  switch (kind) {
    case "intent":
      return { kind, value: parseIntent(json) };
    case "presented-intent":
      return { kind, value: parsePresentedIntent(json) };
    case "decision":
      return { kind, value: parseDecisionRecord(json) };
    case "outcome":
      return { kind, value: parseOutcomeRecord(json) };
    case "control":
      return { kind, value: parseControlRecord(json) };
  }
}
