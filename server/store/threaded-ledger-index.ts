/**
 * `QueryIndex` whose file is written in one thread and searched in another: what the write path asks never waits for a question.
 *
 * An index that is missing or far behind is brought up to the log while the server works.
 * Entries are kept here until a batch is full or somebody asks, and one batch is on its way at a time. When the thread
 * falls far behind, entries are let go of and read from the log again, so that memory stays bounded and appending never
 * waits. A crash loses at most what `follow` reads again.
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
import { isOfType } from "./entry-type.ts";
import { digestOf } from "./ledger-index.ts";
import { IndexThread } from "./ledger-index-client.ts";
import type { IndexTask } from "./ledger-index-protocol.ts";
import { packEntries } from "./packed-entries.ts";

/** Entries written in one transaction; many cost the thread half of what single ones do. */
const BATCH = 512;
/** The same while the index is made from a log that is there: each set of events is written once a batch. */
const CATCH_UP_BATCH = 8192;
/** So few are made good before a start goes on. */
const MAX_AWAITED = 8192;
/** Lines of the log about one that takes long. */
const TOLD_PARTS = 20;
/** An outcome that is asked for meanwhile is looked for in the log, this far behind its decision. */
const MAX_SCANNED = 65_536;
/** When whoever is refused meanwhile is to ask again. */
const ASK_AGAIN_SECONDS = 5;
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
  /** Told while the index is made from a log that is there: at its beginning, each twentieth of it, and its end. */
  readonly onProgress?: (progress: IndexedSoFar) => void;
  /** Milliseconds that a question may take, waiting included. */
  readonly answerMs?: number;
}

/** How far the index has come with the log. */
export interface IndexedSoFar {
  readonly indexed: number;
  readonly entries: number;
}

/** Owns the threads and the entries that are not with them yet. */
export class ThreadedLedgerIndex implements QueryIndex {
  readonly #thread: IndexThread;
  /** Opens the thread of the questions; in memory there is one thread for everything. */
  readonly #openReader: () => IndexThread;
  /** Answers questions; null until the index has come to what the log was when it was followed. */
  #reader: IndexThread | null = null;
  #catchingUp: Promise<void> = Promise.resolve();
  #isCatchingUp = false;
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
  readonly #onProgress: (progress: IndexedSoFar) => void;
  /** Progress is told when this many entries are with the thread; never once it has come up to the log. */
  #toldNext = Number.POSITIVE_INFINITY;

  constructor({ path, onLost, onProgress = () => undefined, answerMs = ANSWER_MS }: ThreadedIndexOptions) {
    this.#onProgress = onProgress;
    this.#thread = new IndexThread({ path }, onLost);
    this.#openReader = () =>
      path === ":memory:" ? this.#thread : new IndexThread({ path, isReader: true }, onLost);
    this.#answerMs = answerMs;
  }

  get size(): number {
    return this.#size;
  }

  /** Follows a log, and returns when the index has come up to it. */
  async catchUp(source: EntrySource): Promise<void> {
    await this.follow(source);
    await this.#catchingUp;
  }

  async follow(source: EntrySource): Promise<void> {
    const { size, lastSha256 } = await this.#thread.ready;
    const isOfThisLog =
      size === 0 || (size <= source.size && digestOf(await source.readEntry(size - 1)) === lastSha256);
    if (!isOfThisLog) await this.#thread.run<void>({ kind: "beginAnew" });
    this.#source = source;
    this.#sent = isOfThisLog ? size : 0;
    this.#size = this.#sent;
    this.#droppedEnd = source.size;
    const isLong = source.size - this.#sent > MAX_AWAITED;
    if (isLong) this.#toldNext = this.#sent;
    this.#tell();
    this.#catchingUp = this.#catchUp();
    if (!isLong) await this.#catchingUp;
    // Safe to go on: questions are refused, and whoever waits for it gets the error.
    else this.#catchingUp.catch(() => undefined);
  }

