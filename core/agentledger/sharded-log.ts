/**
 * The ledger as one row of entries over its shards: the last shard has a sequencer, the ones before are only read.
 *
 * A turn to the next shard, the same in normal running and after a crash:
 *
 *  1. the last entry of the old shard, which names the next one, is durable; what comes from now on waits
 *  2. the old shard's final checkpoint is published, and its storage released
 *  3. the next shard is opened; the mark kept elsewhere becomes the next shard's
 *  4. entry 0 of the next shard, which is that final checkpoint, is durable; what waited goes on
 *
 * Step 1 decides: from then on the old shard takes nothing more, in any later process either, and only the shard that it
 * names can be begun. So there is never a second live shard, and an entry is in the old one or in the next, never in both.
 */

import type { PublicKey } from "../crypto.ts";
import { TrustWardenError } from "../error.ts";
import { verifyCheckpoint } from "./checkpoint.ts";
import { readFrozenShard } from "./frozen-shard.ts";
import type { LogKeys } from "./log-keys.ts";
import type { HighWater, LogReader, LogStorage } from "./ports.ts";
import { type Appended, Sequencer, type SequencerOptions } from "./sequencer.ts";
import {
  compareShardNames,
  encodeShardEnd,
  encodeShardStart,
  parseShardEnd,
  type ShardName,
  type ShardPlace,
  shardOrigin,
  vkeyFor,
} from "./shard.ts";
import { brokenChain, placeAfter, requireFollows } from "./shard-chain.ts";
import { formatVkey, rawEd25519Key } from "./signed-note.ts";

/** Reads and proofs of one shard; indexes are those of its own tree. */
export type ShardLog = Pick<
  Sequencer,
  | "vkey"
  | "size"
  | "checkpoint"
  | "waitForCheckpoint"
  | "readEntry"
  | "readEntriesFrom"
  | "proveInclusion"
  | "proveConsistency"
>;

/** One shard of a ledger. */
export interface Shard extends ShardPlace {
  readonly origin: string;
  readonly log: ShardLog;
  readonly reader: LogReader;
  /** Whether it has ended: its size, root and checkpoint are final. */
  readonly isFrozen: boolean;
}

/** Storage of one shard, and what its readers read. */
export interface ShardStorage {
  readonly storage: LogStorage;
  readonly reader: LogReader;
}

export interface ShardedLogOptions
  extends Pick<SequencerOptions, "now" | "onFatal" | "pace" | "maxEntryBytes"> {
  /** Name of the ledger, and origin of its first shard. */
  readonly ledger: string;
  readonly keys: LogKeys;
  readonly highWater: HighWater;
  readonly openShard: (name: ShardName) => ShardStorage;
}

/** What a turn left. */
export interface Turned {
  readonly ended: Shard;
  readonly begun: Shard;
  /** The last entry of the one and the first of the other, which nobody appended. */
  readonly marks: readonly { readonly position: number; readonly entry: Uint8Array }[];
}

interface Live extends Shard {
  readonly sequencer: Sequencer;
}

/** Owns the shards. Between calls all but the last are frozen, and each names its neighbours. */
export class ShardedLog {
  /** Key of the ledger's name: of its first shard, and of every promise until a shard has another one. */
  readonly vkey: string;
  readonly #options: ShardedLogOptions;
  readonly #frozen: Shard[] = [];
  readonly #listeners: ((turned: Turned) => void)[] = [];
  #live: Live | null = null;
  #turning: Promise<Shard> | null = null;

  constructor(options: ShardedLogOptions) {
    this.#options = options;
    this.vkey = formatVkey(options.ledger, rawEd25519Key(options.keys.first));
  }

