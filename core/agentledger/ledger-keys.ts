/**
 * The keys of a ledger as somebody follows them who sees no entries: from the first one on, by the end of each shard that names
 * another key for the next one, with the proof that it is the last entry of that shard.
 *
 * Nothing else makes a key the ledger's. Who says where the shards begin is not proven here: it only narrows what a key may sign.
 *
 * @see docs/decisions/0093
 */
import { TrustWardenError } from "../error.ts";
import { verifyInclusion } from "./inclusion-proof.ts";
import { leafHash } from "./merkle.ts";
import { encodeShardEnd, isSameLogKey, isShardSuccessor, verifyShardCheckpoint, vkeyFor } from "./shard.ts";
import { type NoteKey, parseVkey } from "./signed-note.ts";
import { parseTlogProof } from "./tlog-proof.ts";

/** A turn is an operator's act; more keys are somebody who wastes a reader's time. */
const MAX_KEYS = 1000;

/** One key of a ledger, and from where on it is the one. */
export interface LedgerKey {
  /** Under the ledger's own name, as promises are signed. */
  readonly vkey: string;
  readonly key: NoteKey;
  /** The first log that it signs. */
  readonly origin: string;
  /** Position in the ledger of that log's entry 0. */
  readonly first: number;
}

/** A shard as it is listed, nothing verified. */
export interface ListedShard {
  readonly vkey: string;
  readonly first: number;
  /** C2SP tlog-proof of the end before it, where its key is another than before. */
  readonly named_by: string | null;
}

/** What a reader begins with. @throws TrustWardenError `checkpoint_malformed`. */
export function firstLedgerKey(vkey: string): LedgerKey {
  const key = parseVkey(vkey);
  return { vkey, key, origin: key.name, first: 0 };
}

/**
 * All keys that a list of shards proves, from those that are known on.
 *
 * @param known - at least one; what was followed once stays.
 * @throws TrustWardenError `checkpoint_malformed`, `checkpoint_untrusted`, `proof_malformed`, `proof_invalid`.
 */
export function followLedgerKeys(
  known: readonly LedgerKey[],
  shards: readonly ListedShard[],
): readonly LedgerKey[] {
  let [last] = known;
  if (last === undefined || shards.length > MAX_KEYS) throw untrusted("no ledger");
  const ledger = last.key.name;
  const keys = [last];
  for (const { vkey, first, named_by: proof } of shards) {
    if (isSameLogKey(vkey, last.vkey)) continue;
    if (proof === null) throw untrusted("a key that no shard names");
    requireNamed(vkey, proof, last);
    const own = vkeyFor(vkey, ledger);
    last = { vkey: own, key: parseVkey(own), origin: parseVkey(vkey).name, first };
    keys.push(last);
  }
  if (known.some(({ vkey }, at) => keys[at]?.vkey !== vkey)) throw untrusted("other keys than before");
  return keys;
}

/** The key of a log. @param keys - at least one, in their order. */
export function ledgerKeyOf(keys: readonly LedgerKey[], origin: string): LedgerKey {
  return lastOf(keys, (key) => key.origin === origin || isShardSuccessor(key.origin, origin));
}

/** The key that signs a promise for a position. @param keys - at least one, in their order. */
export function ledgerKeyAt(keys: readonly LedgerKey[], position: number): LedgerKey {
  return lastOf(keys, ({ first }) => first <= position);
}

function lastOf(keys: readonly LedgerKey[], isIt: (key: LedgerKey) => boolean): LedgerKey {
  const found = keys.findLast(isIt) ?? keys[0];
  if (found === undefined) throw new Error("a ledger has a key");
  return found;
}

function requireNamed(vkey: string, text: string, by: LedgerKey): void {
  const { index, proof, checkpoint } = parseTlogProof(text);
  const { origin, size, root } = verifyShardCheckpoint(checkpoint, by.vkey);
  const isOfKey = origin === by.origin || isShardSuccessor(by.origin, origin);
  if (!isOfKey || index !== size - 1 || !isShardSuccessor(origin, parseVkey(vkey).name))
    throw untrusted("a key that no shard's end names");
  verifyInclusion({ index, size, leaf: leafHash(encodeShardEnd(vkey)), proof, root });
}

function untrusted(reason: string): TrustWardenError {
  return new TrustWardenError("checkpoint_untrusted", { reason });
}
