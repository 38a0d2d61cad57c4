/**
 * A call that a gateway brings to the service behind it, as that service proves it.
 *
 * A gateway's SVID alone is not enough: whoever has stolen its key would be let in. With the call come the receipt of its
 * decision, the agent's own intent and the salt that opens it, and the three hang together: the decision is about this
 * intent, the intent was meant for the very gateway that stands at the other end of the connection, and for this request.
 * So a receipt that was won at another gateway, or for another request, opens nothing here (E7).
 */
import type { Receipt } from "@trustwarden/core/api/action.ts";
import { encodeBase64url, encodeUtf8, parseBase64url, parseUtf8 } from "@trustwarden/core/bytes.ts";
import { sha256 } from "@trustwarden/core/crypto.ts";
import { parseEnvelope, parseUnverifiedPayload } from "@trustwarden/core/dsse.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { type Intent, parseIntent } from "@trustwarden/core/event.ts";
import { type BoundRequest, requireSameRequest } from "@trustwarden/core/intent.ts";
import { INTENT_HEADER, RECEIPT_HEADER, SALT_HEADER } from "./agent-session.ts";
import {
  parseReceiptHeader,
  type ReceiptExpectations,
  type VerifiedReceipt,
  verifyReceipt,
} from "./receipt.ts";

/** From the decision to the service behind; a body of 8 MiB arrives in that time. */
const FRESH_MS = 30_000;

/** What arrived. */
export interface BroughtCall {
  /** SPIFFE ID of whoever brought it, proven from the connection; the service accepts it as a gateway already. */
  readonly gateway: string;
  readonly request: BoundRequest;
  /** Of the request: `trustwarden-receipt`, `trustwarden-intent`, `trustwarden-salt`. */
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>;
}

/** A call that may be served, once. */
export interface VerifiedBroughtCall {
  readonly intent: Intent;
  readonly receipt: Receipt;
  readonly decision: VerifiedReceipt["decision"];
}

/**
 * Proves that an allowed decision of just now is about this request, brought by this gateway.
 *
 * It does not remember: the service serves each `decision.event_id` once.
 *
 * @param nowMs - Unix milliseconds.
 * @throws TrustWardenError `receipt_invalid`.
 */
export function verifyBroughtCall(
  { gateway, request, headers }: BroughtCall,
  { server, logVkey, nowMs }: Pick<ReceiptExpectations, "server" | "logVkey"> & { readonly nowMs: number },
): VerifiedBroughtCall {
  const receiptText = headerOf(headers, RECEIPT_HEADER);
  const { envelope, intent, salt } = parseIntentHeaders(headers);
  const { receipt, decision } = verifyReceipt(parseReceiptHeader(receiptText), {
    server,
    logVkey,
    intentSha256: encodeBase64url(sha256(encodeUtf8(envelope))),
    enforcement: "service",
  });
  if (!decision.allow) throw invalid("denied");
  if (!(Math.abs(nowMs - Date.parse(decision.time)) < FRESH_MS)) throw invalid("not of now");
  // The server has verified the agent's signature under the intent; the digest in the decision binds these bytes.
  if (intent.aud !== gateway) throw invalid("another gateway");
  try {
    requireSameRequest(intent, request, salt);
  } catch (cause) {
    throw new TrustWardenError("receipt_invalid", { reason: "another request" }, { cause });
  }
  return { intent, receipt, decision };
}

function headerOf(headers: BroughtCall["headers"], name: string): string {
  const value = headers[name];
  if (typeof value !== "string") throw invalid(name);
  return value;
}

function parseIntentHeaders(headers: BroughtCall["headers"]): {
  readonly envelope: string;
  readonly intent: Intent;
  readonly salt: Uint8Array;
} {
  const [intentText, saltText] = [headerOf(headers, INTENT_HEADER), headerOf(headers, SALT_HEADER)];
  try {
    const envelope = parseUtf8(parseBase64url(intentText));
    const intent = parseIntent(parseUnverifiedPayload(parseEnvelope(envelope)));
    return { envelope, intent, salt: parseBase64url(saltText) };
  } catch (cause) {
    throw new TrustWardenError("receipt_invalid", { reason: "intent" }, { cause });
  }
}

function invalid(reason: string): TrustWardenError {
  return new TrustWardenError("receipt_invalid", { reason });
}
