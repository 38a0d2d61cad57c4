/**
 * The promise of revocation with relays between the server and its verifiers, as a model with the real views and accounts: clocks
 * that run apart, networks that delay and break, processes that sleep, die and come back, verifiers that move from one relay to
 * the other. Whatever happens, once a stop is complete at the server no view behind any relay allows what it stopped.
 *
 * Each rule of a relay that the model needs is taken out once, and the model finds it out (`model/relay.pml` says the same of
 * all interleavings of a smaller world).
 */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { encodeBase64url } from "../bytes.ts";
import {
  BEAT_MS,
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
import { due, isAllowed, type Queue } from "./model.test.support.ts";
import type { Instant } from "./ports.ts";
import { RevocationView } from "./view.ts";

const STEP_MS = 10;
const RELAYS = 2;
const VERIFIERS = 4;
const MACHINES = RELAYS + VERIFIERS;
/** Between two beats of a relay. */
const RELAY_BEAT_MS = 100;

/** What a relay may get wrong. */
type Flaw = "acknowledges at once" | "gives a whole lease" | "forgets the gap" | "answers without a lease";

interface Link {
  readonly lease: LeaseId;
  readonly giver: Giver;
  readonly up: Queue;
  readonly down: Queue;
}

type Step =
  | { readonly do: "revoke" | "restart" }
  | { readonly do: "cut" | "partition" | "crash"; readonly machine: number }
  | { readonly do: "suspend"; readonly machine: number; readonly ms: number }
  | { readonly do: "wait"; readonly steps: number };

interface Plan {
  readonly steps: readonly Step[];
  readonly delays: readonly number[];
  readonly rates: readonly number[];
  readonly serverRate: number;
}

const machine = fc.nat(MACHINES - 1);
const step: fc.Arbitrary<Step> = fc.oneof(
  { arbitrary: fc.constant({ do: "revoke" as const }), weight: 5 },
  { arbitrary: fc.record({ do: fc.constantFrom("cut", "partition", "crash"), machine }), weight: 5 },
  {
    arbitrary: fc.record({
      do: fc.constant("suspend" as const),
      machine,
      ms: fc.integer({ min: 50, max: 1500 }),
    }),
    weight: 2,
  },
  { arbitrary: fc.constant({ do: "restart" as const }), weight: 1 },
  { arbitrary: fc.record({ do: fc.constant("wait" as const), steps: fc.nat(60) }), weight: 6 },
);
const clockRate = fc.constantFrom(0.98, 1, 1.02);
const anyPlan: fc.Arbitrary<Plan> = fc.record({
  steps: fc.array(step, { minLength: 1, maxLength: 25 }),
  delays: fc.array(fc.oneof(fc.nat(20), fc.nat(300)), { minLength: 1, maxLength: 40 }),
  rates: fc.array(clockRate, { minLength: MACHINES, maxLength: MACHINES }),
  serverRate: clockRate,
});

/** What all machines share: the true time, and how long a line takes. */
class Nature {
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
class Giver {
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
    readonly leftMs?: () => number;
  }) {
    const { nature, epoch, monoMs, leftMs } = options;
    this.#nature = nature;
    this.#monoMs = monoMs;
    this.#leftMs = leftMs;
    this.registry = new LeaseRegistry({ nowMs: monoMs(), epoch, isRelay: leftMs !== undefined });
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
class Follower {
  view = new RevocationView();
  link: Link | undefined;
  reconnectMs = 0;
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
class Relay {
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

interface Revocation {
  readonly epoch: number;
  readonly id: string;
  barrier: Barrier;
  isComplete: boolean;
  atMs: number;
  completeAtMs: number;
}

/** A world that lives through a plan; `allowedAfterStop` counts broken promises. */
class World {
  allowedBefore = 0;
  allowedAfterStop = 0;
  readonly revocations: Revocation[] = [];
  readonly #plan: Plan;
  readonly #nature: Nature;
  readonly #relays: readonly Relay[];
  readonly #verifiers: readonly Follower[];
  /** Which relay each verifier tries next. */
  readonly #places: number[];
  #server: Giver;
  #epoch = 0;

  constructor(plan: Plan, flaw?: Flaw) {
    this.#plan = plan;
    this.#nature = new Nature(plan.delays);
    this.#server = this.#startServer();
    const rateOf = (index: number) => plan.rates[index] ?? 1;
    this.#relays = Array.from(
      { length: RELAYS },
      (_unused, index) => new Relay(new Follower(this.#nature, rateOf(index), RELAY_BEAT_MS), flaw),
    );
    this.#verifiers = Array.from(
      { length: VERIFIERS },
      (_unused, index) => new Follower(this.#nature, rateOf(RELAYS + index), BEAT_MS),
    );
    this.#places = this.#verifiers.map((_unused, index) => index % RELAYS);
  }

  run(): void {
    this.#wait(60);
    for (const next of this.#plan.steps) this.#take(next);
    this.#wait(300);
  }

  #take(next: Step): void {
    switch (next.do) {
      case "revoke":
        this.#revoke();
        break;
      case "restart":
        this.#restart();
        break;
      case "cut":
        this.#follower(next.machine).cut(0);
        break;
      case "partition":
        this.#follower(next.machine).cut(2000);
        break;
      case "crash":
        this.#crash(next.machine);
        break;
      case "suspend":
        this.#follower(next.machine).asleepUntilMs = this.#nature.nowMs + next.ms;
        break;
      case "wait":
        this.#wait(next.steps);
        break;
    }
    this.#wait(1);
  }

  #wait(steps: number): void {
    for (let count = 0; count < steps; count += 1) {
      this.#nature.nowMs += STEP_MS;
      for (const one of this.#followers()) if (one.isAsleep) one.sleptMs += STEP_MS;
      this.#judge();
      for (const [index, one] of this.#verifiers.entries()) if (!one.isAsleep) this.#live(one, index);
      for (const relay of this.#relays) if (!relay.above.isAsleep) relay.live(this.#server);
      this.#server.serve();
      this.#settle();
      this.#judge();
    }
  }

  #live(one: Follower, index: number): void {
    const isNew = one.link === undefined;
    const place = this.#places[index] ?? 0;
    one.read(this.#relays[place % RELAYS]?.below);
    // The next try is another relay's.
    if (isNew && one.link !== undefined) this.#places[index] = place + 1;
    one.beat(one.view.epoch);
  }

  #revoke(): void {
    this.#epoch += 1;
    const id = `agt_${this.#epoch}`;
    const barrier = this.#server.push([{ kind: "agent", id }], this.#epoch);
    this.revocations.push({
      epoch: this.#epoch,
      id,
      barrier,
      isComplete: false,
      atMs: this.#nature.nowMs,
      completeAtMs: Number.NaN,
    });
  }

  #restart(): void {
    for (const { above } of this.#relays) above.cut(0);
    this.#server = this.#startServer();
    for (const revocation of this.revocations.filter(({ isComplete }) => !isComplete)) {
      revocation.barrier = this.#server.registry.started;
      revocation.atMs = this.#nature.nowMs;
    }
  }

  #startServer(): Giver {
    const monoMs = () => this.#nature.nowMs * this.#plan.serverRate;
    return new Giver({ nature: this.#nature, epoch: this.#epoch, monoMs });
  }

  #crash(index: number): void {
    const relay = this.#relays[index];
    if (relay === undefined) {
      this.#follower(index).crash();
      return;
    }
    for (const one of this.#verifiers) if (one.link?.giver === relay.below) one.cut(0);
    relay.crash();
  }

  #settle(): void {
    for (const revocation of this.revocations) {
      if (revocation.isComplete || !this.#server.isComplete(revocation.barrier)) continue;
      revocation.isComplete = true;
      revocation.completeAtMs = this.#nature.nowMs;
    }
  }

  #judge(): void {
    for (const one of this.#verifiers.filter(({ isAsleep }) => !isAsleep)) {
      for (const { epoch, id, isComplete } of this.revocations) {
        if (!isAllowed(one.view, { epoch: epoch - 1, ids: [id] }, one.instant)) continue;
        if (isComplete) this.allowedAfterStop += 1;
        else this.allowedBefore += 1;
      }
    }
  }

  #followers(): readonly Follower[] {
    return [...this.#relays.map(({ above }) => above), ...this.#verifiers];
  }

  #follower(index: number): Follower {
    const one = this.#followers()[index];
    if (one === undefined) throw new Error("a machine of the plan");
    return one;
  }
}

describe("the promise behind relays", () => {
  test("no view allows what a completed revocation stopped, and it is complete within a lease", () => {
    let allowedBefore = 0;
    let completed = 0;
    fc.assert(
      fc.property(anyPlan, (plan) => {
        const world = new World(plan);
        world.run();
        allowedBefore += world.allowedBefore;
        completed += world.revocations.length;
        expect(world.allowedAfterStop).toBe(0);
        for (const { isComplete, atMs, completeAtMs } of world.revocations) {
          expect(isComplete).toBe(true);
          expect(completeAtMs - atMs).toBeLessThanOrEqual((LEASE_MS * 1.05) / 0.98 + 2 * STEP_MS);
        }
      }),
      { numRuns: 60 },
    );
    expect(allowedBefore).toBeGreaterThan(100);
    expect(completed).toBeGreaterThan(50);
  });

  test.each<Flaw>([
    "acknowledges at once",
    "gives a whole lease",
    "forgets the gap",
    "answers without a lease",
  ])("the model finds out a relay that %s", (flaw) => {
    const found = fc.check(
      fc.property(anyPlan, (plan) => {
        const world = new World(plan, flaw);
        world.run();
        return world.allowedAfterStop === 0;
      }),
      { numRuns: 3000, endOnFailure: true },
    );
    expect(found.failed).toBe(true);
  });
});
