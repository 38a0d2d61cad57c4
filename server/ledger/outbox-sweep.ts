/**
 * Brings into the ledger what servers that share a store owe it and did not bring in themselves: they died in between.
 *
 * Every server does this for all of them. That the owner may yet come, or two at once, costs nothing: the rows of one
 * command are asked for under one id, whoever asks.
 *
 * @see docs/decisions/0053
 */
import type { StoreCommands, StoreReads } from "../store/ports.ts";
import type { CarriedAppends } from "./carried-appends.ts";
import { digestOfEntry } from "./tail.ts";

/** A server that lives brings its rows in within moments. */
const OWED_MS = 5_000;
const LOOK_MS = 1_000;

/** A row of the outbox. */
interface OwedRow {
  readonly outboxId: number;
  readonly entries: readonly Uint8Array[];
}

export interface OutboxSweepOptions {
  readonly reads: Pick<StoreReads, "pendingEntries">;
  readonly markSequenced: StoreCommands["markSequenced"];
  readonly appends: Pick<CarriedAppends, "append">;
  /** Monotonic milliseconds. */
  readonly monoMs: () => number;
  /** How long a row may lie before somebody else's turn comes. */
  readonly owedMs?: number;
  /** A look that failed; another follows. */
  readonly onFailure: (error: unknown) => void;
}

/** The id under which a row is appended, by whichever server; the state's database reads the row's id in it. */
export function appendIdOf({ outboxId, entries }: OwedRow): string {
  const last = entries.at(-1);
  if (last === undefined) throw new Error("an event has at least one entry");
  return `outbox ${outboxId} ${digestOfEntry(last)}`;
}

/** Owns the timer, and since when it has known of each row. */
export class OutboxSweep {
  readonly #options: OutboxSweepOptions;
  readonly #timer: NodeJS.Timeout;
  #since: ReadonlyMap<number, number> = new Map();
  #looking: Promise<void> | null = null;

  constructor(options: OutboxSweepOptions) {
    this.#options = options;
    this.#timer = setInterval(() => void this.look(), LOOK_MS).unref();
  }

  /** Looks now; never throws. */
  look(): Promise<void> {
    this.#looking ??= this.#look()
      .catch(this.#options.onFailure)
      .finally(() => {
        this.#looking = null;
      });
    return this.#looking;
  }

  /** Returns when no look is under way. */
  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.#looking;
  }

  async #look(): Promise<void> {
    const { reads, markSequenced, appends, monoMs, owedMs = OWED_MS } = this.#options;
    const nowMs = monoMs();
    const rows = reads.pendingEntries();
    this.#since = new Map(rows.map(({ outboxId }) => [outboxId, this.#since.get(outboxId) ?? nowMs]));
    const owed = rows.filter(({ outboxId }) => nowMs - (this.#since.get(outboxId) ?? nowMs) >= owedMs);
    // In the order in which they were committed.
    for (const row of owed) {
      await appends.append(row.entries, appendIdOf(row));
      await markSequenced([row.outboxId]);
    }
  }
}