  /** All shards, oldest first. */
  get shards(): readonly Shard[] {
    return [...this.#frozen, this.current];
  }

  /** The shard that entries are appended to. @throws TrustWardenError `ledger_unavailable` before `start`. */
  get current(): Shard {
    return this.#requireLive();
  }

  /** Tells of each turn, before what waited for it goes on. */
  onTurned(listener: (turned: Turned) => void): void {
    this.#listeners.push(listener);
  }

  /** Entries sequenced so far, in all shards. */
  get size(): number {
    const { first, sequencer } = this.#requireLive();
    return first + sequencer.size;
  }

  /** The shard that holds a position. @throws TrustWardenError `not_found`. */
  shardAt(position: number): Shard {
    const shard = this.shards.findLast(({ first }) => first <= position);
    if (shard === undefined || !Number.isSafeInteger(position)) throw new TrustWardenError("not_found");
    return shard;
  }

  /**
   * Follows the chain to its end, finishes what a crash interrupted, and begins to accept entries.
   *
   * @throws TrustWardenError the codes of `Sequencer.start`; `ledger_corrupt` for a chain that does not hold.
   */
  async start(): Promise<void> {
    let place: ShardPlace = { name: null, vkey: this.vkey, first: 0 };
    for (;;) {
      const opened = this.#options.openShard(place.name);
      const frozen = await readFrozenShard(place, opened.reader);
      if (frozen === null) {
        const live = await this.#begin(place, opened);
        const next = await readEnd(live.sequencer);
        if (next === null) return;
        await this.#freeze(live, next);
        place = this.#placeAfter(next);
      } else {
        await this.#requireFollows(place, frozen.log);
        this.#frozen.push(frozen);
        place = this.#placeAfter(frozen.next);
      }
    }
  }

  /** Finishes all accepted entries up to a published checkpoint, and releases the storage. */
  async stop(): Promise<void> {
    // Whatever a turn failed with has been told to whoever asked for it.
    await this.#turning?.catch(() => undefined);
    await this.#live?.sequencer.stop();
  }

  /** As `Sequencer.requireAcceptable`. */
  requireAcceptable(entries: readonly Uint8Array[]): void {
    this.#requireLive().sequencer.requireAcceptable(entries);
  }

  /** As `Sequencer.append`; indexes are positions in the ledger. */
  async append(entries: readonly Uint8Array[]): Promise<readonly Appended[]> {
    // Nothing is awaited unless a turn is under way: entries keep the order in which they were given.
    while (this.#turning !== null) await this.#turning;
    return this.#requireLive().sequencer.append(entries);
  }

  /** Resolves when a published checkpoint covers all entries before a position. @throws as `Sequencer.waitForCheckpoint`. */
  async waitForCheckpoint(size: number): Promise<void> {
    if (size > this.size) throw new TrustWardenError("not_found", { size });
    const { first, log } = this.shardAt(Math.max(0, size - 1));
    await log.waitForCheckpoint(size - first);
  }

  /** Entries under the newest published checkpoint, with all shards before it. */
  publishedSize(): number {
    const { first, log, vkey } = this.#requireLive();
    return first + verifyCheckpoint(log.checkpoint(), vkey).size;
  }

  /** The entry at a position. @throws as `Sequencer.readEntry`. */
  async readEntry(position: number): Promise<Uint8Array> {
    const { first, log } = this.shardAt(position);
    return log.readEntry(position - first);
  }

  /** The entry at a position and some that follow it in its shard. @throws as `readEntry`. */
  async readEntriesFrom(position: number): Promise<readonly Uint8Array[]> {
    const { first, log } = this.shardAt(position);
    return log.readEntriesFrom(position - first);
  }

  /**
   * Ends the current shard and begins the next one; a turn under way is the same turn, and so is one to a shard that is not later
   * than the current one: that has been made. Whoever asks may know less than this log.
   *
   * @param key - of the next shard: durable already, since from its end on nothing else can go on with the ledger. That of
   *   the current one unless given.
   * @throws TrustWardenError `ledger_unavailable`: the process must stop then, and the next start goes on with it.
   */
  turn(name: string, key?: PublicKey): Promise<Shard> {
    this.#turning ??= this.#turn(this.#requireLive(), name, key).finally(() => {
      this.#turning = null;
    });
    return this.#turning;
  }

