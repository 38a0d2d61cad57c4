/**
 * The promise of revocation as a model: one server, several verifiers, clocks that run apart, a network that delays,
 * breaks and comes back, processes that die. Whatever happens, once a revocation is complete no view allows it again.
 */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { encodeBase64url } from "../bytes.ts";
import {
  BEAT_MS,
  encodeBeat,
  encodeServerFrame,
  LEASE_MS,
  parseBeat,
  parseServerFrame,
  type ServerFrame,
} from "./frames.ts";
import { type Barrier, type LeaseId, LeaseRegistry } from "./lease-registry.ts";
import { due, isAllowed, type Queue } from "./model.test.support.ts";
import type { Instant } from "./ports.ts";
import { RevocationView } from "./view.ts";

const STEP_MS = 10;
const VERIFIERS = 3;

/** Both directions of one connection; lines arrive in order, each after its own delay, or never once it is dead. */
interface Link {
  readonly lease: LeaseId;
  readonly toServer: Queue;
  readonly toVerifier: Queue;
}

interface Verifier {
  view: RevocationView;
  link: Link | undefined;
  nextBeatMs: number;
  reconnectMs: number;
  /** Suspended until then: nothing runs, the monotonic clock stands still, the wall clock goes on. */
  asleepUntilMs: number;
  sleptMs: number;
  readonly rate: number;
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

type Step =
  | { readonly do: "revoke" }
  | { readonly do: "cut" | "crash" | "partition"; readonly verifier: number }
  | { readonly do: "suspend"; readonly verifier: number; readonly ms: number }
  | { readonly do: "restart" }
  | { readonly do: "wait"; readonly steps: number };

interface Plan {
  readonly steps: readonly Step[];
  readonly delays: readonly number[];
  readonly serverRate: number;
  readonly verifierRates: readonly number[];
  /** What the server believes a lease to last; less than the truth must be found out. */
  readonly serverLeaseMs: number;
}

const rate = fc.constantFrom(0.98, 1, 1.02);
const verifier = fc.nat(VERIFIERS - 1);
const step: fc.Arbitrary<Step> = fc.oneof(
  { arbitrary: fc.record({ do: fc.constant("revoke" as const) }), weight: 4 },
  { arbitrary: fc.record({ do: fc.constantFrom("cut", "crash", "partition"), verifier }), weight: 4 },
  {
    arbitrary: fc.record({
      do: fc.constant("suspend" as const),
      verifier,
      ms: fc.integer({ min: 50, max: 1500 }),
    }),
    weight: 2,
  },
  { arbitrary: fc.record({ do: fc.constant("restart" as const) }), weight: 1 },
  { arbitrary: fc.record({ do: fc.constant("wait" as const), steps: fc.nat(60) }), weight: 6 },
);
const planWith = (serverLeaseMs: number): fc.Arbitrary<Plan> =>
  fc.record({
    steps: fc.array(step, { minLength: 1, maxLength: 25 }),
    delays: fc.array(fc.oneof(fc.nat(20), fc.nat(400)), { minLength: 1, maxLength: 40 }),
    serverRate: rate,
    verifierRates: fc.array(rate, { minLength: VERIFIERS, maxLength: VERIFIERS }),
    serverLeaseMs: fc.constant(serverLeaseMs),
  });

/** A world that lives through a plan; `allowedAfterStop` counts broken promises. */
class World {
  nowMs = 0;
  allowedBefore = 0;
  allowedAfterStop = 0;
  readonly revocations: Revocation[] = [];
  readonly #plan: Plan;
  readonly #verifiers: Verifier[];
  #registry: LeaseRegistry;
  #seq = 0;
  #epoch = 0;
  #draws = 0;
  #nonces = 0;

