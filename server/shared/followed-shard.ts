/**
 * The shard of a ledger that goes on, as a server has it that follows it: its published tree, and behind that the records of
 * the write-ahead log.
 */
import { setTimeout } from "node:timers/promises";
import { type Checkpoint, verifyCheckpoint } from "@trustwarden/core/agentledger/checkpoint.ts";
import type { LogTail, TailPlace } from "@trustwarden/core/agentledger/log-tail.ts";
import type { LogReader } from "@trustwarden/core/agentledger/ports.ts";
import {
  proveConsistency,
  proveInclusion,
  readEntriesFrom,
  readEntry,
} from "@trustwarden/core/agentledger/prover.ts";
import { parseShardEnd, type ShardPlace } from "@trustwarden/core/agentledger/shard.ts";
import type { Shard, ShardLog } from "@trustwarden/core/agentledger/sharded-log.ts";
import { parseWal } from "@trustwarden/core/agentledger/wal.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";

/** While somebody waits for a checkpoint. */
const POLL_MS = 50;
/** Another server takes a sequencer's place sooner. */
const WAIT_MS = 20_000;
/** Entries that are published stay at hand for a while: most questions are about the latest. */
const KEPT = 4096;
const BEFORE_ALL: TailPlace = { segment: -1, position: -1 };

export interface FollowedShardOptions {
  readonly place: ShardPlace;
  readonly origin: string;
  readonly tail: LogTail;
  readonly reader: LogReader;
  /** Told of every entry that is new here, in order, with its position in the ledger. */
  readonly onEntry: (position: number, entry: Uint8Array) => void;
}

/** Owns the entries that are newer than the published tree, and some that are not. */
export class FollowedShard {
  readonly place: ShardPlace;
  readonly reader: LogReader;
  readonly #options: FollowedShardOptions;
  readonly #entries = new Map<number, Uint8Array>();
  readonly #shard: Shard;
  #place: TailPlace = BEFORE_ALL;
  /** Of the tail: nothing of those before it is missing here. */
  #segment = BEFORE_ALL.segment;
  #size = 0;
  #head: Checkpoint | null = null;
  #note = "";
  #next: string | null = null;

  constructor(options: FollowedShardOptions) {
    this.place = options.place;
    this.reader = options.reader;
    this.#options = options;
    this.#shard = this.#createShard(options.origin);
  }

  /** Entries of this shard that are known of. */
  get size(): number {
    return this.#size;
  }

  /** Whether anything was published. */
  get hasHead(): boolean {
    return this.#head !== null;
  }

  /** Key of the shard that follows, when this one has ended; null before. */
  get next(): string | null {
    return this.#next;
  }

  /** The same object always; it knows what this one knows. */
  asShard(): Shard {
    return this.#shard;
  }

  /** The latest checkpoint. @throws TrustWardenError `ledger_unavailable` before the first. */
  requireHead(): Checkpoint {
    if (this.#head === null)
      throw new TrustWardenError("ledger_unavailable", { reason: "no checkpoint yet" });
    return this.#head;
  }

  /**
   * Knows, when it returns, of everything that was durable when it was called. The tail first: whatever a checkpoint
   * covers was in the tail before it was published. Where the tail began anew since, what is gone from it was published
   * before, and is read there before what came behind it.
   *
   * @throws TrustWardenError `ledger_unavailable`, `store_unavailable`, `ledger_corrupt`.
   */
  async refresh(): Promise<void> {
    const { tail, origin } = this.#options;
    for (;;) {
      const { records, place, segment } = await tail.readAfter(origin, this.#place);
      if (segment > this.#segment) await this.#readHead();
      for (const record of records) this.#take(record);
      this.#segment = segment;
      if (records.length === 0) break;
      this.#place = place;
    }
    if (this.#head === null || this.#head.size < this.#size) await this.#readHead();
    this.#forget();
  }

  #take(bytes: Uint8Array): void {
    for (const { first, entries } of parseWal(bytes)) {
      // Whoever published what is between has not shown it yet; nothing is passed over.
      if (first > this.#size)
        throw new TrustWardenError("ledger_unavailable", { reason: "a gap in the log" });
      for (const [at, entry] of entries.entries()) {
        const index = first + at;
        if (index < this.#size) continue;
        this.#entries.set(index, entry);
        this.#size = index + 1;
        this.#options.onEntry(this.place.first + index, entry);
      }
      const last = entries.at(-1);
      if (last !== undefined && first + entries.length === this.#size) this.#next = parseShardEnd(last);
    }
  }

  async #readHead(): Promise<void> {
    const note = await this.reader.readCheckpoint();
    if (note === null || note === this.#note) return;
    const head = verifyCheckpoint(note, this.place.vkey);
    // An object store may answer with an older one for a moment.
    if (this.#head !== null && head.size <= this.#head.size) return;
    this.#head = head;
    this.#note = note;
    if (head.size > this.#size) await this.#jumpTo(head);
  }

  /** What was published and is in the write-ahead log no more: of before this server began, or while it was away. */
  async #jumpTo(head: Checkpoint): Promise<void> {
    const { size } = head;
    // Before it began nobody here knew of anything; later the index has to have each of them.
    for (let index = this.#size === 0 ? size - 1 : this.#size; index < size; ) {
      const entries = await readEntriesFrom(this.reader, { index, size });
      for (const [at, entry] of entries.entries())
        this.#options.onEntry(this.place.first + index + at, entry);
      index += entries.length;
      const last = entries.at(-1);
      this.#next = last === undefined ? null : parseShardEnd(last);
    }
    this.#size = size;
  }

  #forget(): void {
    const published = this.#head?.size ?? 0;
    for (const index of this.#entries.keys()) {
      if (this.#entries.size <= KEPT || index >= published) return;
      this.#entries.delete(index);
    }
  }

  #createShard(origin: string): Shard {
    const { place, reader } = this;
    return { ...place, origin, reader, log: this.#createLog(), isFrozen: false };
  }

  #createLog(): ShardLog {
    const sizeOf = () => this.#size;
    const { reader } = this;
    return {
      vkey: this.place.vkey,
      get size() {
        return sizeOf();
      },
      checkpoint: () => {
        this.requireHead();
        return this.#note;
      },
      waitForCheckpoint: (wanted) => this.#waitForCheckpoint(wanted),
      readEntry: async (index) => this.#entries.get(index) ?? (await this.#readPublished(index)),
      readEntriesFrom: async (index) => {
        const entry = this.#entries.get(index);
        if (entry !== undefined && index >= this.requireHead().size) return [entry];
        return readEntriesFrom(reader, { index, size: this.requireHead().size });
      },
      proveInclusion: (index, size) => proveInclusion(reader, { index, size, head: this.requireHead() }),
      proveConsistency: (oldSize, newSize) =>
        proveConsistency(reader, { oldSize, newSize, head: this.requireHead() }),
    };
  }

  /** What is newer than the tiles and not at hand was passed over: the checkpoint that covers it comes. */
  async #readPublished(index: number): Promise<Uint8Array> {
    if (index >= this.requireHead().size && index < this.#size) await this.#waitForCheckpoint(index + 1);
    return readEntry(this.reader, { index, size: this.requireHead().size });
  }

  async #waitForCheckpoint(size: number): Promise<void> {
    const untilMs = performance.now() + WAIT_MS;
    while (this.requireHead().size < size) {
      if (performance.now() > untilMs)
        throw new TrustWardenError("ledger_unavailable", { reason: "no checkpoint comes" });
      await setTimeout(POLL_MS);
      await this.#readHead();
    }
  }
}
