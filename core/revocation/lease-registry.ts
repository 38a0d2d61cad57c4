/**
 * Who may still be acting on which epoch: the server's account of every lease it gave.
 *
 * A revocation is complete when each lease that was live at its epoch has acknowledged it or has run out, counted
 * generously: from the server's echo (which is later than the verifier's sending), over a longer time than the lease
 * (for clocks that run apart), and on after a connection closed, since the verifier keeps its lease then. Pure: times
 * are arguments; the sockets are `server/feed/`.
 *
 * @see docs/path.md, "The lease"
 */
import { TrustWardenError } from "../error.ts";
import { type BehindRelay, LEASE_MS } from "./frames.ts";

/**
 * Added to each lease for clocks that run apart: both may be wrong by 2 % in opposite directions, which makes 4.1 %.
 */
export const DRIFT_FACTOR = 1.05;

/** One lease: one connection of one verifier. */
export type LeaseId = number;

interface OpenLease {
  /** Monotonic milliseconds here from which it has run out for certain; before the first echo there is no lease. */
  endsAtMs: number;
  acked: number;
  /** Of a relay: what it said last. */
  behind: BehindRelay | undefined;
}

interface ClosedLease {
  readonly endsAtMs: number;
  readonly closedAtMs: number;
}

/** One revocation on its way; opaque to callers. Made by `advance`, asked about by `completion`. */
export interface Barrier {
  readonly epoch: number;
  /** Leases that have neither acknowledged nor run out, with the instant they have run out for certain. */
  readonly waiting: Map<LeaseId, number>;
  /** Leases that ran out before acknowledging. */
  readonly expired: LeaseId[];
  acked: number;
  /** Behind the relays that acknowledged, as they say. */
  readonly behind: { acked: number; expired: number };
  /** None of the waiting leases runs out before this. */
  checkAtMs: number;
}

/** How far a revocation is. */
export type Completion =
  | { readonly state: "pending"; readonly checkAtMs: number }
  | {
      readonly state: "complete";
      readonly acked: number;
      readonly expired: readonly LeaseId[];
      readonly behind: { readonly acked: number; readonly expired: number };
    };

/** A revocation seen while it is on its way. */
export interface Progress {
  readonly epoch: number;
  /** Leases that are waited for here. */
  readonly left: number;
  readonly acked: number;
  readonly expired: number;
  /** Leases behind relays that are waited for, as the relays say. */
  readonly leftBehind: number;
}

/**
 * The leases of one server process.
 *
 * Invariants between calls: `epoch` never falls; a lease that a verifier may hold is in one of the two maps; a
 * barrier's waiting set holds each lease that was live below its epoch, until it acknowledged or ran out.
 */
export class LeaseRegistry {
  /** What was revoked before this process started: complete as soon as no lease of the time before is left. */
  readonly started: Barrier;
  readonly #startedAtMs: number;
  readonly #settleMs: number;
  readonly #leaseMs: number;
  #epoch: number;
  #nextId: LeaseId = 1;
  readonly #open = new Map<LeaseId, OpenLease>();
  /** In the order of closing; dropped once run out. */
  readonly #closed = new Map<LeaseId, ClosedLease>();
  readonly #barriers = new Set<Barrier>();

  /**
   * @param options.nowMs - monotonic milliseconds at the start of the process.
   * @param options.epoch - the durable epoch.
   * @param options.isRelay - what a process before gave on is in the account of the lease that it held itself, so that
   *   nothing has to be waited for here (`model/relay.pml`).
   */
  constructor(options: {
    readonly nowMs: number;
    readonly epoch: number;
    readonly leaseMs?: number;
    readonly isRelay?: boolean;
  }) {
    this.#startedAtMs = options.nowMs;
    this.#epoch = options.epoch;
    this.started = createBarrier(options.epoch, new Map());
    this.#leaseMs = options.leaseMs ?? LEASE_MS;
    this.#settleMs = options.isRelay === true ? 0 : this.#leaseMs * DRIFT_FACTOR;
  }

  get epoch(): number {
    return this.#epoch;
  }

  /** A new connection; it has no lease before its first echo. */
  open(): LeaseId {
    const id = this.#nextId;
    this.#nextId += 1;
    this.#open.set(id, { endsAtMs: Number.NEGATIVE_INFINITY, acked: 0, behind: undefined });
    return id;
  }