  constructor(plan: Plan) {
    this.#plan = plan;
    this.#registry = this.#startServer();
    this.#verifiers = plan.verifierRates.map((clockRate) => ({
      view: new RevocationView(),
      link: undefined,
      nextBeatMs: 0,
      reconnectMs: 0,
      asleepUntilMs: 0,
      sleptMs: 0,
      rate: clockRate,
    }));
  }

  run(): void {
    this.#wait(30);
    for (const next of this.#plan.steps) this.#take(next);
    this.#wait(300);
  }

  #take(next: Step): void {
    switch (next.do) {
      case "revoke":
        this.#revoke();
        break;
      case "cut":
        this.#cut(next.verifier, 0);
        break;
      case "partition":
        this.#cut(next.verifier, 2000);
        break;
      case "crash":
        this.#cut(next.verifier, 50);
        this.#of(next.verifier).view = new RevocationView();
        break;
      case "suspend":
        this.#of(next.verifier).asleepUntilMs = this.nowMs + next.ms;
        break;
      case "restart":
        this.#restart();
        break;
      case "wait":
        this.#wait(next.steps);
        break;
    }
    this.#wait(1);
  }

  #wait(steps: number): void {
    for (let count = 0; count < steps; count += 1) {
      this.nowMs += STEP_MS;
      for (const one of this.#verifiers) if (this.#isAsleep(one)) one.sleptMs += STEP_MS;
      // Also with what has arrived still unread, as a process that wakes up would.
      this.#judge();
      for (const one of this.#verifiers) if (!this.#isAsleep(one)) this.#live(one);
      for (const one of this.#verifiers) this.#serve(one);
      for (const revocation of this.revocations) this.#settle(revocation);
      this.#judge();
    }
  }

  #revoke(): void {
    this.#epoch += 1;
    this.#seq += 1;
    const id = `agt_${this.#epoch}`;
    const barrier = this.#registry.advance(this.#epoch, this.#serverMs());
    const targets = [{ kind: "agent" as const, id }];
    for (const { link } of this.#verifiers) {
      if (link) this.#toVerifier(link, { kind: "push", seq: this.#seq, epoch: this.#epoch, targets });
    }
    this.revocations.push({
      epoch: this.#epoch,
      id,
      barrier,
      isComplete: false,
      atMs: this.nowMs,
      completeAtMs: Number.NaN,
    });
  }

  /** The process dies: connections are gone, the epoch is durable, and pending revocations are asked for again. */
  #restart(): void {
    for (let index = 0; index < VERIFIERS; index += 1) this.#cut(index, 0);
    this.#seq = 0;
    this.#registry = this.#startServer();
    for (const revocation of this.revocations) {
      if (revocation.isComplete) continue;
      revocation.barrier = this.#registry.started;
      revocation.atMs = this.nowMs;
    }
  }

  #startServer(): LeaseRegistry {
    return new LeaseRegistry({
      nowMs: this.#serverMs(),
      epoch: this.#epoch,
      leaseMs: this.#plan.serverLeaseMs,
    });
  }

  #cut(index: number, offlineMs: number): void {
    const one = this.#of(index);
    if (one.link) {
      this.#registry.close(one.link.lease, this.#serverMs());
    }
    one.link = undefined;
    one.reconnectMs = this.nowMs + offlineMs;
  }

  #live(one: Verifier): void {
    if (one.link === undefined && this.nowMs >= one.reconnectMs) this.#connect(one);
    const { link } = one;
    if (link === undefined) return;
    for (const line of due(link.toVerifier, this.nowMs)) {
      const before = one.view.epoch;
      one.view.onFrame(parseServerFrame(line));
      if (one.view.epoch !== before) one.nextBeatMs = this.nowMs;
    }
    if (one.view.isStale) {
      this.#cut(this.#verifiers.indexOf(one), 20);
      return;
    }
    if (one.view.isFollowing && this.nowMs >= one.nextBeatMs) this.#beat(one, link);
  }

  #serve({ link }: Verifier): void {
    if (link === undefined) return;
    for (const line of due(link.toServer, this.nowMs)) this.#onBeat(link, line);
  }

  #connect(one: Verifier): void {
    const link: Link = { lease: this.#registry.open(), toServer: [], toVerifier: [] };
    one.link = link;
    one.nextBeatMs = this.nowMs;
    one.view.onConnect();
    const { epoch } = this.#registry;
    this.#toVerifier(link, { kind: "hello", epoch, leaseMs: LEASE_MS, seq: this.#seq });
  }

  #beat(one: Verifier, link: Link): void {
    this.#nonces += 1;
    const nonce = encodeBase64url(new Uint8Array(new Uint32Array([this.#nonces, 0, 0, 0]).buffer));
    one.view.onSent(nonce, this.#instant(one));
    one.nextBeatMs = this.nowMs + BEAT_MS;
    this.#send(link.toServer, encodeBeat({ nonce, ack: one.view.epoch }));
  }

  #onBeat(link: Link, line: string): void {
    const { nonce, ack } = parseBeat(line);
    this.#registry.ack(link.lease, ack);
    const epoch = this.#registry.echo(link.lease, this.#serverMs());
    this.#toVerifier(link, { kind: "echo", nonce, epoch, seq: this.#seq });
  }

  #settle(revocation: Revocation): void {
    if (revocation.isComplete) return;
    if (this.#registry.completion(revocation.barrier, this.#serverMs()).state === "pending") return;
    revocation.isComplete = true;
    revocation.completeAtMs = this.nowMs;
  }

  /** Each verifier tries to act on a decision of just before each revocation. */
  #judge(): void {
    for (const one of this.#verifiers.filter((each) => !this.#isAsleep(each))) {
      for (const { epoch, id, isComplete } of this.revocations) {
        if (!isAllowed(one.view, { epoch: epoch - 1, ids: [id] }, this.#instant(one))) continue;
        if (isComplete) this.allowedAfterStop += 1;
        else this.allowedBefore += 1;
      }
    }
  }

  #toVerifier(link: Link, frame: ServerFrame): void {
    this.#send(link.toVerifier, encodeServerFrame(frame));
  }

  #send(queue: Queue, line: Uint8Array): void {
    queue.push({ dueMs: Math.max(this.nowMs + this.#draw(), queue.at(-1)?.dueMs ?? 0), line });
  }

  /** Both clocks of a machine run on one crystal. */
  #instant({ rate: clockRate, sleptMs }: Verifier): Instant {
    return { monotonicMs: (this.nowMs - sleptMs) * clockRate, wallMs: 1_000_000 + this.nowMs * clockRate };
  }

  #isAsleep({ asleepUntilMs }: Verifier): boolean {
    return this.nowMs < asleepUntilMs;
  }

  #serverMs(): number {
    return this.nowMs * this.#plan.serverRate;
  }

  #draw(): number {
    this.#draws += 1;
    return this.#plan.delays[this.#draws % this.#plan.delays.length] ?? 0;
  }

  #of(index: number): Verifier {
    const one = this.#verifiers[index];
    if (one === undefined) throw new Error("a verifier of the plan");
    return one;
  }
}

