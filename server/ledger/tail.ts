/**
 * What a starting server learns from the end of its ledger: which intents were used already, which entries of the
 * outbox are in it, and the latest instant that was signed.
 *
 * Reads backwards until records are older than anything that could still matter. Times are taken from records that
 * this server signed, never from an agent's.
 */
import { encodeBase64url, parseUtf8 } from "@trustwarden/core/bytes.ts";
import { sha256 } from "@trustwarden/core/crypto.ts";
import { parseEnvelope, parseUnverifiedPayload, payloadTypeOf } from "@trustwarden/core/dsse.ts";
import { MAX_INTENT_SECONDS, parseIntent } from "@trustwarden/core/event.ts";
import type { LogWriter } from "./ledger.ts";
import type { SeenIntents } from "./seen-intents.ts";

/** An intent verifies until its expiry and a skew; whatever was logged longer ago cannot be replayed. */
const INTENT_REACH_MS = (MAX_INTENT_SECONDS + 120) * 1000;

/** What the end of the ledger told. */
export interface LedgerTail {
  /** Unix milliseconds of the latest record signed by this server; 0 for an empty ledger. */
  readonly signedMs: number;
  /** Ledger index of each entry read, by base64url SHA-256 of its bytes. */
  readonly indexes: ReadonlyMap<string, number>;
}

/**
 * Reads the end of the ledger into the set of seen intents.
 *
 * @param options.sinceMs - also read back to this instant (the oldest entry of the outbox); Unix milliseconds.
 */
export async function readTail(options: {
  readonly log: Pick<LogWriter, "size" | "readEntry">;
  readonly seen: SeenIntents;
  readonly sinceMs: number;
}): Promise<LedgerTail> {
  const { log, seen, sinceMs } = options;
  const indexes = new Map<string, number>();
  let signedMs = 0;
  for (let index = log.size - 1; index >= 0; index -= 1) {
    const entry = await log.readEntry(index);
    const recordedMs = readOne(entry, seen);
    signedMs = Math.max(signedMs, recordedMs ?? 0);
    indexes.set(digestOfEntry(entry), index);
    if (recordedMs !== null && recordedMs < Math.min(signedMs - INTENT_REACH_MS, sinceMs)) break;
  }
  return { signedMs, indexes };
}

/** base64url SHA-256 of an entry. */
export function digestOfEntry(entry: Uint8Array): string {
  return encodeBase64url(sha256(entry));
}

/** Notes an intent; gives the time of a record that this server signed, else null. */
function readOne(entry: Uint8Array, seen: SeenIntents): number | null {
  const envelope = parseEnvelope(parseUtf8(entry));
  const payload = parseUnverifiedPayload(envelope);
  if (envelope.payloadType === payloadTypeOf("intent")) {
    seen.remember({ intent: parseIntent(payload), payloadSha256: encodeBase64url(sha256(envelope.payload)) });
    return null;
  }
  const isOurs = (["presented-intent", "decision", "control"] as const)
    .map(payloadTypeOf)
    .some((type) => type === envelope.payloadType);
  return isOurs && typeof payload.time === "string" ? Date.parse(payload.time) : null;
}
