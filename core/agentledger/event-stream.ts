/**
 * The log as a stream of events, for whoever follows it: read in its order from any index on, resumable by a number.
 *
 * An event comes with each record that changes what is known of it: an allowed action comes twice, pending and with its
 * outcome. Joined from the log alone (a decision stands behind its intent, an outcome names its decision), so nothing is
 * kept between two reads but the last few bundles.
 */
import { TrustWardenError } from "../error.ts";
import { type JoinedEvent, joinRecord } from "./join.ts";
import { intentDigestOf, parseRecord, type UnverifiedRecord } from "./record.ts";
import { isShardMark } from "./shard.ts";

/** Bundles that are kept: outcomes are rarely far behind their decisions. */
const KEPT_BUNDLES = 4;

/** Where a stream reads: an entry and some that follow it, at least one. */
export interface StreamSource {
  readEntriesFrom(index: number): Promise<readonly Uint8Array[]>;
}

/** An event as it was known with one record of the log. */
export interface StreamedEvent {
  /** Log index of that record. */
  readonly index: number;
  readonly event: JoinedEvent;
}

/** A piece of the stream. */
export interface EventPiece {
  readonly events: readonly StreamedEvent[];
  /** Where the next piece begins. */
  readonly next: number;
}

/** Entries that were read together. */
interface Bundle {
  readonly first: number;
  readonly entries: readonly Uint8Array[];
}

/** Reads one ledger; owns the bundles it keeps. */
export class EventStream {
  readonly #source: StreamSource;
  #bundles: readonly Bundle[] = [];

  constructor(source: StreamSource) {
    this.#source = source;
  }

  /**
   * Events of entries [from, size), at most `limit` entries of them.
   *
   * @param range.size - of a published tree.
   * @throws TrustWardenError `ledger_corrupt`, `not_found` for what is not published.
   */
  async read(range: {
    readonly from: number;
    readonly size: number;
    readonly limit: number;
  }): Promise<EventPiece> {
    const end = Math.min(range.size, range.from + range.limit);
    const events: StreamedEvent[] = [];
    for (let index = range.from; index < end; index += 1) {
      const event = await this.#eventAt(index);
      if (event !== null) events.push({ index, event });
    }
    return { events, next: Math.max(range.from, end) };
  }

  async #eventAt(index: number): Promise<JoinedEvent | null> {
    const record = await this.#recordAt(index);
    if (record === null) return null;
    const { kind, value } = record.unverified;
    switch (kind) {
      case "intent":
      case "presented-intent":
        return null;
      case "outcome":
        return this.#join([value.decision_index - 1, value.decision_index], { index, record });
      case "decision":
        return this.#join([index - 1], { index, record });
      case "control":
        return this.#join(value.intent_sha256 === null ? [] : [index - 1], { index, record });
    }
  }

  /** Only what belongs to the same intent is joined, whatever an outcome says of its place. */
  async #join(
    before: readonly number[],
    last: { readonly index: number; readonly record: UnverifiedRecord },
  ): Promise<JoinedEvent> {
    let event: JoinedEvent | null = null;
    for (const index of before.filter((place) => place >= 0 && place < last.index)) {
      const record = await this.#recordAt(index);
      if (record !== null && intentDigestOf(record) === intentDigestOf(last.record))
        event = joinRecord(event, record, index);
    }
    return joinRecord(event, last.record, last.index);
  }

  /** Null for the beginning or end of a shard, which is no record. */
  async #recordAt(index: number): Promise<UnverifiedRecord | null> {
    const entry = await this.#entryAt(index);
    return isShardMark(entry) ? null : parseRecord(entry);
  }

  async #entryAt(index: number): Promise<Uint8Array> {
    const known = this.#bundles.find(
      ({ first, entries }) => first <= index && index < first + entries.length,
    );
    const bundle = known ?? { first: index, entries: await this.#source.readEntriesFrom(index) };
    // What is used last is dropped last.
    this.#bundles = [...this.#bundles.filter((other) => other !== bundle), bundle].slice(-KEPT_BUNDLES);
    const entry = bundle.entries[index - bundle.first];
    if (entry === undefined) throw new TrustWardenError("not_found", { index });
    return entry;
  }
}
