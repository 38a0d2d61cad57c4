/**
 * Has the ledger tell the events of commands in the order of their commits, whichever server committed them: before a server
 * asks for its own, it asks for what was committed before and is owed yet.
 *
 * An audit reads the ledger in its order. An approval that one server answered and another used, or an entry that one removed
 * and another had issued by before, would read like a use of what nobody gave.
 *
 * @see docs/decisions/0064
 */
import type { CarriedAppends } from "../ledger/carried-appends.ts";
import { appendIdOf } from "../ledger/outbox-sweep.ts";
import type { StoreReads } from "../store/ports.ts";

export interface CommitOrderOptions {
  readonly reads: Pick<StoreReads, "pendingEntries">;
  readonly appends: Pick<CarriedAppends, "append">;
}

/** Owns how far this server has asked; every row up to `#upTo` is asked for, or in the ledger. Rows are numbered as they are committed. */
export class CommitOrder {
  readonly #options: CommitOrderOptions;
  #upTo = 0;

  constructor(options: CommitOrderOptions) {
    this.#options = options;
  }

  /** Asks for what was committed before a row; the caller asks for the row itself in the same step. */
  askBefore(outboxId: number): void {
    const { reads, appends } = this.#options;
    if (outboxId <= this.#upTo) return;
    for (const row of reads.pendingEntries({ after: this.#upTo, before: outboxId })) {
      // Safe: what cannot be asked for now is swept; whoever owns the row hears of it.
      appends.append(row.entries, appendIdOf(row)).catch(() => undefined);
    }
    this.#upTo = outboxId;
  }
}
