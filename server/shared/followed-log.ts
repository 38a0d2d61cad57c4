/**
 * The ledger as a server has it that does not sequence it, or does so beside its other work: what is published is read as
 * anybody reads it, what is newer comes from the write-ahead log, and what is appended is carried to the sequencer.
 *
 * The same whoever sequences: when another takes over, nothing here changes. Positions and sizes only rise; what was
 * answered once is answered for ever.
 *
 * @see docs/decisions/0064
 */
import { setTimeout } from "node:timers/promises";
import { readFrozenShard } from "@trustwarden/core/agentledger/frozen-shard.ts";
import type { LogTail } from "@trustwarden/core/agentledger/log-tail.ts";
import type { LogReader } from "@trustwarden/core/agentledger/ports.ts";
import type { Appended } from "@trustwarden/core/agentledger/sequencer.ts";
import { type ShardName, type ShardPlace, shardOrigin } from "@trustwarden/core/agentledger/shard.ts";
import { placeAfter, requireFollows } from "@trustwarden/core/agentledger/shard-chain.ts";
import type { Shard, Turned } from "@trustwarden/core/agentledger/sharded-log.ts";
import { isEqualBytes } from "@trustwarden/core/bytes.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { LogWriter } from "../ledger/ledger.ts";
import { FollowedShard } from "./followed-shard.ts";

/** A notice can be lost with its connection. */
const LOOK_MS = 500;
/** While somebody waits for a checkpoint or the first entry. */
const POLL_MS = 50;
/** Another server takes a sequencer's place sooner. */
const WAIT_MS = 20_000;

export interface FollowedLogOptions {
  /** Name of the ledger, and its key. */
  readonly ledger: string;
  readonly vkey: string;
  readonly tail: LogTail;
  readonly readerOf: (shard: ShardName) => LogReader;
  readonly append: (entries: readonly Uint8Array[], id?: string) => Promise<readonly Appended[]>;
  /** Begins the next shard, where this server sequences. @throws TrustWardenError `replica_refused` where it does not. */
  readonly turn: (name: string) => Promise<unknown>;
  /** Told of every entry that is new here, in order within a shard, also of what this server appended. */
  readonly onEntry: (position: number, entry: Uint8Array) => void;
}

