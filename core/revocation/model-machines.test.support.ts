/** The machines of the models of the lease, with the real views and accounts: what gives leases, what holds them, and relays. */
import { encodeBase64url } from "../bytes.ts";
import {
  EVERYTHING,
  encodeBeat,
  encodeServerFrame,
  LEASE_MS,
  parseBeat,
  parseServerFrame,
  type RevocationTarget,
  type ServerFrame,
} from "./frames.ts";
import { type Barrier, type LeaseId, LeaseRegistry } from "./lease-registry.ts";
import type { Instant } from "./ports.ts";
import { RevocationView } from "./view.ts";

/** One direction of a connection: lines in order, each with when it arrives. */
type Queue = { readonly dueMs: number; readonly line: Uint8Array }[];

/** What a relay may get wrong. */
export type Flaw =
  | "acknowledges at once"
  | "gives a whole lease"
  | "forgets the gap"
  | "answers without a lease";

/** Both directions of one connection; lines arrive in order, each after its own delay, or never once it is dead. */
interface Link {
  readonly lease: LeaseId;
  readonly giver: Giver;
  readonly up: Queue;
  readonly down: Queue;
}

/** What all machines share: the true time, and how long a line takes. */
export class Nature {
  nowMs = 0;
  readonly #delays: readonly number[];
  #draws = 0;

  constructor(delays: readonly number[]) {
    this.#delays = delays;
  }

  /** Lines of one direction arrive in order. */
  carry(queue: Queue, line: Uint8Array): void {
    this.#draws += 1;
    const delayMs = this.#delays[this.#draws % this.#delays.length] ?? 0;
    queue.push({ dueMs: Math.max(this.nowMs + delayMs, queue.at(-1)?.dueMs ?? 0), line });
  }
}

/** The side that gives leases: the server's, or a relay's own. */
export class Giver {
  readonly registry: LeaseRegistry;
  readonly links = new Set<Link>();
  readonly #nature: Nature;
  readonly #monoMs: () => number;
  /** Of a relay: what it may give. */
  readonly #leftMs: (() => number) | undefined;
  #seq = 0;

  constructor(options: {
    readonly nature: Nature;
    readonly epoch: number;
    readonly monoMs: () => number;
    /** What it believes a lease to last; less than the truth must be found out. */
    readonly leaseMs?: number;
    readonly leftMs?: () => number;
  }) {
    const { nature, epoch, monoMs, leaseMs = LEASE_MS, leftMs } = options;
    this.#nature = nature;
    this.#monoMs = monoMs;
    this.#leftMs = leftMs;
    this.registry = new LeaseRegistry({ nowMs: monoMs(), epoch, leaseMs, isRelay: leftMs !== undefined });
  }

