/** The part of the state store that knows how much somebody read today. In the manner of `people-ports.ts`. */

/** What is read: lists of everybody's, or what one agent or job shows, by its name. */
export const READ_KINDS = ["everybody", "named"] as const;
export type ReadKind = (typeof READ_KINDS)[number];

/** Lines that were delivered to one principal since a day of its began. */
export interface ReadingState extends Readonly<Record<ReadKind, number>> {
  /** Unix seconds. */
  readonly since: number;
}

/** More lines, about to be delivered. */
export interface NewReading {
  /** As records name it. */
  readonly principal: string;
  readonly kind: ReadKind;
  readonly lines: number;
  /** Unix seconds. */
  readonly now: number;
}

export interface ReadingCommands {
  /** Counts lines before they are delivered, each after the other; leaves nothing in the ledger. @returns the day before them. */
  countReading(reading: NewReading): Promise<ReadingState>;
}

export interface ReadingReads {
  /** Of the day that goes on at an instant, Unix seconds. @throws TrustWardenError `store_unavailable` for a row that nobody wrote. */
  readingOf(principal: string, now: number): ReadingState;
}
