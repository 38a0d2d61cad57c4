/**
 * Receipts: the proof that a decision was made by the server and promised a place in the ledger.
 *
 * A receipt is checked by whoever relies on it: the service before it acts, the agent before it keeps it. A receipt
 * whose decision was bound in the agent's own process (`self`) proves what the server answered there and is never
 * permission for anybody else.
 *
 * @see docs/path.md, "The receipt"
 */
import {
  type Acknowledgement,
  verifyAcknowledgement,
} from "@trustwarden/core/agentledger/acknowledgement.ts";
import { leafHash } from "@trustwarden/core/agentledger/merkle.ts";
import type { NoteKey } from "@trustwarden/core/agentledger/signed-note.ts";
import type { Receipt } from "@trustwarden/core/api/action.ts";
import { encodeUtf8, isEqualBytes, parseBase64url, parseUtf8 } from "@trustwarden/core/bytes.ts";
import {
  parseEnvelope,
  parseUnverifiedPayload,
  requireSigned,
  type UnverifiedEnvelope,
} from "@trustwarden/core/dsse.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { type DecisionRecord, parseDecisionRecord } from "@trustwarden/core/event.ts";
import type { SigningLeaf } from "@trustwarden/core/intent.ts";
import { parseJsonObject } from "@trustwarden/core/json.ts";

/** A receipt as a header: one decision and one acknowledgement, each a few hundred bytes. */
const MAX_RECEIPT_CHARS = 16_384;
const MEMBERS = ["acknowledgement", "decision", "decision_index", "event_id", "intent_sha256"];

export type { Receipt };

/** What the verifier of a receipt knows already. */
export interface ReceiptExpectations {
  /** The server's SVID that the decision names, proven against the trust bundle. */
  readonly server: SigningLeaf;
  /** Verifier key of the log, as discovery gives it, or parsed already. */
  readonly logVkey: string | NoteKey;
  /** base64url SHA-256 of the intent's envelope: the action this is about. */
  readonly intentSha256: string;
  /** Where the decision must bind; a service passes `service`, so that a `self` receipt is no permission. */
  readonly enforcement: DecisionRecord["enforcement"];
}

/** A receipt that was read and of which nothing is proven. */
export interface OpenedReceipt {
  readonly receipt: Receipt;
  readonly envelope: UnverifiedEnvelope;
  /** What `envelope` says; `verifyOpenedReceipt` makes it a fact. */
  readonly unverifiedDecision: DecisionRecord;
}

/** A receipt that holds. */
export interface VerifiedReceipt {
  readonly receipt: Receipt;
  readonly decision: DecisionRecord;
  readonly acknowledgement: Acknowledgement;
}

/**
 * Proves a receipt: the decision is the server's, about this very intent, and the log promised to keep it.
 *
 * It may be a deny: the caller reads `decision.allow`.
 *
 * @throws TrustWardenError `receipt_invalid`.
 */
export function verifyReceipt(receipt: Receipt, expected: ReceiptExpectations): VerifiedReceipt {
  return verifyOpenedReceipt(openReceipt(receipt), expected);
}

/** Reads a receipt, once for everybody who looks at it. @throws TrustWardenError `receipt_invalid`. */
export function openReceipt(receipt: Receipt): OpenedReceipt {
  try {
    const envelope = parseEnvelope(receipt.decision);
    return { receipt, envelope, unverifiedDecision: parseDecisionRecord(parseUnverifiedPayload(envelope)) };
  } catch (cause) {
    throw asInvalid(cause);
  }
}

/** `verifyReceipt` of a receipt that was read before. @throws TrustWardenError `receipt_invalid`. */
export function verifyOpenedReceipt(opened: OpenedReceipt, expected: ReceiptExpectations): VerifiedReceipt {
  const { receipt } = opened;
  try {
    const decision = verifyDecision(opened, expected);
    const acknowledgement = verifyAcknowledgement(receipt.acknowledgement, expected.logVkey);
    requirePromised(receipt, acknowledgement);
    return { receipt, decision, acknowledgement };
  } catch (cause) {
    throw asInvalid(cause);
  }
}

/**
 * The receipt of a `TrustWarden-Receipt` header, not yet proven.
 *
 * @throws TrustWardenError `receipt_invalid`.
 */
export function parseReceiptHeader(header: string): Receipt {
  try {
    const json = parseJsonObject(parseUtf8(parseBase64url(header)), MAX_RECEIPT_CHARS);
    const { event_id, intent_sha256, decision, decision_index, acknowledgement } = json;
    if (
      typeof event_id === "string" &&
      typeof intent_sha256 === "string" &&
      typeof decision === "string" &&
      typeof decision_index === "number" &&
      typeof acknowledgement === "string" &&
      Object.keys(json).sort().join() === MEMBERS.join()
    ) {
      return { event_id, intent_sha256, decision, decision_index, acknowledgement };
    }
  } catch (cause) {
    throw new TrustWardenError("receipt_invalid", { reason: "header" }, { cause });
  }
  throw new TrustWardenError("receipt_invalid", { reason: "members" });
}

function verifyDecision(
  { receipt, envelope, unverifiedDecision: decision }: OpenedReceipt,
  { server, intentSha256, enforcement }: ReceiptExpectations,
): DecisionRecord {
  if (envelope.unverifiedKeyid !== server.sha256) throw invalid("signer");
  requireSigned(envelope, "decision", server.publicKey);
  if (decision.intent_sha256 !== intentSha256 || receipt.intent_sha256 !== intentSha256)
    throw invalid("intent");
  if (decision.event_id !== receipt.event_id) throw invalid("event");
  if (decision.enforcement !== enforcement) throw invalid("enforcement");
  return decision;
}

/** The acknowledgement must promise exactly this decision at exactly this index. */
function requirePromised(receipt: Receipt, { index, leafHash: promised }: Acknowledgement): void {
  if (index !== receipt.decision_index) throw invalid("index");
  if (!isEqualBytes(promised, leafHash(encodeUtf8(receipt.decision)))) throw invalid("leaf");
}

function asInvalid(cause: unknown): TrustWardenError {
  if (cause instanceof TrustWardenError && cause.code === "receipt_invalid") return cause;
  const reason = cause instanceof TrustWardenError ? cause.code : "malformed";
  return new TrustWardenError("receipt_invalid", { reason }, { cause });
}

function invalid(reason: string): TrustWardenError {
  return new TrustWardenError("receipt_invalid", { reason });
}
