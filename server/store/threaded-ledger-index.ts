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
  IntentName,
  QueryIndex,
} from "@trustwarden/core/agentledger/query-index.ts";
import { parseRecord } from "@trustwarden/core/agentledger/record.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { digestOf } from "./ledger-index.ts";
import { IndexThread } from "./ledger-index-client.ts";
import type { IndexTask } from "./ledger-index-protocol.ts";

/** Entries written in one transaction; many cost the thread half of what single ones do. */
const BATCH = 512;
/** The same while the index is made from a log that is there: each set of events is written once a batch. */
const CATCH_UP_BATCH = 8192;
/** Entries kept here; about 20 MB, 16 KiB each at most. */
const MAX_KEPT = 16_384;
/** Searches that wait for the thread. */
const MAX_QUESTIONS = 256;
/** A question that is not answered by then is refused, whatever holds it up. Milliseconds. */
const ANSWER_MS = 20_000;

export interface ThreadedIndexOptions {
  /** Of the file, or `:memory:`. */
  readonly path: string;
  /** Told once when the thread is gone: nothing can be searched until the next start; the log goes on. */
  readonly onLost: (error: unknown) => void;
  /** Milliseconds that a question may take, waiting included. */
  readonly answerMs?: number;
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
  #batch = CATCH_UP_BATCH;
  readonly #answerMs: number;

  constructor({ path, onLost, answerMs = ANSWER_MS }: ThreadedIndexOptions) {
    this.#thread = new IndexThread({ path }, onLost);
    this.#answerMs = answerMs;
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
    this.#batch = BATCH;
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

  /** @throws TrustWardenError `ledger_index_mismatch` when the log has something else there than the index says. */
  async findOutcome(intent: IntentName): Promise<IndexedRecord | undefined> {
    const index = await this.#ask<number | null>({ kind: "findOutcome", intent });
    if (index === null) return undefined;
    const { unverified, payloadSha256 } = parseRecord(await this.#requireSource().readEntry(index));
    if (unverified.kind !== "outcome" || unverified.value.intent_sha256 !== intent.intentSha256)
      throw new TrustWardenError("ledger_index_mismatch", { index });
    return { index, payloadSha256 };
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
    const answer = this.#sendAll().then(() => this.#thread.run<T>(question));
    const late = new TrustWardenError("ledger_search_late", { afterMs: this.#answerMs });
    try {
      return await within(answer, { ms: this.#answerMs, late });
    } finally {
      // What is given up on goes on, and counts as waiting until it is over.
      answer.finally(() => (this.#questions -= 1)).catch(() => undefined);
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
    const end = Math.min(this.#sent + this.#batch, Math.max(this.#size, this.#droppedEnd));
    while (this.#sent + entries.length < end) {
      const index = this.#sent + entries.length;
      const kept = this.#kept.get(index);
      if (kept !== undefined) entries.push(kept);
      else entries.push(...(await this.#readFrom(index)).slice(0, end - index));
    }
    return entries;
  }

  async #readFrom(index: number): Promise<readonly Uint8Array[]> {
    const source = this.#requireSource();
    return (await source.readEntriesFrom?.(index)) ?? [await source.readEntry(index)];
  }

  #requireSource(): EntrySource {
    if (this.#source === null) throw new Error("the index catches up with a log before it observes it");
    return this.#source;
  }
}

/** @throws `late` when a value does not come in time; whatever it is rejected with. */
async function within<T>(
  value: Promise<T>,
  { ms, late }: { readonly ms: number; readonly late: TrustWardenError },
): Promise<T> {
  const timer = Promise.withResolvers<never>();
  const timeout = setTimeout(() => timer.reject(late), ms);
  try {
    return await Promise.race([value, timer.promise]);
  } finally {
    clearTimeout(timeout);
  }
}
