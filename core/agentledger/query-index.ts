/**
 * Port of the index that answers questions about the log.
 *
 * An index is made from the log alone, can be thrown away at any time, and is never trusted: whoever needs to be sure
 * reads the records at the indexes of an answer and checks their proofs.
 */
import type { JoinedEvent } from "./join.ts";

/** Which events; all of it must hold. */
export interface EventFilter {
  /** Agent id, instance id or SPIFFE ID that acted, or that the event is about. */
  readonly agent?: string | undefined;
  /** Owner id. */
  readonly owner?: string | undefined;
  readonly action?: string | undefined;
  readonly resource?: string | undefined;
  /** Unix milliseconds, inclusive. */
  readonly sinceMs?: number | undefined;
  /** Unix milliseconds, exclusive. */
  readonly untilMs?: number | undefined;
  readonly outcome?: JoinedEvent["outcome"] | undefined;
  /** `action`, or a control kind. */
  readonly kind?: string | undefined;
  readonly eventId?: string | undefined;
  /** Owner or agent id: only events in its subtree. */
  readonly within?: string | undefined;
}

/** A page of events, newest first. */
export interface EventPage {
  readonly events: readonly JoinedEvent[];
  /** To be given back for the next page; null after the last. */
  readonly nextCursor: string | null;
}

/** Which page of the answer. */
export interface EventPageRequest {
  readonly limit: number;
  readonly cursor?: string | undefined;
}

/** A record's place and its payload. */
export interface IndexedRecord {
  readonly index: number;
  /** base64url. */
  readonly payloadSha256: string;
}

/** Where an index gets entries from. */
export interface EntrySource {
  readonly size: number;
  readEntry(index: number): Promise<Uint8Array>;
}

/**
 * Answers questions; everything observed before a question is in its answer.
 *
 * A question is rejected with `store_unavailable` when the index is lost; the log goes on without it.
 */
export interface QueryIndex {
  /** Entries are known up to here without a gap. */
  readonly size: number;
  /** Brings the index up to the log; begins anew when it is not of this log. Call once, before anything else. */
  catchUp(source: EntrySource): Promise<void>;
  /** Takes note of an entry, at once. In any order: what comes early waits for what comes before it. */
  observe(index: number, entry: Uint8Array): void;
  /**
   * @throws TrustWardenError `request_malformed` for a cursor that it did not give; `rate_limited`.
   */
  query(filter: EventFilter, page: EventPageRequest): Promise<EventPage>;
  /** The record with this key; see `formatRecordKey`. */
  findRecord(key: string): Promise<IndexedRecord | undefined>;
  /** The outcome recorded for an intent. @param intentSha256 - base64url digest of the intent's entry. */
  findOutcome(intentSha256: string): Promise<IndexedRecord | undefined>;
}
