/**
 * A crowd of verifiers and the one thread that they come to, in simulated time: what a beat and a handshake cost is given, who
 * waits for whom and how long is decided by the real patience of a lease and the real pace of a listener.
 *
 * The thread does what has come, then begins the handshakes that may begin, and so on, as the loop of Node does. Lines take a
 * millisecond each way. A verifier holds its lease from sending the beat that was answered, and never longer.
 */
import { LEASE_MS } from "@trustwarden/core/revocation/frames.ts";
import { LeasePatience } from "../../sdk/lease-patience.ts";
import { HandshakePace, STRETCH_MS } from "../../server/http/handshake-pace.ts";

const WAY_MS = 1;
const MAX_AT_ONCE = 16;
const MAX_EACH_ROUND = 2;

/** A rule that is taken out. */
export type Flaw = "leaves who is late" | "lets in as fast as it can";

interface Costs {
  readonly beatMs: number;
  readonly handshakeMs: number;
}

/** One connection, from its first message on. */
interface Link {
  readonly verifier: CrowdVerifier;
  isOpen: boolean;
  isGone: boolean;
}

/** Something that happens at an instant. */
interface Event {
  readonly atMs: number;
  readonly act: () => void;
}

/** Events by their instants; those of one instant in the order in which they were noted. */
class Agenda {
  readonly #heap: (Event & { readonly order: number })[] = [];
  #count = 0;

  get nextMs(): number {
    return this.#heap[0]?.atMs ?? Number.POSITIVE_INFINITY;
  }