  open(): Link {
    const link = { lease: this.registry.open(), giver: this, up: [], down: [] };
    this.links.add(link);
    this.#send(link, {
      kind: "hello",
      epoch: this.registry.epoch,
      leaseMs: LEASE_MS,
      seq: this.#seq,
    });
    return link;
  }

  close(link: Link): void {
    if (this.links.delete(link)) this.registry.close(link.lease, this.#monoMs());
  }

  push(targets: readonly RevocationTarget[], epoch: number): Barrier {
    const barrier = this.registry.advance(epoch, this.#monoMs());
    this.#seq += 1;
    for (const link of this.links) this.#send(link, { kind: "push", seq: this.#seq, epoch, targets });
    return barrier;
  }

  isComplete(barrier: Barrier): boolean {
    return this.registry.completion(barrier, this.#monoMs()).state === "complete";
  }

  serve(): void {
    for (const link of this.links)
      for (const line of due(link.up, this.#nature.nowMs)) this.#onBeat(link, line);
  }

  #onBeat(link: Link, line: string): void {
    const { nonce, ack } = parseBeat(line);
    this.registry.ack(link.lease, ack);
    const nowMs = this.#monoMs();
    const leaseMs = this.#leftMs?.();
    if (leaseMs !== undefined && leaseMs < 1) return;
    const epoch = this.registry.echo(link.lease, nowMs, leaseMs);
    this.#send(link, { kind: "echo", nonce, epoch, seq: this.#seq, leaseMs });
  }

  #send(link: Link, frame: ServerFrame): void {
    this.#nature.carry(link.down, encodeServerFrame(frame));
  }
}

/** A machine with a clock, and the lease that it holds. */
export class Follower {
  view = new RevocationView();
  link: Link | undefined;
  reconnectMs = 0;
  /** Suspended until then: nothing runs, the monotonic clock stands still, the wall clock goes on. */
  asleepUntilMs = 0;
  sleptMs = 0;
  nextBeatMs = 0;
  readonly nature: Nature;
  readonly #rate: number;
  readonly #beatMs: number;
  #nonces = 0;

  constructor(nature: Nature, rate: number, beatMs: number) {
    this.nature = nature;
    this.#rate = rate;
    this.#beatMs = beatMs;
  }

  get isAsleep(): boolean {
    return this.nature.nowMs < this.asleepUntilMs;
  }

  get monoMs(): number {
    return (this.nature.nowMs - this.sleptMs) * this.#rate;
  }

  /** Both clocks of a machine run on one crystal. */
  get instant(): Instant {
    return { monotonicMs: this.monoMs, wallMs: 1_000_000 + this.nature.nowMs * this.#rate };
  }

  cut(offlineMs: number): void {
    this.link?.giver.close(this.link);
    this.link = undefined;
    this.reconnectMs = this.nature.nowMs + offlineMs;
  }

  crash(): void {
    this.cut(50);
    this.view = new RevocationView();
  }

  /** @returns what was heard; nothing of a chunk in which the view went stale. */
  read(giver: Giver | undefined): readonly ServerFrame[] {
    const { nowMs } = this.nature;
    if (this.link === undefined && giver !== undefined && nowMs >= this.reconnectMs) {
      this.link = giver.open();
      this.nextBeatMs = nowMs;
      this.view.onConnect();
    }
    if (this.link === undefined) return [];
    const before = this.view.epoch;
    const frames = due(this.link.down, nowMs).map(parseServerFrame);
    for (const frame of frames) this.view.onFrame(frame);
    if (this.view.isStale) {
      this.cut(20);
      return [];
    }
    if (this.view.epoch !== before) this.nextBeatMs = nowMs;
    return frames;
  }

  beat(ack: number): void {
    if (this.link === undefined || !this.view.isFollowing || this.nature.nowMs < this.nextBeatMs) return;
    this.#nonces += 1;
    const nonce = encodeBase64url(new Uint8Array(new Uint32Array([this.#nonces, 0, 0, 0]).buffer));
    this.view.onSent(nonce, this.instant);
    this.nextBeatMs = this.nature.nowMs + this.#beatMs;
    this.nature.carry(this.link.up, encodeBeat({ nonce, ack }));
  }
}

/** A relay as `cli/relay/relay.ts` is one. */
export class Relay {
  readonly above: Follower;
  below: Giver | undefined;
  readonly #flaw: Flaw | undefined;
  #acknowledged = 0;
  #passing: { readonly epoch: number; readonly barrier: Barrier }[] = [];

  constructor(above: Follower, flaw: Flaw | undefined) {
    this.above = above;
    this.#flaw = flaw;
  }

  crash(): void {
    this.above.crash();
    this.below = undefined;
    this.#passing = [];
    this.#acknowledged = 0;
  }

  live(server: Giver): void {
    for (const frame of this.above.read(server)) {
      if (frame.kind === "hello") this.#onHello(frame.epoch);
      if (frame.kind === "push") this.#pass(frame.targets, frame.epoch);
    }
    this.below?.serve();
    this.#passing = this.#passing.filter(({ epoch, barrier }) => {
      if (this.below?.isComplete(barrier) !== true) return true;
      if (epoch > this.#acknowledged) {
        this.#acknowledged = epoch;
        this.above.nextBeatMs = 0;
      }
      return false;
    });
    this.above.beat(this.#flaw === "acknowledges at once" ? this.above.view.epoch : this.#acknowledged);
  }

  #onHello(epoch: number): void {
    if (this.below === undefined) {
      this.#acknowledged = epoch;
      this.below = new Giver({
        nature: this.above.nature,
        epoch,
        monoMs: () => this.above.monoMs,
        leftMs: () => this.#leftMs(),
      });
    } else if (epoch > this.below.registry.epoch) {
      this.#pass(this.#flaw === "forgets the gap" ? [{ kind: "entry", id: "*" }] : [EVERYTHING], epoch);
    }
  }

  #leftMs(): number {
    const leftMs = this.above.view.leftMs(this.above.instant);
    if (this.#flaw === "gives a whole lease") return leftMs < 1 ? 0 : LEASE_MS;
    return this.#flaw === "answers without a lease" ? Math.max(leftMs, LEASE_MS / 2) : leftMs;
  }

  #pass(targets: readonly RevocationTarget[], epoch: number): void {
    if (this.below === undefined) throw new Error("a push follows a hello");
    this.#passing.push({ epoch, barrier: this.below.push(targets, epoch) });
  }
}

/** Takes the lines that have arrived, without their ends. */
function due(queue: Queue, nowMs: number): string[] {
  const lines: string[] = [];
  while ((queue[0]?.dueMs ?? Number.POSITIVE_INFINITY) <= nowMs) {
    lines.push(new TextDecoder().decode(queue.shift()?.line).trimEnd());
  }
  return lines;
}
