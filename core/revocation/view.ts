/**
 * What one verifier knows about revocations, and whether it may rely on it right now.
 *
 * Two questions before each act: is the view fresh (the lease), and did anything touch this agent's chain since the
 * decision was made (the targets). Both fail closed. Pure: every time is an argument; the connection that feeds the
 * view is `sdk/lease.ts`.
 *
 * @see docs/path.md, "The lease"
 */
import { TrustWardenError } from "../error.ts";
import type { EchoFrame, HelloFrame, PushFrame, RevocationTarget, ServerFrame } from "./frames.ts";
import type { Instant } from "./ports.ts";

/** How far the two clocks may move apart within one lease before it ends; above the steps of a disciplined clock. */
const MAX_CLOCK_DISAGREEMENT_MS = 500;
/** Targets kept; older decisions than the oldest of them are refused instead of looked up. */
const MAX_KEPT_TARGETS = 4096;
/** Nonces on their way; a lease of 700 ms with beats of 200 ms needs four. */
const MAX_OUTSTANDING = 64;

/** A decision about to be acted on. */
export interface PendingAct {
  /** Epoch that the decision was made on. */
  readonly epoch: number;
  /** Owner id, and every agent id and instance id of the chain. */
  readonly ids: readonly string[];
}

/** What was done to one id, and when last. */
interface Touch {
  readonly epoch: number;
  readonly isRevoked: boolean;
}

/**
 * The view of one verifier process; it outlives its connections.
 *
 * Invariants between calls: `epoch` never falls; every target with `floor < epoch <= this.epoch` is kept; there is a
 * lease only if its nonce was echoed in order on a connection whose pushes were all applied before.
 */
export class RevocationView {
  #epoch = 0;
  /** Decisions older than this are refused: what happened before it is not known here. Nothing is, before a hello. */
  #floor = Number.POSITIVE_INFINITY;
  #seq = 0;
  /** Of the present connection. */
  #phase: "connecting" | "following" | "stale" = "stale";
  #leaseMs = 0;
  /** When the nonce that the lease rests on was sent, and what its echo gave. */
  #lease: { readonly sent: Instant; readonly leaseMs: number } | undefined;
  #lastSent: Instant | undefined;
  /** Nonce to when it was sent, oldest first. */
  readonly #outstanding = new Map<string, Instant>();
  /** Id to what was done to it, oldest epoch first. */
  readonly #touched = new Map<string, Touch>();
  #policyEpoch = -1;

  /** The epoch that is applied; what a beat acknowledges. */
  get epoch(): number {
    return this.#epoch;
  }

  /** Whether the connection broke the rules (a gap, an epoch that fell): only a new one helps. */
  get isStale(): boolean {
    return this.#phase === "stale";
  }

  /** Whether the connection said hello, so that beats may be sent. */
  get isFollowing(): boolean {
    return this.#phase === "following";
  }

  /** Starts a new connection. The lease goes on until it runs out: a short break costs nothing. */
  onConnect(): void {
    this.#phase = "connecting";
    this.#outstanding.clear();
  }

