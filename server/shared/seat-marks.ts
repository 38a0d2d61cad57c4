/**
 * The high-water mark of a server, as whoever takes the seat finds it: it has gone along with the shards that this server
 * followed while others sequenced, and stays in the last of them as strict as ever.
 *
 * Without that a server that followed a turn would find a log of which its own mark knows nothing, which is what a ledger looks
 * like that was put back.
 *
 * @see docs/decisions/0064
 */
import type { HighWater, HighWaterMark } from "@trustwarden/core/agentledger/ports.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { FollowedLog } from "./followed-log.ts";

export interface SeatMarksOptions {
  readonly highWater: HighWater;
  readonly log: Pick<FollowedLog, "refresh"> & { readonly shards: readonly { readonly origin: string }[] };
}

/** Owns which shard is being opened; for one time in the seat. */
export class SeatMarks implements HighWater {
  readonly #options: SeatMarksOptions;
  #origin = "";

  constructor(options: SeatMarksOptions) {
    this.#options = options;
  }

  /** The shard whose mark is asked for from now on. */
  open(origin: string): void {
    this.#origin = origin;
  }

  raise(mark: Parameters<HighWater["raise"]>[0]): Promise<void> {
    return this.#options.highWater.raise(mark);
  }

  /** @throws TrustWardenError `data_locked` when the shard has ended meanwhile, and as `HighWater.read`. */
  async read(): Promise<HighWaterMark | null> {
    const { highWater, log } = this.#options;
    await log.refresh();
    const origins = log.shards.map(({ origin }) => origin);
    // One that is not begun yet comes behind all of them.
    if (!origins.includes(this.#origin)) origins.push(this.#origin);
    if (origins.at(-1) !== this.#origin)
      throw new TrustWardenError("data_locked", { reason: "another has turned the ledger meanwhile" });
    const mark = await highWater.read();
    const known = mark === null ? -1 : origins.indexOf(mark.origin);
    // Where there was no mark, or one of another log, none is made.
    if (known >= 0)
      for (const [at, origin] of origins.entries())
        if (at > known) await highWater.raise({ origin, after: origins[at - 1] });
    return highWater.read();
  }
}
