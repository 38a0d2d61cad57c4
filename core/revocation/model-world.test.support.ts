/**
 * A world of the models of the lease: clocks that run apart, networks that delay and break, processes that sleep, die and come
 * back, verifiers that move from one relay to the other. It lives through a plan and counts broken promises.
 */
import fc from "fast-check";
import { BEAT_MS, LEASE_MS } from "./frames.ts";
import type { Barrier } from "./lease-registry.ts";
import { type Flaw, Follower, Giver, Nature, Relay } from "./model-machines.test.support.ts";
import type { Instant } from "./ports.ts";
import type { RevocationView } from "./view.ts";

const STEP_MS = 10;
/** From the asking on, by clocks that are 2% apart and steps of the model. */
export const MAX_COMPLETION_MS: number = (LEASE_MS * 1.05) / 0.98 + 2 * STEP_MS;
/** Between two beats of a relay. */
const RELAY_BEAT_MS = 100;

type Step =
  | { readonly do: "revoke" | "restart" }
  | { readonly do: "cut" | "partition" | "crash"; readonly machine: number }
  | { readonly do: "suspend"; readonly machine: number; readonly ms: number }
  | { readonly do: "wait"; readonly steps: number };

export interface Plan {
  readonly steps: readonly Step[];
  readonly delays: readonly number[];
  readonly rates: readonly number[];
  readonly serverRate: number;
}

/** Which machines there are: relays first, then verifiers, which without relays are at the server. */
export interface Shape {
  readonly relays: number;
  readonly verifiers: number;
  /** Of a line, at most. */
  readonly maxDelayMs: number;
}

interface Revocation {
  readonly epoch: number;
  readonly id: string;
  barrier: Barrier;
  isComplete: boolean;
  /** Since when the present server process works on it. */
  atMs: number;
  completeAtMs: number;
}

const clockRate = fc.constantFrom(0.98, 1, 1.02);

/** Plans for these machines. */
export function anyPlan({ relays, verifiers, maxDelayMs }: Shape): fc.Arbitrary<Plan> {
  const count = relays + verifiers;
  return fc.record({
    steps: fc.array(anyStep(fc.nat(count - 1)), { minLength: 1, maxLength: 25 }),
    delays: fc.array(fc.oneof(fc.nat(20), fc.nat(maxDelayMs)), { minLength: 1, maxLength: 40 }),
    rates: fc.array(clockRate, { minLength: count, maxLength: count }),
    serverRate: clockRate,
  });
}

function anyStep(machine: fc.Arbitrary<number>): fc.Arbitrary<Step> {
  return fc.oneof(
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
}

/** A world that lives through a plan; `allowedAfterStop` counts broken promises. */
export class World {
  allowedBefore = 0;
  allowedAfterStop = 0;
  readonly revocations: Revocation[] = [];
  readonly #plan: Plan;
  readonly #serverLeaseMs: number;
  readonly #nature: Nature;
  readonly #relays: readonly Relay[];
  readonly #verifiers: readonly Follower[];
  /** Which relay each verifier tries next. */
  readonly #places: number[];
  #server: Giver;
  #epoch = 0;

  /** @param options.serverLeaseMs - what the server believes a lease to last. */
  constructor(options: {
    readonly shape: Shape;
    readonly plan: Plan;
    readonly flaw?: Flaw;
    readonly serverLeaseMs?: number;
  }) {
    const { shape, plan, flaw, serverLeaseMs = LEASE_MS } = options;
    this.#plan = plan;
    this.#serverLeaseMs = serverLeaseMs;
    this.#nature = new Nature(plan.delays);
    this.#server = this.#startServer();
    const rateOf = (index: number) => plan.rates[index] ?? 1;
    this.#relays = Array.from(
      { length: shape.relays },
      (_unused, index) => new Relay(new Follower(this.#nature, rateOf(index), RELAY_BEAT_MS), flaw),
    );
    this.#verifiers = Array.from(
      { length: shape.verifiers },
      (_unused, index) => new Follower(this.#nature, rateOf(shape.relays + index), BEAT_MS),
    );
    this.#places = this.#verifiers.map((_unused, index) => index);
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
    for (let count = 0; count < steps; count += 1) this.#step();
  }

  #step(): void {
    this.#nature.nowMs += STEP_MS;
    for (const one of this.#followers()) if (one.isAsleep) one.sleptMs += STEP_MS;
    // Also with what has arrived still unread, as a process that wakes up would.
    this.#judge();
    for (const [index, one] of this.#verifiers.entries()) if (!one.isAsleep) this.#live(one, index);
    for (const relay of this.#relays) if (!relay.above.isAsleep) relay.live(this.#server);
    this.#server.serve();
    this.#settle();
    this.#judge();
  }

  #live(one: Follower, index: number): void {
    const isNew = one.link === undefined;
    const place = this.#places[index] ?? 0;
    one.read(this.#giverAt(place));
    // The next try is another relay's.
    if (isNew && one.link !== undefined) this.#places[index] = place + 1;
    one.beat(one.view.epoch);
  }

  #giverAt(place: number): Giver | undefined {
    return this.#relays.length === 0 ? this.#server : this.#relays[place % this.#relays.length]?.below;
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

  /** The process dies: connections are gone, the epoch is durable, and pending revocations are asked for again. */
  #restart(): void {
    const here = this.#relays.length === 0 ? this.#verifiers : this.#relays.map(({ above }) => above);
    for (const one of here) one.cut(0);
    this.#server = this.#startServer();
    for (const revocation of this.revocations.filter(({ isComplete }) => !isComplete)) {
      revocation.barrier = this.#server.registry.started;
      revocation.atMs = this.#nature.nowMs;
    }
  }

  #startServer(): Giver {
    const monoMs = () => this.#nature.nowMs * this.#plan.serverRate;
    return new Giver({ nature: this.#nature, epoch: this.#epoch, monoMs, leaseMs: this.#serverLeaseMs });
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

  /** Each verifier tries to act on a decision of just before each revocation. */
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

/** Whether a view would let an act go on. */
function isAllowed(view: RevocationView, act: { epoch: number; ids: string[] }, now: Instant): boolean {
  try {
    view.requireFresh(now);
    view.requireUntouched(act);
    return true;
  } catch {
    return false;
  }
}
