/**
 * What a service answers when it does not act: exact for its own log, vague for the visitor.
 */

import { formatReceiptHeader, type Receipt } from "@trustwarden/core/api/action.ts";
import { encodeUtf8 } from "@trustwarden/core/bytes.ts";
import { publicError, TrustWardenError } from "@trustwarden/core/error.ts";
import { RECEIPT_HEADER } from "./agent-session.ts";

/** An answer before it is written in one of the two styles. */
export interface RefusalAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array;
}

/** The answer to a refused visit, with the receipt when the refusal is a recorded decision. */
export function createRefusal(error: unknown, receipt: Receipt | undefined): RefusalAnswer {
  const known = error instanceof TrustWardenError ? error : new TrustWardenError("internal");
  const body = encodeUtf8(JSON.stringify(publicError(known)));
  const headers = {
    "cache-control": "no-store",
    "content-length": String(body.length),
    "content-type": "application/json",
  };
  if (receipt === undefined) return { status: known.status, headers, body };
  return { status: known.status, headers: { ...headers, ...receiptHeader(receipt) }, body };
}

/** The receipt as a header. */
export function receiptHeader(receipt: Receipt): Readonly<Record<string, string>> {
  return { [RECEIPT_HEADER]: formatReceiptHeader(receipt) };
}
