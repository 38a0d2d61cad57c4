/**
 * What a starting server learns from the end of its ledger: which intents were used already, which entries of the
 * outbox are in it, and the latest instant that was signed.
 *
 * Reads backwards until records are older than anything that could still matter, a bundle at a time: of a busy server that is a
 * hundred thousand entries, and every one that is read for nothing holds up its start. Times are taken from records that this
 * server signed, never from an agent's.
 */
import type { EntrySource } from "@trustwarden/core/agentledger/query-index.ts";
import { isShardMark } from "@trustwarden/core/agentledger/shard.ts";
import { TILE_WIDTH } from "@trustwarden/core/agentledger/tile.ts";
import { encodeBase64url, parseUtf8 } from "@trustwarden/core/bytes.ts";
import { sha256 } from "@trustwarden/core/crypto.ts";
import { parseEnvelope, parseUnverifiedPayload, payloadTypeOf } from "@trustwarden/core/dsse.ts";
import { MAX_INTENT_SECONDS, parseIntent } from "@trustwarden/core/event.ts";
import { isOfType } from "../store/entry-type.ts";
import type { LogWriter } from "./ledger.ts";
import type { SeenIntents } from "./seen-intents.ts";

/** An intent verifies until its expiry and a skew; whatever was logged longer ago cannot be replayed. */
const INTENT_REACH_MS = (MAX_INTENT_SECONDS + 120) * 1000;

/** Entries by which records may be out of the order of their times: more than are ever on their way at once. */
const MAX_OUT_OF_ORDER = 4096;

/** What the end of the ledger told. */
export interface LedgerTail {
  /** Unix milliseconds of the latest record signed by this server; 0 for an empty ledger. */
  readonly signedMs: number;
  /** Ledger index of each entry read, by base64url SHA-256 of its bytes; empty where nobody waits in the outbox. */
  readonly indexes: ReadonlyMap<string, number>;
}

/** The ledger, as far as its end is read. */
type Tail = Pick<LogWriter, "size" | "readEntry"> & Pick<EntrySource, "readEntriesFrom">;

/**
 * Reads the end of the ledger into the set of seen intents.
 *
 * @param options.sinceMs - also read back to this instant (the oldest entry of the outbox), and tell where each entry
 *   is; Unix milliseconds, infinite where the outbox is empty.
 */
export async function readTail(options: {
  readonly log: Tail;
  readonly seen: SeenIntents;
  readonly sinceMs: number;
}): Promise<LedgerTail> {
  const { log, seen, sinceMs } = options;
  const isWanted = Number.isFinite(sinceMs);
  const indexes = new Map<string, number>();
  let signedMs = 0;
  for await (const { index, entry, isDated } of readBackwards(log)) {
    if (isWanted) indexes.set(digestOfEntry(entry), index);
    if (!isDated && !isOfType(entry, "intent")) continue;
    const recordedMs = readOne(entry, seen);
    signedMs = Math.max(signedMs, recordedMs ?? 0);
    if (recordedMs !== null && recordedMs < Math.min(signedMs - INTENT_REACH_MS, sinceMs)) break;
  }
  return { signedMs, indexes };
}

/**
 * The latest instant of a command's event, as far as the end of the ledger tells; null where there is none. Commands are dated by
 * one clock that never goes back, so whoever finds one needs to look only a little further.
 *
 * @param kinds - of events that commands of the state store make; a working server makes one an hour at least.
 */
export async function readLatestCommand(
  log: Tail,
  kinds: ReadonlySet<string>,
): Promise<{ readonly kind: string; readonly timeMs: number } | null> {
  let latest: { readonly kind: string; readonly timeMs: number } | null = null;
  let foundAt = 0;
  for await (const { index, entry } of readBackwards(log)) {
    if (latest !== null && index < foundAt - MAX_OUT_OF_ORDER) break;
    if (!isOfType(entry, "control")) continue;
    const { kind, time } = parseUnverifiedPayload(parseEnvelope(parseUtf8(entry)));
    if (typeof kind !== "string" || typeof time !== "string" || !kinds.has(kind)) continue;
    const timeMs = Date.parse(time);
    if (latest === null) foundAt = index;
    if (latest === null || timeMs > latest.timeMs) latest = { kind, timeMs };
  }
  return latest;
}

/** Newest first. Records are in the order of their times but for moments: beyond the newest, one of a bundle dates it. */
async function* readBackwards(log: Tail) {
  for (let end = log.size; end > 0; ) {
    const { start, entries } = await readBundleBefore(log, end);
    for (const [back, entry] of entries.toReversed().entries()) {
      const at = entries.length - 1 - back;
      yield { index: start + at, entry, isDated: end === log.size || at === 0 };
    }
    end = start;
  }
}

/** The entries that end before an index and are in one bundle; one entry where the log gives no more at once. */
async function readBundleBefore(
  log: Tail,
  end: number,
): Promise<{ readonly start: number; readonly entries: readonly Uint8Array[] }> {
  if (log.readEntriesFrom === undefined) return { start: end - 1, entries: [await log.readEntry(end - 1)] };
  const start = Math.floor((end - 1) / TILE_WIDTH) * TILE_WIDTH;
  const entries: Uint8Array[] = [];
  while (start + entries.length < end) entries.push(...(await log.readEntriesFrom(start + entries.length)));
  return { start, entries: entries.slice(0, end - start) };
}

/** base64url SHA-256 of an entry. */
export function digestOfEntry(entry: Uint8Array): string {
  return encodeBase64url(sha256(entry));
}

/** Notes an intent; gives the time of a record that this server signed, else null. */
function readOne(entry: Uint8Array, seen: SeenIntents): number | null {
  if (isShardMark(entry)) return null;
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
