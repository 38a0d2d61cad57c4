/**
 * The one place from which the ledger is sequenced: each of several servers waits for it, one has it, and the next takes it
 * when that one is gone.
 *
 * Who has it is said by the lock and the epoch of the log's storage (decision 0032). Losing it ends nothing but the
 * sequencing: what the rest of the server appends waits for whoever has it then. So it is not the end of the process, as it
 * is where a server has its ledger alone.
 *
 * @see docs/decisions/0064
 */
import { setTimeout } from "node:timers/promises";
import type { AppendPost } from "@trustwarden/core/agentledger/append-post.ts";
import type { ShardedLog } from "@trustwarden/core/agentledger/sharded-log.ts";
import { type ErrorCode, TrustWardenError } from "@trustwarden/core/error.ts";
import { AppendDesk } from "../ledger/append-desk.ts";

/** Between two tries where the store is in trouble. */
const PAUSE_MS = 250;
/** Another has it, or nobody can say: it is tried again. */
const PASSING: readonly ErrorCode[] = [
  "data_locked",
  "store_unavailable",
  "ledger_unavailable",
  "ledger_fenced",
];

/** What sits there, made anew for each time. */
export interface Seated {
  readonly log: ShardedLog;
  readonly post: AppendPost & { readonly close: () => Promise<void> };
  /** Ends what the storage holds open. */
  readonly close: () => void;
}

export interface SequencerSeatOptions {
  /** @param onLost - called when the storage takes nothing more of this one. */
  readonly open: (onLost: (error: unknown) => void) => Seated;
  /** Does what is this server's to do while it has the seat. @returns how to end that. */
  readonly onSeated: () => Promise<() => Promise<void>>;
  /** Why this one does not sequence, where that is not because another does; told once until it is another reason. */
  readonly onTrouble: (code: ErrorCode) => void;
  /** What is no matter of turns: the ledger is damaged, or older than it was. */
  readonly onFatal: (error: unknown) => void;
}

/** Owns the loop. `#log` is there while this server sequences; `#trouble` is why it last could not. */
export class SequencerSeat {
  readonly #options: SequencerSeatOptions;
  readonly #ended = Promise.withResolvers<void>();
  readonly #running: Promise<void>;
  #log: ShardedLog | null = null;
  #trouble: ErrorCode | null = null;
  #isClosed = false;

  constructor(options: SequencerSeatOptions) {
    this.#options = options;
    this.#running = this.#run();
  }

  /** Begins the ledger's next shard. @throws TrustWardenError `replica_refused` where another server sequences. */
  async turn(name: string): Promise<void> {
    if (this.#log === null)
      throw new TrustWardenError("replica_refused", { reason: "another server sequences the ledger" });
    await this.#log.turn(name);
  }

  /** Why this server could not sit when it last tried, where nobody else did; null otherwise. */
  get trouble(): ErrorCode | null {
    return this.#trouble;
  }

  /** Gives the seat up, with everything answered that was taken. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#ended.resolve();
    await this.#running;
  }

  async #run(): Promise<void> {
    while (!this.#isClosed) {
      try {
        await this.#sit();
      } catch (error) {
        if (!(error instanceof TrustWardenError && PASSING.includes(error.code))) {
          this.#options.onFatal(error);
          return;
        }
        this.#note(error.code === "data_locked" ? null : error.code);
        // Waiting for the lock has taken its time already.
        if (error.code !== "data_locked") await setTimeout(PAUSE_MS);
      }
    }
  }

  #note(trouble: ErrorCode | null): void {
    const before = this.#trouble;
    this.#trouble = trouble;
    if (trouble !== null && trouble !== before) this.#options.onTrouble(trouble);
  }

  async #sit(): Promise<void> {
    const lost = Promise.withResolvers<void>();
    const { log, post, close } = this.#options.open(() => lost.resolve());
    try {
      await log.start();
      const desk = await AppendDesk.open({ post, log });
      this.#log = log;
      this.#note(null);
      const end = await this.#options.onSeated();
      await Promise.race([lost.promise, this.#ended.promise]);
      this.#log = null;
      await end();
      await desk.close();
    } finally {
      this.#log = null;
      await post.close();
      // A storage that was taken away has nothing to finish; what it had promised the next one has.
      await log.stop().catch(() => undefined);
      close();
    }
  }
}
