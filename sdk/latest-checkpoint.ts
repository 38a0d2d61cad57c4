/**
 * The latest checkpoint of the ledger that this process has verified: what an intent names as `seen`.
 *
 * An intent cannot be older than the checkpoint it names, since nobody could have known that root before. Reading a
 * new one happens behind the work, never in its way; a log that shrinks or shows another root for one size is
 * reported at once and never adopted.
 */
import type { Checkpoint } from "@trustwarden/core/agentledger/checkpoint.ts";
import { isShardSuccessor } from "@trustwarden/core/agentledger/shard.ts";
import { encodeBase64, isEqualBytes } from "@trustwarden/core/bytes.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { Intent } from "@trustwarden/core/event.ts";
import type { Runtime } from "./runtime.ts";

/** A public route, asked by every process: not more often than this. */
const MIN_REFRESH_MS = 5000;

/** Holds the newest verified checkpoint; its size never falls. */
export class LatestCheckpoint {
  readonly #read: () => Promise<string>;
  readonly #verify: (note: string) => Promise<Checkpoint>;
  readonly #runtime: Runtime;
  #latest: Checkpoint | undefined;
  #refreshedAtMs = Number.NEGATIVE_INFINITY;
  /** The one refresh under way; `settle` waits for it. */
  #refreshing: Promise<void> = Promise.resolve();

  constructor(options: {
    /** Reads the signed note from the server. */
    readonly read: () => Promise<string>;
    /** Proves it to be of the ledger. */
    readonly verify: (note: string) => Promise<Checkpoint>;
    readonly runtime: Runtime;
  }) {
    this.#read = options.read;
    this.#verify = options.verify;
    this.#runtime = options.runtime;
  }

  /** As an intent names it, null before the first one is known. Starts a refresh when it has grown old. */
  seen(): Intent["seen"] {
    this.#refreshWhenOld();
    if (this.#latest === undefined) return null;
    const { origin, size, root } = this.#latest;
    return { origin, root: encodeBase64(root), size };
  }

  /** Waits for the refresh under way, if any; it never rejects, since its failure is already reported. */
  async settle(): Promise<void> {
    await this.#refreshing;
  }

  #refreshWhenOld(): void {
    const nowMs = this.#runtime.monotonicMs();
    if (nowMs - this.#refreshedAtMs < MIN_REFRESH_MS) return;
    this.#refreshedAtMs = nowMs;
    this.#refreshing = this.#refresh();
  }

  async #refresh(): Promise<void> {
    try {
      this.#adopt(await this.#verify(await this.#read()));
    } catch (error) {
      // Safe to go on: `seen` only bounds backdating, and the old checkpoint still does.
      const code = error instanceof TrustWardenError ? error.code : "internal";
      this.#runtime.notify({ code, what: "The ledger's checkpoint could not be read.", details: {} });
    }
  }

  #adopt(next: Checkpoint): void {
    const latest = this.#latest;
    if (latest !== undefined && next.origin !== latest.origin) {
      // A size says nothing about another tree; shards only follow one another.
      if (!isShardSuccessor(latest.origin, next.origin))
        throw new TrustWardenError("checkpoint_untrusted", { reason: "an earlier shard" });
      this.#latest = next;
      return;
    }
    if (latest !== undefined && next.size === latest.size && !isEqualBytes(next.root, latest.root)) {
      throw new TrustWardenError("checkpoint_untrusted", {
        reason: "two roots for one size",
        size: next.size,
      });
    }
    if (latest !== undefined && next.size < latest.size) {
      throw new TrustWardenError("checkpoint_untrusted", { reason: "the log shrank", size: next.size });
    }
    this.#latest = next;
  }
}
