/**
 * What is newer than the published tree of a log that another server sequences: the records of its write-ahead log, for
 * reading alone.
 *
 * A record that is there is durable and in its place for ever, since whoever sequences next takes up all of them.
 *
 * @see docs/decisions/0064
 */

/** Place of a record in the write-ahead log. */
export interface TailPlace {
  readonly segment: number;
  readonly position: number;
}

/** Records after a place, and the place of the last. */
export interface TailRecords {
  readonly records: readonly Uint8Array[];
  readonly place: TailPlace;
  /**
   * The segment that is written to at the same instant; -1 before there is a log. Records of segments before it that are not
   * there any more are under a checkpoint that was published before they went.
   */
  readonly segment: number;
}

/** The write-ahead log of a log that another sequences. */
export interface LogTail {
  /** Records of a log after a place, in order; some at a time. @throws TrustWardenError `ledger_unavailable`. */
  readAfter(log: string, place: TailPlace): Promise<TailRecords>;
}