  #tell(): void {
    const indexed = this.#sent;
    if (indexed < this.#toldNext) return;
    const entries = Math.max(this.#size, this.#droppedEnd);
    this.#toldNext =
      indexed < entries
        ? Math.min(entries, indexed + Math.ceil(entries / TOLD_PARTS))
        : Number.POSITIVE_INFINITY;
    this.#onProgress({ indexed, entries });
  }

  async #catchUp(): Promise<void> {
    this.#isCatchingUp = true;
    try {
      await this.#sendAll();
      // A thread that is opened after the end of this one is ended by nobody.
      if (this.#thread.isGone) return;
      this.#batch = BATCH;
      this.#reader = this.#openReader();
    } finally {
      this.#isCatchingUp = false;
    }
  }

  /** What could not be read of the log for once is read when somebody asks. */
  #goOn(): void {
    if (this.#isCatchingUp || this.#source === null) return;
    this.#catchingUp = this.#catchUp();
    // Safe to go on: questions are refused until it is done, and the next one begins again.
    this.#catchingUp.catch(() => undefined);
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

  async query(filter: EventFilter, page: EventPageRequest): Promise<EventPage> {
    if (this.#thread.isGone) throw new TrustWardenError("store_unavailable", { reason: "the index is gone" });
    if (this.#reader === null) throw this.#behind();
    return this.#ask<EventPage>({ kind: "query", filter, page }, this.#reader);
  }

  /** @throws TrustWardenError `ledger_index_mismatch` when the log has something else there than the index says. */
  async findOutcome(intent: IntentName): Promise<IndexedRecord | undefined> {
    if (this.#reader === null) return this.#findBehind(intent);
    const index = await this.#ask<number | null>({ kind: "findOutcome", intent }, this.#thread);
    if (index === null) return undefined;
    const { unverified, payloadSha256 } = parseRecord(await this.#requireSource().readEntry(index));
    if (unverified.kind !== "outcome" || unverified.value.intent_sha256 !== intent.intentSha256)
      throw new TrustWardenError("ledger_index_mismatch", { index });
    return { index, payloadSha256 };
  }

  /** Reads the log behind a decision. @throws TrustWardenError `ledger_index_behind` where that is much. */
  async #findBehind({ intentSha256, decidedAt }: IntentName): Promise<IndexedRecord | undefined> {
    const { size } = this.#requireSource();
    if (size - decidedAt > MAX_SCANNED) throw this.#behind();
    for (let at = decidedAt + 1; at < size; ) {
      const entries = await this.#readFrom(at);
      for (const [offset, entry] of entries.entries()) {
        const found = isOfType(entry, "outcome") ? parseRecord(entry) : null;
        if (found?.unverified.kind === "outcome" && found.unverified.value.intent_sha256 === intentSha256)
          return { index: at + offset, payloadSha256: found.payloadSha256 };
      }
      at += entries.length;
    }
    return undefined;
  }

  #behind(): TrustWardenError {
    this.#goOn();
    const details = { indexed: this.#sent, entries: this.#source?.size ?? 0 };
    return new TrustWardenError("ledger_index_behind", { ...details, retryAfterSeconds: ASK_AGAIN_SECONDS });
  }

  /** Writes what is kept here and ends the threads. Whatever is missing then is caught up with at the next start. */
  async close(): Promise<void> {
    if (this.#reader !== null && this.#droppedEnd <= this.#sent) await this.#sendAll().catch(() => undefined);
    if (this.#reader !== this.#thread) await this.#reader?.close();
    await this.#thread.close();
  }

  async #ask<T>(question: IndexTask, thread: IndexThread): Promise<T> {
    if (this.#questions >= MAX_QUESTIONS)
      throw new TrustWardenError("rate_limited", { reason: "searches wait" });
    this.#questions += 1;
    const answer = this.#sendAll().then(() => thread.run<T>(question));
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
        await this.#thread.run<void>({ kind: "add", entries: packEntries(entries) });
        for (let index = this.#sent; index < this.#sent + entries.length; index += 1)
          this.#kept.delete(index);
        this.#sent += entries.length;
        this.#size = Math.max(this.#size, this.#sent);
        while (this.#kept.has(this.#size)) this.#size += 1;
        this.#tell();
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
