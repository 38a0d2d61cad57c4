/**
 * The account of several servers that give leases to verifiers of their own, all of one state store.
 *
 * The store is to them what a server is to a relay. A server beats: it first has the store keep that it lives and what its
 * verifiers have acknowledged, and only then asks which epoch the store is at. From the *sending* of a beat it may let
 * verifiers go on for one lease, once it has applied that epoch itself. So when a revocation is committed, whatever was
 * sent before knows nothing of it and runs out within one lease of the commit, and whatever is sent later brings it along.
 * A server that was silent until then cannot be missed: its beat was kept before it was given anything. Pure: times are
 * arguments.
 *
 * @see docs/decisions/0053; model/relay.pml
 */
import { LEASE_MS } from "./frames.ts";
import { DRIFT_FACTOR } from "./lease-registry.ts";

const LONGEST_LEASE_MS = LEASE_MS * DRIFT_FACTOR;
/** Whose count has not moved for so long has no lease, and need not be waited for; generous, since it costs nothing. */
const SILENT_MS = 3 * LONGEST_LEASE_MS;
/** More than can be pending: a beat is sent when the one before is answered. */
const MAX_GRANTS = 32;

/** Another server, as the store knows it. */
export interface ReplicaState {
  /** Of one process: a server that starts again is another one. */
  readonly name: string;
  /** Counts its beats. */
  readonly beats: number;
  /** The epoch that none of its verifiers is behind any more. */
  readonly acked: number;
  /** Verifiers that hold a lease of it. */
  readonly leases: number;
}

/** The answer to one beat. */
export interface HeardBeat {
  /** Monotonic milliseconds here before the beat was sent. */
  readonly sentAtMs: number;
  /** Of the store, after this server's beat was kept. */
  readonly epoch: number;
  /** The servers that are not this one. */
  readonly others: readonly ReplicaState[];
}

/** One revocation that the other servers are waited for. */
export interface ReplicaBarrier {
  readonly epoch: number;
  readonly begunAtMs: number;
  /** From here on whoever did not acknowledge has run out. */
  readonly endsAtMs: number;
}

/** How the other servers' verifiers ended, as those servers say. */
export interface ReplicaCounts {
  readonly acked: number;
  readonly expired: number;
}

interface Grant {
  readonly sentAtMs: number;
  readonly epoch: number;
}

interface Seen extends ReplicaState {
  /** When this count was met first. */
  readonly sinceMs: number;
}

/** Owns what was heard last. Between calls `#others` is what the store said to the latest beat, and whom it told of shortly before. */
export class ReplicaLeases {
  readonly #startedAtMs: number;
  #grants: readonly Grant[] = [];
  #others: ReadonlyMap<string, Seen> = new Map();
  #heardOf = Number.NEGATIVE_INFINITY;

  /** @param nowMs - monotonic milliseconds at the start of the process. */
  constructor(nowMs: number) {
    this.#startedAtMs = nowMs;
  }

  /** Servers that may hold leases besides this one. */
  othersAt(nowMs: number): readonly ReplicaState[] {
    return [...this.#others.values()].filter(({ sinceMs }) => nowMs - sinceMs < SILENT_MS);
  }

  /** Of every other server that the store knows, with a lease or without. */
  get names(): readonly string[] {
    return [...this.#others.keys()];
  }

  /** Notes the answer to a beat. */
  hear({ sentAtMs, epoch, others }: HeardBeat, nowMs: number): void {
    this.#grants = [...this.#grants, { sentAtMs, epoch }].slice(-MAX_GRANTS);
    this.#heardOf = sentAtMs;
    // Whom the store forgets by a clock of its own, or by hand, may hold a lease yet.
    const live = [...this.#others].filter(([, { sinceMs }]) => nowMs - sinceMs < SILENT_MS);
    const told = others.map((other): [string, Seen] => {
      const before = this.#others.get(other.name);
      const sinceMs = before?.beats === other.beats ? before.sinceMs : nowMs;
      return [other.name, { ...other, sinceMs }];
    });
    this.#others = new Map([...live, ...told]);
  }

  /** What is left of this server's own lease, in milliseconds. @param applied - the epoch that its verifiers are told of. */
  leftMs(applied: number, nowMs: number): number {
    const sentAtMs = this.#grants
      .filter(({ epoch }) => epoch <= applied)
      .reduce((latest, grant) => Math.max(latest, grant.sentAtMs), Number.NEGATIVE_INFINITY);
    return Math.max(0, Math.floor(sentAtMs + LEASE_MS - nowMs));
  }

  /**
   * Begins to wait for a revocation.
   *
   * @param nowMs - read after the commit was answered.
   */
  begin(epoch: number, nowMs: number): ReplicaBarrier {
    return { epoch, begunAtMs: nowMs, endsAtMs: nowMs + LONGEST_LEASE_MS };
  }

  /** How the other servers ended; null while one of them has to be waited for. */
  completion({ epoch, begunAtMs, endsAtMs }: ReplicaBarrier, nowMs: number): ReplicaCounts | null {
    const others = this.othersAt(nowMs);
    const behind = others.filter(({ acked }) => acked < epoch);
    // Of a server that had the store alone before this one nobody has an account.
    const isSettled = nowMs >= this.#startedAtMs + LONGEST_LEASE_MS;
    // What was heard before the commit says nothing of who came since.
    const isKnown = this.#heardOf >= begunAtMs && behind.length === 0 && isSettled;
    if (!isKnown && nowMs < endsAtMs) return null;
    return {
      acked: sumOf(others.filter(({ acked }) => acked >= epoch)),
      expired: sumOf(behind),
    };
  }
}

function sumOf(replicas: readonly ReplicaState[]): number {
  return replicas.reduce((sum, { leases }) => sum + leases, 0);
}