  at(atMs: number, act: () => void): void {
    this.#count += 1;
    const heap = this.#heap;
    heap.push({ atMs, act, order: this.#count });
    for (let index = heap.length - 1; index > 0; ) {
      const above = (index - 1) >> 1;
      if (!this.#swapIfLater(above, index)) return;
      index = above;
    }
  }

  take(): Event | undefined {
    const heap = this.#heap;
    const first = heap[0];
    const last = heap.pop();
    if (first === undefined || last === undefined || heap.length === 0) return first;
    heap[0] = last;
    for (let index = 0; ; ) {
      const [left, right] = [2 * index + 1, 2 * index + 2];
      const below = this.#isLater(left, right) ? right : left;
      if (!this.#swapIfLater(index, below)) return first;
      index = below;
    }
  }

  #isLater(one: number, other: number): boolean {
    const [a, b] = [this.#heap[one], this.#heap[other]];
    if (a === undefined || b === undefined) return false;
    return a.atMs === b.atMs ? a.order > b.order : a.atMs > b.atMs;
  }

  #swapIfLater(one: number, other: number): boolean {
    if (!this.#isLater(one, other)) return false;
    const [a, b] = [this.#heap[one], this.#heap[other]];
    if (a === undefined || b === undefined) return false;
    this.#heap[one] = b;
    this.#heap[other] = a;
    return true;
  }
}

/** The listener's thread. Owns its time: between calls everything before `nowMs` is done. */
class CrowdThread {
  nowMs = 0;
  handshakes = 0;
  standsStillUntilMs = 0;
  readonly #costs: Costs;
  readonly #hasPace: boolean;
  readonly #pace = new HandshakePace();
  readonly #waiting: Link[] = [];
  readonly #inbox: (() => void)[] = [];
  #underWay = 0;
  #stretchMs = 0;

  constructor(costs: Costs, flaw: Flaw | undefined) {
    this.#costs = costs;
    this.#hasPace = flaw !== "lets in as fast as it can";
  }

  get hasWork(): boolean {
    return this.#inbox.length > 0 || (this.#mayBegin && this.#waiting.length > 0);
  }

  get nextStretchMs(): number {
    return this.#waiting.length > 0 ? this.#stretchMs + STRETCH_MS : Number.POSITIVE_INFINITY;
  }

  hear(act: () => void): void {
    this.#inbox.push(act);
  }

  /** The first bytes of a handshake. */
  knock(link: Link): void {
    this.#waiting.push(link);
  }

  beat(answer: () => void): void {
    this.nowMs += this.#costs.beatMs;
    answer();
  }

  finish(link: Link, opened: () => void): void {
    this.#underWay -= 1;
    this.nowMs += this.#costs.handshakeMs / 2;
    if (!link.isGone) opened();
  }

  /** One round of the loop. */
  round(begun: (link: Link) => void): void {
    for (const act of this.#inbox.splice(0)) act();
    if (this.nowMs - this.#stretchMs >= STRETCH_MS) {
      this.#pace.next(this.nowMs - this.#stretchMs);
      this.#stretchMs = this.nowMs;
    }
    const most = this.#hasPace ? MAX_EACH_ROUND : MAX_AT_ONCE;
    for (let count = 0; count < most && this.#mayBegin; ) {
      const link = this.#waiting.shift();
      if (link === undefined) return;
      if (link.isGone) continue;
      count += 1;
      this.#pace.take();
      this.#underWay += 1;
      this.handshakes += 1;
      this.nowMs += this.#costs.handshakeMs / 2;
      begun(link);
    }
  }

  get #mayBegin(): boolean {
    return this.#underWay < MAX_AT_ONCE && (!this.#hasPace || this.#pace.hasRoom);
  }
}

/** One verifier. At most one connection that it follows, one that it tries, and one retry. */
class CrowdVerifier {
  /** When the beat was sent that its lease rests on. */
  leaseFromMs = Number.NEGATIVE_INFINITY;
  /** How often it got one after it had none. */
  leases = 0;
  link: Link | undefined;
  tried: Link | undefined;
  readonly patience: LeasePatience;
  readonly #world: Crowd;
  #beats = 0;

  constructor(world: Crowd, jitter: () => number) {
    this.#world = world;
    this.patience = new LeasePatience({ jitter });
  }

  isLeased(nowMs: number): boolean {
    return nowMs - this.leaseFromMs < LEASE_MS;
  }

  ask(): void {
    const { agenda } = this.#world;
    const link = { verifier: this, isOpen: false, isGone: false };
    this.tried = link;
    const startedMs = this.#world.nowMs;
    agenda.at(startedMs + WAY_MS, () => this.#world.thread.knock(link));
    agenda.at(startedMs + this.patience.upgradeMs, () => {
      if (this.tried === link) this.fail();
    });
  }

  opened(link: Link): void {
    if (this.tried !== link) return;
    if (this.link !== undefined) this.link.isGone = true;
    this.tried = undefined;
    link.isOpen = true;
    this.link = link;
    this.patience.begin(this.#world.nowMs);
    this.#beat(link);
  }

  lose(): void {
    if (this.link !== undefined) this.link.isGone = true;
    this.link = undefined;
    if (this.tried === undefined) this.fail();
  }

  fail(): void {
    if (this.tried !== undefined) this.tried.isGone = true;
    this.tried = undefined;
    const { agenda, nowMs } = this.#world;
    const waitMs = this.patience.fail(nowMs);
    if (this.link !== undefined) return;
    agenda.at(nowMs + waitMs, () => {
      if (this.link === undefined && this.tried === undefined) this.ask();
    });
  }

  #beat(link: Link): void {
    if (this.link !== link) return;
    const { agenda, nowMs, thread } = this.#world;
    if (this.tried === undefined && this.patience.isOver(nowMs)) {
      if (this.#world.flaw === "leaves who is late") {
        this.lose();
        return;
      }
      this.ask();
    }
    this.#beats += 1;
    const beat = this.#beats;
    this.patience.beat();
    agenda.at(nowMs + WAY_MS, () =>
      thread.hear(() =>
        thread.beat(() => {
          if (!link.isGone) agenda.at(thread.nowMs + WAY_MS, () => this.#echo(link, nowMs));
        }),
      ),
    );
    agenda.at(nowMs + this.patience.nextBeatMs(nowMs), () => {
      if (beat === this.#beats) this.#beat(link);
    });
  }

  #echo(link: Link, sentMs: number): void {
    if (this.link !== link) return;
    const { nowMs } = this.#world;
    const hadLease = this.isLeased(nowMs);
    const wasLate = this.patience.hear(nowMs);
    this.leaseFromMs = Math.max(this.leaseFromMs, sentMs);
    if (!hadLease && this.isLeased(nowMs)) this.leases += 1;
    if (this.tried !== undefined) {
      this.tried.isGone = true;
      this.tried = undefined;
      this.patience.fail(nowMs);
    }
    if (wasLate) this.#beat(link);
  }
}

/** The world: run it for a while, do something to it, run it on. */
export class Crowd {
  readonly agenda = new Agenda();
  readonly thread: CrowdThread;
  readonly flaw: Flaw | undefined;
  readonly #verifiers: readonly CrowdVerifier[];
  #nowMs = 0;
  #seed: number;

  constructor(options: {
    readonly verifiers: number;
    readonly costs: Costs;
    readonly seed: number;
    readonly flaw?: Flaw | undefined;
  }) {
    this.#seed = options.seed;
    this.flaw = options.flaw;
    this.thread = new CrowdThread(options.costs, options.flaw);
    this.#verifiers = Array.from(
      { length: options.verifiers },
      () => new CrowdVerifier(this, () => this.#random()),
    );
    for (const verifier of this.#verifiers) verifier.ask();
  }

  /** Of the verifiers; the thread may be behind it. */
  get nowMs(): number {
    return this.#nowMs;
  }

  /** Verifiers that hold a lease. */
  get leased(): number {
    return this.#verifiers.filter((verifier) => verifier.isLeased(this.#nowMs)).length;
  }

  /** How often a verifier without a lease got one; more than one for each is a lease that ran out in between. */
  get leases(): number {
    return this.#verifiers.reduce((sum, { leases }) => sum + leases, 0);
  }

  /** Nothing is done by the thread for so long; what is sent waits. */
  standStill(forMs: number): void {
    this.thread.standsStillUntilMs = this.#nowMs + forMs;
  }

  /** Every connection ends, as when the process does, and every lease has run out. */
  loseAll(): void {
    for (const verifier of this.#verifiers) verifier.lose();
    for (const verifier of this.#verifiers) verifier.leaseFromMs = Number.NEGATIVE_INFINITY;
  }

  runFor(ms: number): void {
    const endMs = this.#nowMs + ms;
    for (;;) {
      const { thread, agenda } = this;
      const threadMs = Math.max(thread.nowMs, thread.standsStillUntilMs, this.#nowMs);
      const roundMs = thread.hasWork ? threadMs : Math.max(threadMs, thread.nextStretchMs);
      const nextMs = Math.min(agenda.nextMs, roundMs);
      if (nextMs > endMs) break;
      this.#nowMs = nextMs;
      if (agenda.nextMs <= roundMs) agenda.take()?.act();
      else this.#round(roundMs);
    }
    this.#nowMs = endMs;
  }

  /** @returns the simulated time until everybody holds a lease, or null when that takes longer than `withinMs`. */
  untilAllLeased(withinMs: number): number | null {
    const sinceMs = this.#nowMs;
    while (this.leased < this.#verifiers.length) {
      if (this.#nowMs - sinceMs >= withinMs) return null;
      this.runFor(50);
    }
    return this.#nowMs - sinceMs;
  }

  #round(roundMs: number): void {
    this.thread.nowMs = roundMs;
    this.thread.round((link) => {
      // The peer's own work is its own processor's.
      this.agenda.at(this.thread.nowMs + 2 * WAY_MS, () =>
        this.thread.hear(() =>
          this.thread.finish(link, () => {
            this.agenda.at(this.thread.nowMs + WAY_MS, () => link.verifier.opened(link));
          }),
        ),
      );
    });
  }

  /** A small generator (mulberry32), so that a run can be repeated. */
  #random(): number {
    this.#seed = (this.#seed + 0x6d2b79f5) | 0;
    let mixed = Math.imul(this.#seed ^ (this.#seed >>> 15), 1 | this.#seed);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  }
}