  async #turn(old: Live, name: string, key: PublicKey | undefined): Promise<Shard> {
    const origin = shardOrigin(this.#options.ledger, name);
    if (old.name !== null && compareShardNames(name, old.name) <= 0) return old;
    const next = key === undefined ? vkeyFor(old.vkey, origin) : formatVkey(origin, rawEd25519Key(key));
    // Given to the sequencer before anything is awaited: everything accepted until now comes before it.
    const end = encodeShardEnd(next);
    await old.sequencer.append([end]); // 1
    try {
      const ended = await this.#freeze(old, next);
      const place = this.#placeAfter(next);
      const begun = await this.#begin(place, this.#options.openShard(place.name));
      const marks = [
        { position: begun.first - 1, entry: end },
        { position: begun.first, entry: await begun.log.readEntry(0) },
      ];
      for (const listener of this.#listeners) listener({ ended, begun, marks });
      return begun;
    } catch (cause) {
      this.#options.onFatal(cause);
      throw new TrustWardenError("ledger_unavailable", { reason: "the next shard is not begun" }, { cause });
    }
  }

  /** Step 2: from here on it is read from what is published, like any frozen shard. */
  async #freeze(old: Live, next: string): Promise<Shard> {
    await old.sequencer.stop(); // 2
    const frozen = await readFrozenShard(old, old.reader);
    if (frozen?.next !== next) throw brokenChain(old.name, "its last entry is not the end of the shard");
    this.#frozen.push(frozen);
    return frozen;
  }

  /** Steps 3 and 4. */
  async #begin(place: ShardPlace, { storage, reader }: ShardStorage): Promise<Live> {
    const { ledger, keys, highWater, now, onFatal, pace, maxEntryBytes } = this.#options;
    const origin = shardOrigin(ledger, place.name);
    const sequencer = new Sequencer({
      origin,
      signer: keys.signerOf(place.vkey),
      storage,
      highWater: followingMark(highWater, this.#frozen.at(-1)?.origin),
      now,
      onFatal,
      shard: { ledger, first: place.first },
      ...(pace === undefined ? {} : { pace }),
      ...(maxEntryBytes === undefined ? {} : { maxEntryBytes }),
    });
    await sequencer.start(); // 3
    try {
      await this.#requireBegun(place, sequencer); // 4
    } catch (error) {
      await sequencer.stop();
      throw error;
    }
    this.#live = { ...place, origin, log: sequencer, sequencer, reader, isFrozen: false };
    return this.#live;
  }

  async #requireBegun(place: ShardPlace, sequencer: Sequencer): Promise<void> {
    const before = this.#frozen.at(-1);
    if (before !== undefined && sequencer.size === 0) {
      await sequencer.append([encodeShardStart({ first: place.first, note: before.log.checkpoint() })]);
      await sequencer.waitForCheckpoint(1);
    }
    await this.#requireFollows(place, sequencer);
  }

  #requireFollows(place: ShardPlace, log: Pick<Sequencer, "readEntry">): Promise<void> {
    return requireFollows({ place, log, before: this.#frozen.at(-1) });
  }

  #placeAfter(vkey: string): ShardPlace {
    return placeAfter(this.#frozen, { ledger: this.#options.ledger, vkey });
  }

  #requireLive(): Live {
    if (this.#live === null) throw new TrustWardenError("ledger_unavailable", { reason: "not started" });
    return this.#live;
  }
}

/** The mark as a shard sees it: that of the shard before is none of its own, and gives way to its first. */
function followingMark(highWater: HighWater, after: string | undefined): HighWater {
  return {
    read: async () => {
      const mark = await highWater.read();
      return mark !== null && mark.origin === after ? null : mark;
    },
    raise: (mark) => highWater.raise({ ...mark, after }),
  };
}

/** Key of the next shard when a log has ended; null for one that goes on. */
async function readEnd(log: Sequencer): Promise<string | null> {
  return log.size === 0 ? null : parseShardEnd(await log.readEntry(log.size - 1));
}
