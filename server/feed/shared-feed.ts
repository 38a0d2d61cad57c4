/**
 * The feed of one of several servers that share a store: a revocation is over when no verifier of any of them acts on what
 * was before.
 *
 * What this server gives is bounded by what the store gave it (`leftMs`, as for a relay), and what it has acknowledged is
 * what all of its own verifiers have.
 *
 * @see core/revocation/replica-leases.ts; docs/decisions/0053
 */
import type { RevocationTarget } from "@trustwarden/core/revocation/frames.ts";
import type {
  ReplicaBarrier,
  ReplicaCounts,
  ReplicaLeases,
} from "@trustwarden/core/revocation/replica-leases.ts";
import type { FeedClock } from "./connection.ts";
import type { Feed, Published } from "./feed.ts";

interface Waiting {
  readonly barrier: ReplicaBarrier;
  readonly done: PromiseWithResolvers<ReplicaCounts>;
  readonly timer: NodeJS.Timeout;
}

/** Owns who waits for the other servers. Between calls `acknowledged` is an epoch that no own verifier is behind. */
export class SharedFeed implements Feed {
  readonly #feed: Feed;
  readonly #leases: ReplicaLeases;
  readonly #clock: FeedClock;
  readonly #beatNow: () => void;
  readonly #waiting = new Set<Waiting>();
  #acknowledged: number;

  constructor(options: {
    readonly feed: Feed;
    readonly leases: ReplicaLeases;
    readonly clock: FeedClock;
    /** Has this server beat before its time. */
    readonly beatNow: () => void;
  }) {
    const { feed, leases, clock, beatNow } = options;
    this.#feed = feed;
    this.#leases = leases;
    this.#clock = clock;
    this.#beatNow = beatNow;
    this.#acknowledged = feed.epoch;
  }

  get leases(): number {
    return this.#feed.leases;
  }

  /** Behind relays, and at the other servers, as they say. */
  get leasesBehind(): number {
    const others = this.#leases.othersAt(this.#clock.monoMs());
    return this.#feed.leasesBehind + others.reduce((sum, { leases }) => sum + leases, 0);
  }

  get epoch(): number {
    return this.#feed.epoch;
  }

  /** The epoch that no verifier of this server is behind any more. */
  get acknowledged(): number {
    return this.#acknowledged;
  }

  progress(): ReturnType<Feed["progress"]> {
    return this.#feed.progress();
  }

  accept(...given: Parameters<Feed["accept"]>): void {
    this.#feed.accept(...given);
  }

  /** @param epoch - committed, and its commit answered: whatever the other servers were given before ends a lease from now. */
  async publish(targets: readonly RevocationTarget[], epoch: number): Promise<Published> {
    const startedMs = this.#clock.monoMs();
    const others = this.#waitForOthers(this.#leases.begin(epoch, startedMs));
    const [own, theirs] = await Promise.all([this.follow(targets, epoch), others]);
    const { behind } = own;
    return {
      ...own,
      behind: { acked: behind.acked + theirs.acked, expired: behind.expired + theirs.expired },
      elapsedMs: this.#clock.monoMs() - startedMs,
    };
  }

  /** Tells the own verifiers what was revoked, here or elsewhere; whoever revoked it waits for the others. */
  async follow(targets: readonly RevocationTarget[], epoch: number): Promise<Published> {
    const publishing = this.#feed.publish(targets, epoch);
    // More may have been committed than was asked for.
    const pushed = this.#feed.epoch;
    const published = await publishing;
    if (pushed > this.#acknowledged) {
      this.#acknowledged = pushed;
      this.#beatNow();
    }
    return published;
  }

  pass(targets: readonly RevocationTarget[], epoch: number): Promise<Published> {
    return this.#feed.pass(targets, epoch);
  }

  /** The store has said something new of the others. */
  look(): void {
    for (const waiting of this.#waiting) this.#check(waiting);
  }

  endStopped(): void {
    this.#feed.endStopped();
  }

  async close(): Promise<void> {
    await Promise.all([...this.#waiting].map(({ done }) => done.promise));
    await this.#feed.close();
  }

  #waitForOthers(barrier: ReplicaBarrier): Promise<ReplicaCounts> {
    const done = Promise.withResolvers<ReplicaCounts>();
    const timer = setTimeout(
      () => this.#check(waiting),
      Math.ceil(barrier.endsAtMs - this.#clock.monoMs()) + 1,
    );
    const waiting: Waiting = { barrier, done, timer };
    this.#waiting.add(waiting);
    this.#beatNow();
    return done.promise;
  }

  #check(waiting: Waiting): void {
    const counts = this.#leases.completion(waiting.barrier, this.#clock.monoMs());
    if (counts === null) return;
    clearTimeout(waiting.timer);
    this.#waiting.delete(waiting);
    waiting.done.resolve(counts);
  }
}
