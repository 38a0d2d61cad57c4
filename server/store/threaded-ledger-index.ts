/**
 * `QueryIndex` whose file is written and searched in a thread of its own.
 *
 * Entries are kept here until a batch is full or somebody asks, and one batch is on its way at a time. When the thread
 * falls far behind, entries are let go of and read from the log again, so that memory stays bounded and appending never
 * waits. A crash loses at most what `catchUp` reads again.
 */
import type {
  EntrySource,
  EventFilter,
  EventPage,
  EventPageRequest,
  IndexedRecord,
  QueryIndex,
} from "@trustwarden/core/agentledger/query-index.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { digestOf } from "./ledger-index.ts";
import { IndexThread } from "./ledger-index-client.ts";
import type { IndexTask } from "./ledger-index-protocol.ts";

/** Entries written in one transaction; many cost the thread half of what single ones do. */
const BATCH = 512;
/** Entries kept here; about 20 MB, 16 KiB each at most. */
const MAX_KEPT = 16_384;
/** Searches that wait for the thread; each may take a quarter of a second on a large log. */
const MAX_QUESTIONS = 256;

export interface ThreadedIndexOptions {
  /** Of the file, or `:memory:`. */
  readonly path: string;
  /** Told once when the thread is gone: nothing can be searched until the next start; the log goes on. */
  readonly onLost: (error: unknown) => void;
}

/** Owns the thread and the entries that are not with it yet. */
export class ThreadedLedgerIndex implements QueryIndex {
  readonly #thread: IndexThread;
  /** Observed entries from `#sent` on, by index. */
  readonly #kept = new Map<number, Uint8Array>();
  #source: EntrySource | null = null;
  /** Entries below this are with the thread. */
  #sent = 0;
  /** Entries are known up to here without a gap. */
  #size = 0;
  /** Entries below this are in the log and perhaps not kept here. */
  #droppedEnd = 0;
  /** Entries below this are sent although they fill no batch. */
  #wanted = 0;
  /** At most one at a time. */
  #sending: Promise<void> | null = null;
  #questions = 0;

  constructor({ path, onLost }: ThreadedIndexOptions) {
    this.#thread = new IndexThread({ path }, onLost);
  }

  get size(): number {
    return this.#size;
  }

  async catchUp(source: EntrySource): Promise<void> {
    const { size, lastSha256 } = await this.#thread.ready;
    const isOfThisLog =
      size === 0 || (size <= source.size && digestOf(await source.readEntry(size - 1)) === lastSha256);
    if (!isOfThisLog) await this.#thread.run<void>({ kind: "beginAnew" });
    this.#source = source;
    this.#sent = isOfThisLog ? size : 0;
    this.#size = this.#sent;
    this.#droppedEnd = source.size;
    await this.#sendAll();
  }

  observe(index: number, entry: Uint8Array): void {
    if (index < this.#size || this.#thread.isGone) return;
    if (this.#kept.size < MAX_KEPT) this.#kept.set(index, entry);
    else this.#droppedEnd = Math.max(this.#droppedEnd, index + 1);
    while (this.#kept.has(this.#size)) this.#size += 1;
    if (this.#size - this.#sent < BATCH) return;
    // Safe to go on without it: the next question sends it again, and is told what is wrong.
    this.#send().catch(() => undefined);
  }

  query(filter: EventFilter, page: EventPageRequest): Promise<EventPage> {
    return this.#ask<EventPage>({ kind: "query", filter, page });
  }

  findRecord(key: string): Promise<IndexedRecord | undefined> {
    return this.#ask<IndexedRecord | undefined>({ kind: "findRecord", key });
  }

  findOutcome(intentSha256: string): Promise<IndexedRecord | undefined> {
    return this.#ask<IndexedRecord | undefined>({ kind: "findOutcome", intentSha256 });
  }

  /** Writes what is kept here and ends the thread. Whatever is missing then is caught up with at the next start. */
  async close(): Promise<void> {
    if (this.#droppedEnd <= this.#sent) await this.#sendAll().catch(() => undefined);
    await this.#thread.close();
  }

  async #ask<T>(question: IndexTask): Promise<T> {
    if (this.#questions >= MAX_QUESTIONS)
      throw new TrustWardenError("rate_limited", { reason: "searches wait" });
    this.#questions += 1;
    try {
      await this.#sendAll();
      return await this.#thread.run<T>(question);
    } finally {
      this.#questions -= 1;
    }
  }

  /** Sends everything that was observed until now. */
  async #sendAll(): Promise<void> {
    const end = Math.max(this.#size, this.#droppedEnd);
    this.#wanted = Math.max(this.#wanted, end);
    while (this.#sent < end) await this.#send();
  }

  #send(): Promise<void> {
    this.#sending ??= this.#sendBatches();
    return this.#sending;
  }

  async #sendBatches(): Promise<void> {
    try {
      while (this.#sent < this.#wanted || this.#size - this.#sent >= BATCH) {
        const entries = await this.#takeBatch();
        await this.#thread.run<void>({ kind: "add", entries });
        for (let index = this.#sent; index < this.#sent + entries.length; index += 1)
          this.#kept.delete(index);
        this.#sent += entries.length;
        this.#size = Math.max(this.#size, this.#sent);
        while (this.#kept.has(this.#size)) this.#size += 1;
      }
    } finally {
      this.#sending = null;
    }
  }

  /** The entries that come next, at least one; what is not kept here is read from the log. */
  async #takeBatch(): Promise<readonly Uint8Array[]> {
    const entries: Uint8Array[] = [];
    const end = Math.min(this.#sent + BATCH, Math.max(this.#size, this.#droppedEnd));
    for (let index = this.#sent; index < end; index += 1) {
      entries.push(this.#kept.get(index) ?? (await this.#readAgain(index)));
    }
    return entries;
  }

  async #readAgain(index: number): Promise<Uint8Array> {
    if (this.#source === null) throw new Error("the index catches up with a log before it observes it");
    return this.#source.readEntry(index);
  }
}
