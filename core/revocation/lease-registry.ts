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
import { LEASE_MS } from "./frames.ts";

/**
 * Added to each lease for clocks that run apart: both may be wrong by 2 % in opposite directions, which makes 4.1 %.
 */
const DRIFT_FACTOR = 1.05;

/** One lease: one connection of one verifier. */
export type LeaseId = number;

interface OpenLease {
  /** Server's monotonic milliseconds of the latest echo; none before the first, and then there is no lease yet. */
  echoedAtMs: number;
  acked: number;
}

interface ClosedLease {
  readonly echoedAtMs: number;
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
  /** None of the waiting leases runs out before this. */
  checkAtMs: number;
}

/** How far a revocation is. */
export type Completion =
  | { readonly state: "pending"; readonly checkAtMs: number }
  | { readonly state: "complete"; readonly acked: number; readonly expired: readonly LeaseId[] };

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
  readonly #waitMs: number;
  #epoch: number;
  #nextId: LeaseId = 1;
  readonly #open = new Map<LeaseId, OpenLease>();
  /** In the order of closing; dropped once run out. */
  readonly #closed = new Map<LeaseId, ClosedLease>();
  readonly #barriers = new Set<Barrier>();

  /**
   * @param options.nowMs - monotonic milliseconds at the start of the process.
   * @param options.epoch - the durable epoch.
   */
  constructor(options: { readonly nowMs: number; readonly epoch: number; readonly leaseMs?: number }) {
    this.#startedAtMs = options.nowMs;
    this.#epoch = options.epoch;
    this.started = createBarrier(options.epoch, new Map());
    this.#waitMs = (options.leaseMs ?? LEASE_MS) * DRIFT_FACTOR;
  }

  get epoch(): number {
    return this.#epoch;
  }

  /** A new connection; it has no lease before its first echo. */
  open(): LeaseId {
    const id = this.#nextId;
    this.#nextId += 1;
    this.#open.set(id, { echoedAtMs: Number.NEGATIVE_INFINITY, acked: 0 });
    return id;
  }

  /**
   * Notes that a nonce is answered now, and gives the epoch to answer with.
   *
   * @param nowMs - read before this call: the clock goes first, the epoch second, so that a revocation in between is
   *   in the answer.
   */
  echo(id: LeaseId, nowMs: number): number {
    this.#requireOpen(id).echoedAtMs = nowMs;
    return this.#epoch;
  }

  /**
   * Notes what a verifier has applied.
   *
   * @throws TrustWardenError `request_malformed` for an epoch that does not exist yet, or below an earlier one: a
   *   verifier that says so cannot be believed about anything.
   */
  ack(id: LeaseId, epoch: number): void {
    const lease = this.#requireOpen(id);
    if (epoch > this.#epoch || epoch < lease.acked) {
      throw new TrustWardenError("request_malformed", { frame: "lease", reason: "ack", epoch });
    }
    lease.acked = epoch;
    for (const barrier of this.#barriers) {
      if (barrier.epoch <= epoch && barrier.waiting.delete(id)) barrier.acked += 1;
    }
  }

  /** The connection ended; its verifier may go on until the lease runs out, so the account is kept until then. */
  close(id: LeaseId, nowMs: number): void {
    const { echoedAtMs } = this.#requireOpen(id);
    this.#open.delete(id);
    this.#closed.set(id, { echoedAtMs, closedAtMs: nowMs });
    for (const [old, { closedAtMs }] of this.#closed) {
      if (closedAtMs + this.#waitMs > nowMs) break;
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
      .map(([id, { echoedAtMs }]) => ({ id, endsAtMs: echoedAtMs + this.#waitMs }))
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
    const settledAtMs = this.#startedAtMs + this.#waitMs;
    if (nowMs < settledAtMs) return { state: "pending", checkAtMs: settledAtMs };
    this.#barriers.delete(barrier);
    return { state: "complete", acked: barrier.acked, expired: barrier.expired };
  }

  #requireOpen(id: LeaseId): OpenLease {
    const lease = this.#open.get(id);
    if (lease === undefined) throw new Error("a lease is open as long as its connection");
    return lease;
  }
}

function createBarrier(epoch: number, waiting: Map<LeaseId, number>): Barrier {
  return { epoch, waiting, expired: [], acked: 0, checkAtMs: earliest(waiting) };
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