/** Owns what is known of the ledger's end. Between calls all shards but the last are frozen. */
export class FollowedLog implements LogWriter {
  readonly vkey: string;
  readonly #options: FollowedLogOptions;
  readonly #frozen: Shard[] = [];
  readonly #listeners: ((turned: Turned) => void)[] = [];
  #live: FollowedShard;
  #looking: Promise<void> | null = null;
  #isAgain = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: FollowedLogOptions) {
    this.vkey = options.vkey;
    this.#options = options;
    this.#live = this.#shardAt({ name: null, vkey: options.vkey, first: 0 });
  }

  get shards(): readonly Shard[] {
    return [...this.#frozen, this.current];
  }

  get current(): Shard {
    return this.#live.asShard();
  }

  get size(): number {
    return this.#live.place.first + this.#live.size;
  }

  publishedSize(): number {
    return this.#live.place.first + this.#live.requireHead().size;
  }

  shardAt(position: number): Shard {
    const shard = this.shards.findLast(({ first }) => first <= position);
    if (shard === undefined || !Number.isSafeInteger(position)) throw new TrustWardenError("not_found");
    return shard;
  }

  onTurned(listener: (turned: Turned) => void): void {
    this.#listeners.push(listener);
  }

  /**
   * Follows the chain to its end, and from then on what is new. A ledger that nobody has begun is waited for.
   *
   * @throws TrustWardenError `ledger_unavailable` when nobody begins it; `ledger_corrupt`, `store_unavailable`.
   */
  async start(): Promise<void> {
    await this.#until("beginning", () => this.#live.hasHead);
    this.#timer = setInterval(() => this.look(), LOOK_MS);
    this.#timer.unref();
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await this.#looking?.catch(() => undefined);
  }

  /** Something may be new. */
  look(): void {
    // Safe: whoever needs what is new asks for it and gets the refusal; and it is looked again.
    this.refresh().catch(() => undefined);
  }

  /**
   * Knows, when it returns, of everything that was durable when it was called.
   *
   * @throws TrustWardenError `ledger_unavailable`, `store_unavailable`, `ledger_corrupt`.
   */
  async refresh(): Promise<void> {
    // A look that is under way may have asked before.
    if (this.#looking !== null) {
      this.#isAgain = true;
      await this.#looking.catch(() => undefined);
    }
    this.#looking ??= this.#refresh().finally(() => {
      this.#looking = null;
    });
    await this.#looking;
  }

  /** Whoever has the seat looks; on such a server nothing acts before its entries are durable. */
  requireAcceptable(): void {}

  async append(entries: readonly Uint8Array[], id?: string): Promise<readonly Appended[]> {
    const appended = await this.#options.append(entries, id);
    if (id !== undefined) await this.#requireOurs(entries, appended);
    this.look();
    return appended;
  }

  async waitForCheckpoint(size: number): Promise<void> {
    await this.#until("checkpoint", () => this.#live.hasHead && size <= this.publishedSize());
  }

  async readEntry(position: number): Promise<Uint8Array> {
    if (position >= this.size) await this.refresh();
    const { first, log } = this.shardAt(position);
    return log.readEntry(position - first);
  }

  async readEntriesFrom(position: number): Promise<readonly Uint8Array[]> {
    if (position >= this.size) await this.refresh();
    const { first, log } = this.shardAt(position);
    return log.readEntriesFrom(position - first);
  }

  /** Begins the next shard; returns when it is the last one here too. @throws TrustWardenError `replica_refused`. */
  async turn(name: string): Promise<Shard> {
    await this.#options.turn(name);
    await this.#until("shard", () => this.current.name === name);
    return this.current;
  }

  /** Under one id several servers may ask, and the first place is the only one: whatever is there, not ours, is a conflict. */
  async #requireOurs(entries: readonly Uint8Array[], appended: readonly Appended[]): Promise<void> {
    for (const [at, entry] of entries.entries()) {
      const place = appended[at];
      if (place === undefined || !isEqualBytes(await this.readEntry(place.index), entry))
        throw new TrustWardenError("event_conflict", { reason: "recorded at another server" });
    }
  }

  async #until(what: string, isDone: () => boolean): Promise<void> {
    const untilMs = performance.now() + WAIT_MS;
    for (let isFirst = true; !isDone(); isFirst = false) {
      if (!isFirst) await setTimeout(POLL_MS);
      await this.refresh();
      if (!isDone() && performance.now() > untilMs)
        throw new TrustWardenError("ledger_unavailable", { reason: `no ${what} comes` });
    }
  }

  async #refresh(): Promise<void> {
    do {
      this.#isAgain = false;
      for (;;) {
        await this.#live.refresh();
        const next = this.#live.next;
        if (next === null) break;
        if (!(await this.#turnTo(next))) break;
      }
    } while (this.#isAgain);
  }

  /** @returns false while the end of the shard is not published. */
  async #turnTo(vkey: string): Promise<boolean> {
    const { place, reader } = this.#live;
    const frozen = await readFrozenShard(place, reader);
    if (frozen === null) return false;
    if (frozen.next !== vkey) throw new TrustWardenError("ledger_corrupt", { reason: "another next shard" });
    await requireFollows({ place, log: frozen.log, before: this.#frozen.at(-1) });
    const next = this.#shardAt(placeAfter([...this.#frozen, frozen], { ledger: this.#options.ledger, vkey }));
    await next.refresh();
    // It is begun when its first entry is there; until then the old one is the last.
    if (next.size === 0) return false;
    await requireFollows({ place: next.place, log: next.asShard().log, before: frozen });
    const end = await frozen.log.readEntry(frozen.log.size - 1);
    const start = await next.asShard().log.readEntry(0);
    this.#frozen.push(frozen);
    this.#live = next;
    const marks = [
      { position: next.place.first - 1, entry: end },
      { position: next.place.first, entry: start },
    ];
    for (const listener of this.#listeners) listener({ ended: frozen, begun: next.asShard(), marks });
    return true;
  }

  #shardAt(place: ShardPlace): FollowedShard {
    const { ledger, tail, readerOf, onEntry } = this.#options;
    const origin = shardOrigin(ledger, place.name);
    return new FollowedShard({ place, origin, tail, reader: readerOf(place.name), onEntry });
  }
}