  /**
   * Notes that a nonce is answered now, and gives the epoch to answer with.
   *
   * @param nowMs - read before this call: the clock goes first, the epoch second, so that a revocation in between is
   *   in the answer.
   * @param leaseMs - of a relay, what is left of its own lease; never more than one lease. An echo that gives less
   *   than an earlier one takes nothing back.
   */
  echo(id: LeaseId, nowMs: number, leaseMs = this.#leaseMs): number {
    const lease = this.#requireOpen(id);
    lease.endsAtMs = Math.max(lease.endsAtMs, nowMs + Math.min(leaseMs, this.#leaseMs) * DRIFT_FACTOR);
    return this.#epoch;
  }

  /**
   * Notes what a verifier has applied.
   *
   * @throws TrustWardenError `request_malformed` for an epoch that does not exist yet, or below an earlier one: a
   *   verifier that says so cannot be believed about anything.
   * @param behind - of a relay.
   */
  ack(id: LeaseId, epoch: number, behind?: BehindRelay): void {
    const lease = this.#requireOpen(id);
    if (epoch > this.#epoch || epoch < lease.acked) {
      throw new TrustWardenError("request_malformed", { frame: "lease", reason: "ack", epoch });
    }
    lease.acked = epoch;
    lease.behind = behind;
    for (const barrier of this.#barriers) {
      if (barrier.epoch > epoch || !barrier.waiting.delete(id)) continue;
      barrier.acked += 1;
      barrier.behind.acked += behind?.acked ?? 0;
      barrier.behind.expired += behind?.expired ?? 0;
    }
  }

  /** Leases behind relays at this moment, as the relays say. */
  get leasesBehind(): number {
    return [...this.#open.values()].reduce((all, { behind }) => all + (behind?.leases ?? 0), 0);
  }

  /** How far each revocation is that is still on its way, oldest first. */
  progress(): readonly Progress[] {
    return [...this.#barriers].map(({ epoch, waiting, acked, expired }) => ({
      epoch,
      left: waiting.size,
      acked,
      expired: expired.length,
      leftBehind: [...waiting.keys()].reduce((all, id) => all + (this.#open.get(id)?.behind?.left ?? 0), 0),
    }));
  }

  /** The connection ended; its verifier may go on until the lease runs out, so the account is kept until then. */
  close(id: LeaseId, nowMs: number): void {
    const { endsAtMs } = this.#requireOpen(id);
    this.#open.delete(id);
    this.#closed.set(id, { endsAtMs, closedAtMs: nowMs });
    for (const [old, { closedAtMs }] of this.#closed) {
      if (closedAtMs + this.#leaseMs * DRIFT_FACTOR > nowMs) break;
      this.#closed.delete(old);
    }
  }

  /**
   * Raises the epoch and starts to wait for it. Echoes from now on carry it, and follow its push on their connection,
   * so only earlier ones count.
   *
   * @throws Error when the epoch does not rise.
   */
  advance(epoch: number, nowMs: number): Barrier {
    if (!(epoch > this.#epoch)) throw new Error("the epoch only rises");
    this.#epoch = epoch;
    const live = [...this.#open, ...this.#closed]
      .map(([id, { endsAtMs }]) => ({ id, endsAtMs }))
      .filter(({ endsAtMs }) => endsAtMs > nowMs);
    const waiting = new Map(live.map(({ id, endsAtMs }) => [id, endsAtMs]));
    const barrier = createBarrier(epoch, waiting);
    this.#barriers.add(barrier);
    return barrier;
  }

  /**
   * Whether everybody stopped. Verifiers of the process before this one may hold leases that nobody here knows of, so
   * nothing completes within one lease of the start.
   */
  completion(barrier: Barrier, nowMs: number): Completion {
    if (barrier.waiting.size > 0) expire(barrier, nowMs);
    if (barrier.waiting.size > 0) return { state: "pending", checkAtMs: barrier.checkAtMs };
    const settledAtMs = this.#startedAtMs + this.#settleMs;
    if (nowMs < settledAtMs) return { state: "pending", checkAtMs: settledAtMs };
    this.#barriers.delete(barrier);
    const { acked, expired, behind } = barrier;
    return { state: "complete", acked, expired, behind };
  }

  #requireOpen(id: LeaseId): OpenLease {
    const lease = this.#open.get(id);
    if (lease === undefined) throw new Error("a lease is open as long as its connection");
    return lease;
  }
}

function createBarrier(epoch: number, waiting: Map<LeaseId, number>): Barrier {
  return {
    epoch,
    waiting,
    expired: [],
    acked: 0,
    behind: { acked: 0, expired: 0 },
    checkAtMs: earliest(waiting),
  };
}

/** Called at every acknowledgement, so it looks at each lease only when one may have run out. */
function expire(barrier: Barrier, nowMs: number): void {
  if (nowMs < barrier.checkAtMs) return;
  for (const [id, endsAtMs] of barrier.waiting) {
    if (nowMs < endsAtMs) continue;
    barrier.waiting.delete(id);
    barrier.expired.push(id);
  }
  barrier.checkAtMs = earliest(barrier.waiting);
}

function earliest(waiting: ReadonlyMap<LeaseId, number>): number {
  let first = Number.POSITIVE_INFINITY;
  for (const endsAtMs of waiting.values()) first = Math.min(first, endsAtMs);
  return first;
}
