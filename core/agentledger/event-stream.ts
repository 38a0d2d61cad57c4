/**
 * The log as a stream of events, for whoever follows it: read in its order from any index on, resumable by a number.
 *
 * An event comes with each record that changes what is known of it: an allowed action comes twice, pending and with its
 * outcome. Joined from the log alone (a decision stands behind its intent, an outcome names its decision), so nothing is
 * kept between two reads but the last few bundles.
 */
import { TrustWardenError } from "../error.ts";
import { parseCheckpointText } from "./checkpoint.ts";
import { type JoinedEvent, joinRecord } from "./join.ts";
import type { LogReader } from "./ports.ts";
import { intentDigestOf, parseRecord, type UnverifiedRecord } from "./record.ts";
import { parseNote } from "./signed-note.ts";
import { formatTilePath, parseBundle, TILE_WIDTH, tileAt } from "./tile.ts";
import { readTile } from "./tree-reader.ts";

/** Bundles that are kept: outcomes are rarely far behind their decisions. */
const KEPT_BUNDLES = 4;

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

/** Entries that a signed checkpoint covers. Nothing is proven: the caller's own log. */
export function publishedSize(note: string): number {
  return parseCheckpointText(parseNote(note).unverifiedText).size;
}

/** Reads one log from its published bundles; owns the bundles it keeps. */
export class EventStream {
  readonly #reader: LogReader;
  readonly #bundles = new Map<string, Promise<readonly Uint8Array[]>>();

  constructor(reader: LogReader) {
    this.#reader = reader;
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
      const event = await this.#eventAt(index, range.size);
      if (event !== null) events.push({ index, event });
    }
    return { events, next: Math.max(range.from, end) };
  }

  async #eventAt(index: number, size: number): Promise<JoinedEvent | null> {
    const record = await this.#recordAt(index, size);
    const { kind, value } = record.unverified;
    switch (kind) {
      case "intent":
      case "presented-intent":
        return null;
      case "outcome":
        return this.#join([value.decision_index - 1, value.decision_index], { index, record, size });
      case "decision":
        return this.#join([index - 1], { index, record, size });
      case "control":
        return this.#join(value.intent_sha256 === null ? [] : [index - 1], { index, record, size });
    }
  }

  /** Only what belongs to the same intent is joined, whatever an outcome says of its place. */
  async #join(
    before: readonly number[],
    last: { readonly index: number; readonly record: UnverifiedRecord; readonly size: number },
  ): Promise<JoinedEvent> {
    let event: JoinedEvent | null = null;
    for (const index of before.filter((place) => place >= 0 && place < last.index)) {
      const record = await this.#recordAt(index, last.size);
      if (intentDigestOf(record) === intentDigestOf(last.record)) event = joinRecord(event, record, index);
    }
    return joinRecord(event, last.record, last.index);
  }

  async #recordAt(index: number, size: number): Promise<UnverifiedRecord> {
    const name = tileAt({ level: "entries", position: index, size });
    const path = formatTilePath(name);
    const bundle =
      this.#bundles.get(path) ?? readTile(this.#reader, name).then((bytes) => parseBundle(bytes, name));
    // What is used last is dropped last; a bundle that could not be read is asked for again.
    this.#bundles.delete(path);
    this.#bundles.set(path, bundle);
    bundle.catch(() => this.#bundles.delete(path));
    for (const old of [...this.#bundles.keys()].slice(0, -KEPT_BUNDLES)) this.#bundles.delete(old);
    const entry = (await bundle)[index % TILE_WIDTH];
    if (entry === undefined) throw new TrustWardenError("not_found", { index });
    return parseRecord(entry);
  }
}