  /**
   * Notes a nonce immediately before it is sent: the lease counts from here, so that any delay only shortens it.
   */
  onSent(nonce: string, at: Instant): void {
    if (this.#lastSent !== undefined && hasJumped(this.#lastSent, at)) this.#endLease();
    this.#lastSent = at;
    for (const [old, sent] of this.#outstanding) {
      if (this.#outstanding.size < MAX_OUTSTANDING && elapsedMs(sent, at) < this.#leaseMs) break;
      this.#outstanding.delete(old);
    }
    this.#outstanding.set(nonce, at);
  }

  /** Takes one frame in the order of arrival. A frame that breaks the rules makes the view stale. */
  onFrame(frame: ServerFrame): void {
    if (this.#phase === "stale") return;
    switch (frame.kind) {
      case "hello":
        this.#onHello(frame);
        break;
      case "echo":
        this.#onEcho(frame);
        break;
      case "push":
        this.#onPush(frame);
        break;
    }
  }

  /**
   * Refuses to go on without a live lease. A clock that jumped ends it for good, so that setting the clock back does
   * not revive it.
   *
   * @throws TrustWardenError `lease_expired`.
   */
  requireFresh(now: Instant): void {
    const lease = this.#lease;
    if (lease === undefined) throw new TrustWardenError("lease_expired", { reason: "no lease" });
    if (hasJumped(lease.sent, now)) {
      this.#endLease();
      throw new TrustWardenError("lease_expired", { reason: "the clock jumped" });
    }
    // Negated, so that a reading that is not a number refuses.
    if (!(elapsedMs(lease.sent, now) < lease.leaseMs)) {
      throw new TrustWardenError("lease_expired", { reason: "not renewed in time" });
    }
  }

  /** What is left of the lease, for a relay that gives no more than that; 0 without one. Whole milliseconds. */
  leftMs(now: Instant): number {
    const lease = this.#lease;
    if (lease === undefined || hasJumped(lease.sent, now)) return 0;
    return Math.max(0, Math.floor(lease.leaseMs - elapsedMs(lease.sent, now)));
  }

  /**
   * Refuses a decision that something touched after it was made.
   *
   * @throws TrustWardenError `identity_revoked` when somebody in the chain died, `decision_stale` when the chain was
   *   narrowed, the policy tightened, or the decision is older than what this view remembers.
   */
  requireUntouched({ epoch, ids }: PendingAct): void {
    if (!(epoch >= this.#floor)) throw stale({ reason: "older than the view", epoch });
    const touches = ids.map((id) => this.#touched.get(id)).filter((touch) => touch !== undefined);
    const later = touches.filter((touch) => touch.epoch > epoch);
    if (later.some((touch) => touch.isRevoked)) throw new TrustWardenError("identity_revoked", { epoch });
    if (later.length > 0) throw stale({ reason: "narrowed", epoch });
    if (this.#policyEpoch > epoch) throw stale({ reason: "policy", epoch });
  }

  /** A second hello, or an epoch below ours (a server restored from an old backup), is never followed. */
  #onHello({ epoch, leaseMs, seq }: HelloFrame): void {
    if (this.#phase !== "connecting" || epoch < this.#epoch) {
      this.#goStale();
      return;
    }
    this.#phase = "following";
    this.#seq = seq;
    this.#leaseMs = leaseMs;
    this.#epoch = epoch;
    // What happened between two connections is unknown: decisions from before this one are refused, not looked up.
    this.#floor = epoch;
    this.#policyEpoch = -1;
    this.#touched.clear();
  }

  #onEcho({ nonce, epoch, seq, leaseMs = this.#leaseMs }: EchoFrame): void {
    const isCurrent = this.#phase === "following" && epoch === this.#epoch && seq === this.#seq;
    if (!isCurrent) {
      this.#goStale();
      return;
    }
    const sent = this.#outstanding.get(nonce);
    // An echo later than its own lease, or of a nonce that was never ours, gives nothing.
    if (sent === undefined) return;
    this.#extend({ sent, leaseMs: Math.min(leaseMs, this.#leaseMs) });
    for (const old of this.#outstanding.keys()) {
      this.#outstanding.delete(old);
      if (old === nonce) break;
    }
  }

  /** Of two leases that were both given, the one that lasts longer: a relay may give less than the one before it did. */
  #extend(given: { readonly sent: Instant; readonly leaseMs: number }): void {
    const held = this.#lease;
    const isLonger =
      held === undefined ||
      hasJumped(held.sent, given.sent) ||
      given.leaseMs > held.leaseMs - elapsedMs(held.sent, given.sent);
    if (isLonger) this.#lease = given;
  }

  #onPush({ seq, epoch, targets }: PushFrame): void {
    const isNext = this.#phase === "following" && seq === this.#seq + 1 && epoch > this.#epoch;
    if (!isNext) {
      this.#goStale();
      return;
    }
    this.#seq = seq;
    this.#epoch = epoch;
    for (const target of targets) this.#touch(target, epoch);
    for (const [id, touch] of this.#touched) {
      if (this.#touched.size <= MAX_KEPT_TARGETS) break;
      this.#touched.delete(id);
      this.#floor = Math.max(this.#floor, touch.epoch);
    }
  }

  #touch({ kind, id }: RevocationTarget, epoch: number): void {
    // Whoever keeps a copy of these fetches it again; no decision is void by them.
    if (kind === "entry" || kind === "authority" || kind === "federation") return;
    if (kind === "policy") {
      this.#policyEpoch = epoch;
      return;
    }
    const isRevoked = kind !== "narrowed" || this.#touched.get(id)?.isRevoked === true;
    // Deleted first, so that the map stays in the order of epochs.
    this.#touched.delete(id);
    this.#touched.set(id, { epoch, isRevoked });
  }

  #goStale(): void {
    this.#phase = "stale";
    this.#endLease();
  }

  #endLease(): void {
    this.#lease = undefined;
    this.#outstanding.clear();
  }
}

/**
 * The longer of the two clocks' answers: a monotonic clock stands still in a suspended process, and the wall clock
 * does not, so that a process that wakes up finds its lease used up.
 */
function elapsedMs(from: Instant, to: Instant): number {
  return Math.max(to.monotonicMs - from.monotonicMs, to.wallMs - from.wallMs);
}

function hasJumped(from: Instant, to: Instant): boolean {
  const monotonicMs = to.monotonicMs - from.monotonicMs;
  const apartMs = Math.abs(to.wallMs - from.wallMs - monotonicMs);
  return !(apartMs <= MAX_CLOCK_DISAGREEMENT_MS && monotonicMs >= 0);
}

function stale(details: { readonly reason: string; readonly epoch: number }): TrustWardenError {
  return new TrustWardenError("decision_stale", details);
}