describe("the promise", () => {
  test("no view allows what a completed revocation stopped", () => {
    let allowedBefore = 0;
    let completed = 0;
    fc.assert(
      fc.property(planWith(LEASE_MS), (plan) => {
        const world = new World(plan);
        world.run();
        allowedBefore += world.allowedBefore;
        completed += world.revocations.filter(({ isComplete }) => isComplete).length;
        expect(world.allowedAfterStop).toBe(0);
        for (const { isComplete, atMs, completeAtMs } of world.revocations) {
          expect(isComplete).toBe(true);
          expect(completeAtMs - atMs).toBeLessThanOrEqual((LEASE_MS * 1.05) / 0.98 + 2 * STEP_MS);
        }
      }),
      { numRuns: 200 },
    );
    // The model is not vacuous: views allow until they are stopped, and revocations complete.
    expect(allowedBefore).toBeGreaterThan(100);
    expect(completed).toBeGreaterThan(100);
  });

  test("the model finds out a server that waits a tenth less than a lease", () => {
    const found = fc.check(
      fc.property(planWith(LEASE_MS * 0.9), (plan) => {
        const world = new World(plan);
        world.run();
        return world.allowedAfterStop === 0;
      }),
      { numRuns: 2000, endOnFailure: true },
    );
    expect(found.failed).toBe(true);
  });
});
