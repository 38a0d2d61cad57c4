/**
 * The part of the state store that knows by which restore its server came back, in the manner of `ports.ts`.
 *
 * @see docs/decisions/0104-a-restore-waits-for-two-admins.md
 */

export const RESTORE_OUTCOMES = ["proven", "void"] as const;

/** The last restore. */
export interface RestoreState {
  /** `rst_…` */
  readonly id: string;
  /** Unix seconds; the floor under enrolments that it left. */
  readonly restoredAt: number;
  /** As `Restored.outcome` says it. */
  readonly outcome: (typeof RESTORE_OUTCOMES)[number];
  /** Id of the backup; null for one of before ids were. */
  readonly backup: string | null;
  /** Account of the host. */
  readonly restoredBy: string;
  /** Admins with a passkey, as the backup and the ledger at hand know them. */
  readonly admins: number;
  /** Nothing is issued or allowed until two of them have agreed. */
  readonly isHeld: boolean;
  /** Unix seconds; of the first of several restores that nobody agreed to: what came after it is none of before. */
  readonly heldSince: number;
  /** Whether the ledger of the restored server has it. */
  readonly isTold: boolean;
}

/** What happens to a restore after it was made. */
export type RestoreChange =
  | { readonly change: "tell" }
  | {
      readonly change: "release";
      /** Who asks, by which session. */
      readonly personId: string;
      readonly sessionSha256: string;
      /** The second admin. */
      readonly confirmedBy: string;
    };

/** The reads of restores. */
export interface RestoreReads {
  /** Undefined on a server that no restore has made. */
  restore(): RestoreState | undefined;
}
