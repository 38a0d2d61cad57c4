/**
 * Signature checks of what was submitted in bulk: in threads, in batches, flow by flow in turns.
 *
 * Few checks with nobody waiting are made at once, because crossing to a thread costs more than a check. The threads
 * are started when they are first needed. A thread that ends takes no verdict with it: its batches are checked here, and
 * another takes its place a moment later.
 */
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { type CheckLane, createOwnLane } from "./check-lane.ts";
import { checkSignatures, KeyCache, type SignatureCheck } from "./signature-check.ts";
import { type Slice, Turns } from "./turns.ts";

/** Fewer are checked at once when nothing waits; about a millisecond of this thread. */
const MAX_AT_ONCE = 16;
/** Checks in one batch at most: a few milliseconds of a thread. */
const BATCH = 128;
/** Work for two is shared by two; less than this is not worth another crossing. */
const MIN_BATCH = 32;
/** Checks that a flow hands out before it is the next one's turn. */
const PER_TURN = 16;
/** Batches that a lane has: one that it works on, and the next. */
const BATCHES_PER_LANE = 2;
/** After a thread ended by itself; one that ends each time must not be started in a loop. */
const RESTART_MS = 1_000;

/** One call of `check`: how many verdicts are missing. */
interface Pending {
  left: number;
  readonly verdicts: boolean[];
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

interface Lane {
  readonly lane: CheckLane;
  batches: number;
}

export interface SignatureChecksOptions {
  /** Threads; with none, this thread checks everything, a batch at a time. */
  readonly threads: number;
  readonly createThread: (onLost: (error: unknown) => void) => CheckLane;
  /** Told when a thread ended by itself: checking goes on with what is left. */
  readonly onLost: (error: unknown) => void;
}

/** Owns the threads and what waits for them. Every call is settled exactly once, and resolves only if all are good. */
export class SignatureChecks {
  readonly #options: SignatureChecksOptions;
  readonly #keys = new KeyCache();
  readonly #own: Lane;
  readonly #turns = new Turns<SignatureCheck>(PER_TURN);
  readonly #pending = new Map<readonly SignatureCheck[], Pending>();
  readonly #restarts = new Set<NodeJS.Timeout>();
  #lanes: readonly Lane[] | undefined;
  #isClosed = false;

  constructor(options: SignatureChecksOptions) {
    this.#options = options;
    this.#own = { lane: createOwnLane(this.#keys), batches: 0 };
  }

  /**
   * Resolves when each of the signatures is proven.
   *
   * @param flow - whose turn it is; whoever proved itself.
   * @throws TrustWardenError `signature_invalid`.
   */
  async check(flow: string, checks: readonly SignatureCheck[]): Promise<void> {
    // A signature of another length is bad without looking, and has no place in a batch.
    if (checks.some(({ signature }) => signature.length !== 64)) throw invalid();
    const isSmall = checks.length < MAX_AT_ONCE && this.#turns.isEmpty;
    const verdicts = isSmall ? checkSignatures(checks, this.#keys) : await this.#queue(flow, checks);
    if (verdicts.length !== checks.length || !verdicts.every(Boolean)) throw invalid();
  }

  /** Ends the threads. */
  async close(): Promise<void> {
    this.#isClosed = true;
    for (const timer of this.#restarts) clearTimeout(timer);
    await Promise.all((this.#lanes ?? []).map(({ lane }) => lane.close()));
  }

  async #queue(flow: string, checks: readonly SignatureCheck[]): Promise<readonly boolean[]> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    // The array itself names the call, so it has to be of this call alone.
    const own = [...checks];
    const verdicts = Array.from({ length: own.length }, () => false);
    this.#pending.set(own, { left: own.length, verdicts, resolve, reject });
    this.#turns.push(flow, own);
    this.#hand();
    try {
      await promise;
    } finally {
      this.#pending.delete(own);
    }
    return verdicts;
  }

  /** Gives every lane what it has room for, the one with the least to do first; what waits is shared by those that have nothing. */
  #hand(): void {
    this.#lanes ??= Array.from({ length: this.#options.threads }, () => this.#startLane());
    const lanes = this.#lanes.length > 0 ? this.#lanes : [this.#own];
    while (!this.#turns.isEmpty) {
      const lane = lanes.reduce((least, other) => (other.batches < least.batches ? other : least));
      if (lane.batches >= BATCHES_PER_LANE) return;
      const idle = lanes.filter(({ batches }) => batches === 0).length;
      const share = Math.ceil(this.#turns.waiting / Math.max(1, idle));
      void this.#run(lane, this.#turns.take(Math.min(BATCH, Math.max(MIN_BATCH, share))));
    }
  }

  #startLane(): Lane {
    const started: Lane = {
      batches: 0,
      lane: this.#options.createThread((error) => {
        const lanes = this.#lanes ?? [];
        if (this.#isClosed || !lanes.includes(started)) return;
        this.#lanes = lanes.filter((lane) => lane !== started);
        this.#restartLater();
        this.#options.onLost(error);
      }),
    };
    return started;
  }

  #restartLater(): void {
    const timer = setTimeout(() => {
      this.#restarts.delete(timer);
      this.#lanes = [...(this.#lanes ?? []), this.#startLane()];
      this.#hand();
    }, RESTART_MS);
    this.#restarts.add(timer.unref());
  }

  /** Never rejects: whatever goes wrong is told to the calls whose checks these are. */
  async #run(lane: Lane, slices: readonly Slice<SignatureCheck>[]): Promise<void> {
    const checks = slices.flatMap(({ items }) => items);
    lane.batches += 1;
    try {
      this.#settle(slices, await this.#verdictsOf(lane, checks));
    } catch (error) {
      for (const { of } of slices) this.#pending.get(of)?.reject(error);
    } finally {
      lane.batches -= 1;
      this.#hand();
    }
  }

  async #verdictsOf({ lane }: Lane, checks: readonly SignatureCheck[]): Promise<readonly boolean[]> {
    try {
      return await lane.run(checks);
    } catch {
      // Safe: a lane that is lost has said nothing of these checks, and they are made here from the beginning.
      return checkSignatures(checks, this.#keys);
    }
  }

  #settle(slices: readonly Slice<SignatureCheck>[], verdicts: readonly boolean[]): void {
    let at = 0;
    for (const { of, offset, items } of slices) {
      const pending = this.#pending.get(of);
      for (let index = 0; index < items.length; index += 1) {
        if (pending !== undefined) pending.verdicts[offset + index] = verdicts[at] === true;
        at += 1;
      }
      if (pending === undefined) continue;
      pending.left -= items.length;
      if (pending.left === 0) pending.resolve();
    }
  }
}

function invalid(): TrustWardenError {
  return new TrustWardenError("signature_invalid", { reason: "signature" });
}
