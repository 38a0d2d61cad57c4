/**
 * Port of the index that answers questions about the log.
 *
 * An index is made from the log alone, can be thrown away at any time, and is never trusted: whoever needs to be sure
 * reads the records at the indexes of an answer and checks their proofs.
 */
import type { JoinedEvent } from "./join.ts";

/** Which events; all of it must hold. */
export interface EventFilter {
  /** Agent id, instance id or SPIFFE ID that acted, that the event is about, or below which the actor stands. */
  readonly agent?: string | undefined;
  /** Agent id: its own events, without those of agents below it. */
  readonly actor?: string | undefined;
  /** Owner or agent id: what it and everything below it did. */
  readonly subtree?: string | undefined;
  readonly job?: string | undefined;
  /** Name of a policy, digest of its bundle, or `<name>@<digest>`, under which it was decided. */
  readonly policy?: string | undefined;
  readonly decision?: "allow" | "deny" | undefined;
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
  /** Owner or agent id: only what it may see, which is its subtree and what is everybody's. */
  readonly within?: string | undefined;
}

/** A page of events, in the order that was asked for. */
export interface EventPage {
  readonly events: readonly JoinedEvent[];
  /** To be given back for the page behind this one; null after the last. */
  readonly nextCursor: string | null;
  /** To be given back for the page before this one; null before the first. */
  readonly previousCursor: string | null;
}

/**
 * Which page of the answer. A cursor names a place in the log, so that it stays good while the log grows: no event is
 * shown twice, and none is passed over that was there all the time.
 */
export interface EventPageRequest {
  readonly limit: number;
  readonly cursor?: string | undefined;
  /** By place in the log; newest first unless given. */
  readonly order?: EventOrder | undefined;
}

export type EventOrder = "newest" | "oldest";

/** An intent by its event id and the digest of its entry. */
export interface IntentName {
  readonly eventId: string;
  /** base64url. */
  readonly intentSha256: string;
  /** Position of its decision: an outcome lies behind it. */
  readonly decidedAt: number;
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
  /** An entry and some that follow it, where that costs no more than the entry alone. */
  readEntriesFrom?(index: number): Promise<readonly Uint8Array[]>;
}

/**
 * Answers questions; everything observed before a question is in its answer.
 *
 * A question is rejected with `store_unavailable` when the index is lost, and with `ledger_index_behind` while it is made from
 * the log; the log goes on without it.
 */
export interface QueryIndex {
  /** Entries are known up to here without a gap. */
  readonly size: number;
  /**
   * Takes the log, and begins anew when the index is not of it. Call once, before anything else. What little is missing is
   * there when it resolves; of more than that, it goes on behind, and questions are refused until it is done.
   */
  follow(source: EntrySource): Promise<void>;
  /** Takes note of an entry, at once. In any order: what comes early waits for what comes before it. */
  observe(index: number, entry: Uint8Array): void;
  /**
   * @throws TrustWardenError `request_malformed` for a cursor that it did not give; `rate_limited`;
   *   `ledger_search_late` when it takes too long.
   */
  query(filter: EventFilter, page: EventPageRequest): Promise<EventPage>;
  /** The first outcome recorded for an intent; what it says is read from the log, and so is where it lies while the index is behind. */
  findOutcome(intent: IntentName): Promise<IndexedRecord | undefined>;
}
