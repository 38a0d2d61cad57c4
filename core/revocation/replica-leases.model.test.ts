/**
 * The account of several servers in schedules that chance makes: every statement and every answer takes its own time, a
 * server stands still or starts again whenever it likes. Whatever happens, once a revocation is over no verifier of any
 * server may act on what was before.
 */
import { expect, test } from "vitest";
import { ReplicaLeases } from "./replica-leases.ts";

const LEASE_MS = 700;
const RUNS = 200;
const BEAT_MS = 100;
const END_MS = 30_000;
/** After which a server that says nothing is not waited for any more. */
const FORGOTTEN_MS = 3_000;

/** What the store keeps; each access is one statement. */
interface Store {
  epoch: number;
  readonly rows: Map<string, { beats: number; acked: number }>;
}

interface Timeline {
  nowMs: number;
  readonly due: { readonly atMs: number; readonly run: () => void }[];
}

/** Small, and good enough for schedules. @see Marsaglia, "Xorshift RNGs" */
function createChance(seed: number): () => number {
  let state = seed * 2_654_435_761 + 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 4_294_967_296;
  };
}

/** One server with one verifier, whose lease ends at `#heldUntilMs` and who knows of the epoch `#known`. */
class Server {
  readonly #world: World;
  readonly #at: number;
  #name = "";
  #leases = new ReplicaLeases(0);
  #life = 0;
  /** What its verifiers are told of, and have acknowledged. */
  epoch = 0;
  #heldUntilMs = 0;
  #known = 0;

  constructor(world: World, at: number) {
    this.#world = world;
    this.#at = at;
    this.start();
  }

  /** The process ends; the verifier keeps what it holds. */
  stop(): void {
    this.#life += 1;
  }

  /** Another process in its place. */
  start(): void {
    const { time, store } = this.#world;
    this.#life += 1;
    this.#name = `${this.#at}.${this.#life}`;
    this.#leases = new ReplicaLeases(time.nowMs);
    this.epoch = store.epoch;
    this.#beat(this.#life);
  }

  /** Whether its verifier acts on what was before an epoch. */
  actsBefore(epoch: number): boolean {
    return this.#known < epoch && this.#world.time.nowMs < this.#heldUntilMs;
  }

  /** Revokes; told when that is over. */
  revoke(onOver: (epoch: number) => void): void {
    const { store, time, later } = this.#world;
    const life = this.#life;
    store.epoch += 1;
    const { epoch } = store;
    later(() => {
      if (life !== this.#life) return;
      const barrier = this.#leases.begin(epoch, time.nowMs);
      this.#tell(epoch);
      const look = (): void => {
        if (life !== this.#life) return;
        if (this.#leases.completion(barrier, time.nowMs) !== null && this.#known >= epoch) onOver(epoch);
        else later(look, 20);
      };
      look();
    });
  }

  #beat(life: number): void {
    const { store, time, later, countsFromAnswer } = this.#world;
    if (life !== this.#life) return;
    const sentAtMs = time.nowMs;
    const name = this.#name;
    const acked = Math.min(this.epoch, this.#known);
    const keep = (): void => {
      store.rows.set(name, { beats: (store.rows.get(name)?.beats ?? 0) + 1, acked });
    };
    const ask = (): void => {
      const { epoch } = store;
      const others = [...store.rows]
        .filter(([other]) => other !== name)
        .map(([other, row]) => ({ name: other, leases: 1, ...row }));
      later(() => {
        if (life !== this.#life) return;
        const fromMs = countsFromAnswer ? time.nowMs : sentAtMs;
        this.#leases.hear({ sentAtMs: fromMs, epoch, others }, time.nowMs);
        this.#tell(epoch);
        this.#give();
        later(() => this.#beat(life), BEAT_MS);
      });
    };
    later(() => {
      keep();
      later(ask);
    });
  }

  /** The verifier hears of an epoch some time after its server. */
  #tell(epoch: number): void {
    if (epoch <= this.epoch) return;
    this.epoch = epoch;
    this.#world.later(() => {
      this.#known = Math.max(this.#known, epoch);
    });
  }

  /** A push comes before any lease that is given after it. */
  #give(): void {
    const { time, later } = this.#world;
    const left = this.#leases.leftMs(this.epoch, time.nowMs);
    const told = this.epoch;
    const until = time.nowMs + left;
    later(() => {
      if (left === 0) return;
      this.#known = Math.max(this.#known, told);
      this.#heldUntilMs = Math.max(this.#heldUntilMs, until);
    });
  }
}

/** Owns time, store and servers of one schedule. */
class World {
  readonly time: Timeline = { nowMs: 10_000, due: [] };
  readonly store: Store = { epoch: 0, rows: new Map() };
  readonly countsFromAnswer: boolean;
  readonly #chance: () => number;

  constructor(chance: () => number, countsFromAnswer: boolean) {
    this.#chance = chance;
    this.countsFromAnswer = countsFromAnswer;
  }

  /** Mostly soon; now and then after what could be a whole lease, or several. */
  later = (run: () => void, atLeastMs = 0): void => {
    const isSlow = this.#chance() < 0.06;
    const spread = isSlow ? 4 * LEASE_MS * this.#chance() : 15 * this.#chance();
    this.time.due.push({ atMs: this.time.nowMs + atLeastMs + spread, run });
  };

  step(): void {
    const { time } = this;
    time.due.sort((left, right) => left.atMs - right.atMs);
    const next = time.due.shift();
    if (next === undefined) return;
    time.nowMs = next.atMs;
    next.run();
  }
}

/** How often a verifier could act on what was before, after somebody had been told that nobody does. */
function countViolations({
  seed,
  countsFromAnswer,
}: {
  readonly seed: number;
  readonly countsFromAnswer: boolean;
}): {
  readonly violations: number;
  readonly over: number;
} {
  const chance = createChance(seed);
  const world = new World(chance, countsFromAnswer);
  const servers = (seed % 2 === 0 ? [0, 1, 2] : [0, 1]).map((at) => new Server(world, at));
  const any = (): Server | undefined => servers[Math.floor(chance() * servers.length)];
  let violations = 0;
  let over = 0;
  const revoke = (): void =>
    any()?.revoke((epoch) => {
      over += 1;
      if (servers.some((server) => server.actsBefore(epoch))) violations += 1;
    });
  const stir = (): void => {
    const server = any();
    if (chance() < 0.3) {
      server?.stop();
      // At once, or when nobody remembers it.
      world.later(
        () => {
          server?.start();
          world.later(revoke);
        },
        chance() < 0.5 ? 0 : FORGOTTEN_MS,
      );
    }
    revoke();
    world.later(stir, 400);
  };
  world.later(stir, 1_000);
  while (world.time.nowMs < END_MS) world.step();
  return { violations, over };
}

const seeds = Array.from({ length: RUNS }, (_, at) => at + 1);

test("no verifier acts on what was before a revocation that is over, in any of two hundred schedules", () => {
  const runs = seeds.map((seed) => countViolations({ seed, countsFromAnswer: false }));
  expect(runs.reduce((sum, { over }) => sum + over, 0)).toBeGreaterThan(RUNS);
  expect(runs.filter(({ violations }) => violations > 0)).toEqual([]);
});

test("some would with a server that counts a lease from when it hears of it", () => {
  expect(seeds.some((seed) => countViolations({ seed, countsFromAnswer: true }).violations > 0)).toBe(true);
});
