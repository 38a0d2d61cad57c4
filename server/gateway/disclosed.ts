/**
 * What stays of a call's answer: a commitment in its outcome, and, where the upstream's operator says so, the call itself,
 * encrypted and outside of the ledger.
 *
 * The commitment is under the salt that the caller sent with its request: the caller can open it, and nobody else without
 * it. It is over the bytes that the caller got, however far the answer came.
 *
 * @see docs/decisions/0022-model-calls.md, 0077
 */
import { createHash } from "node:crypto";
import { formatAnswerCommitment } from "@trustwarden/core/answer-commitment.ts";
import { parseBase64url } from "@trustwarden/core/bytes.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { disclosureOf } from "@trustwarden/core/gateway/disclosure.ts";
import { GrowingBytes } from "@trustwarden/core/growing-bytes.ts";
import type { PayloadStore } from "../payloads/payload-store.ts";

import { memberCallOf } from "./mcp/member-call.ts";
import type { AllowedCall, Performer } from "./ports.ts";

/** A larger answer is committed to and not kept. */
const MAX_KEPT_BYTES = 8_388_608;

/**
 * Performs a call with what stays of it.
 *
 * @param payloads - null where nothing can be kept, since the disk of one of several servers is no place for it.
 * @throws TrustWardenError what `perform` throws, or why it could not be kept; `replica_refused` before anything is done.
 */
export async function performDisclosed(
  call: AllowedCall,
  perform: Performer,
  payloads: Pick<PayloadStore, "keep"> | null,
): Promise<void> {
  const { arrival } = call;
  const upstream = memberCallOf(arrival)?.upstream ?? arrival.upstream;
  const isFull = disclosureOf(upstream) === "full";
  if (isFull && payloads === null) throw new TrustWardenError("replica_refused", { setting: "disclose" });
  let kept = isFull ? new GrowingBytes() : null;
  const hash = createHash("sha256");
  const write = async (part: Uint8Array): Promise<void> => {
    hash.update(part);
    if (kept !== null && kept.length + part.length > MAX_KEPT_BYTES) kept = null;
    kept?.add(part);
    await call.write(part);
  };
  try {
    await perform({ ...call, write });
  } finally {
    const salt = saltOf(call);
    arrival.progress.result = salt === null ? null : formatAnswerCommitment(hash.digest(), salt);
    if (kept !== null && payloads !== null) await keep(call, { payloads, answer: kept.view(), salt });
  }
}

/** Request and answer with what opens their commitments; an answer that is too large is not kept in part. */
async function keep(
  { arrival, caller }: AllowedCall,
  {
    payloads,
    answer,
    salt,
  }: {
    readonly payloads: Pick<PayloadStore, "keep">;
    readonly answer: Uint8Array;
    readonly salt: Uint8Array | null;
  },
): Promise<void> {
  const { method, target, body: request } = arrival;
  await payloads.keep(caller.intent.intent.event_id, { method, target, request, answer, salt });
}

/** Null for a caller that knows only OAuth: it made no salt, and a digest without one would say what was answered. */
function saltOf({ arrival, caller }: AllowedCall): Uint8Array | null {
  if (caller.presented !== null) return null;
  const salt = arrival.headers["trustwarden-salt"];
  if (typeof salt !== "string") throw new Error("an authenticated call has a salt");
  return parseBase64url(salt);
}
