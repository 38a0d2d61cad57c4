/**
 * Where a group has to be kept besides the file that it ran on.
 *
 * The file's own transaction is open from `begin` until after `keep`, and is committed only when `keep` has returned.
 */

/**
 * Why a group was not kept; after `doubt` nobody knows whether it was, and after `behind` it may be run again at once. One that is
 * `early` uses what servers of the version before do not know, while they are there.
 */
export type Rejection = "fenced" | "behind" | "moved" | "unfit" | "early" | "lost" | "doubt";

/** A second place for groups. */
export interface Replica {
  /** Before the group's transaction begins. */
  begin(): void;
  /** @throws GroupNotKept when the transaction has to be rolled back. */
  keep(requests: readonly unknown[]): void;
  /** After a group, however it ended. */
  end(): void;
}

/** A group that the other place did not take: it is rolled back, and the writer may go on. */
export class GroupNotKept extends Error {
  readonly rejection: Rejection;

  constructor(rejection: Rejection) {
    super(`the state database did not take the group: ${rejection}`);
    this.rejection = rejection;
  }
}
