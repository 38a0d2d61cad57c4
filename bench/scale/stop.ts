/**
 * When the last verifier of a tree of relays has heard of a stop, hop by hop from measured delays.
 *
 * Each hop of each stop takes the delays of one of a hundred measured stops, chosen by chance: from the call at a server to the last
 * allow of each of its thousand verifiers. A relay's hop has no request, command and commit in it, so this is too long rather
 * than too short; what it leaves out are longer ways and relays that share a processor with other work.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { createDice } from "../../server/store/index/history.test.support.ts";
import { type Summary, summarise } from "../revocation/statistics.ts";
import { levelsBelow } from "./needs.ts";

const HOPS_FILE = join(import.meta.dirname, "hops.json");
const SIDES = 1_000_000;

/** Delays of measured stops: for each the milliseconds at the same shares of its verifiers. */
export interface Hops {
  readonly shares: readonly number[];
  readonly revocations_ms: readonly (readonly number[])[];
}

/** Many stops of one tree. */
export interface StopTimes {
  readonly verifiers: number;
  /** Relays of each level, those beside the verifiers first. */
  readonly relays: readonly number[];
  readonly hops: number;
  /** Last allow anywhere, of each stop. */
  readonly lastMs: readonly number[];
  readonly summary: Summary;
}

/** The run that `docs/scale.md` names. */
export function readHops(): Hops {
  return JSON.parse(readFileSync(HOPS_FILE, "utf8"));
}

/** Simulates stops; the same seed gives the same times. */
export function simulateStops(
  hops: Hops,
  asked: {
    readonly verifiers: number;
    readonly leases: number;
    readonly stops: number;
    readonly seed: number;
  },
): StopTimes {
  const roll = createDice(asked.seed);
  const chance = () => (roll(SIDES) + 0.5) / SIDES;
  const relays = levelsBelow(asked.verifiers, { leases: asked.leases, servers: 1 });
  const lastMs = Array.from({ length: asked.stops }, () => simulateStop(hops, { ...asked, relays, chance }));
  return { verifiers: asked.verifiers, relays, hops: relays.length + 1, lastMs, summary: summarise(lastMs) };
}

function simulateStop(
  { shares, revocations_ms }: Hops,
  {
    verifiers,
    relays,
    chance,
  }: { readonly verifiers: number; readonly relays: readonly number[]; readonly chance: () => number },
): number {
  const drawHop = () => revocations_ms[Math.floor(chance() * revocations_ms.length)] ?? [];
  let toldMs: readonly number[] = [0];
  for (const width of relays.toReversed()) {
    const rows = toldMs.map(drawHop);
    const told = toldMs;
    toldMs = Array.from({ length: width }, (_, child) => {
      const parent = child % told.length;
      return (told[parent] ?? 0) + delayAt(chance(), shares, rows[parent] ?? []);
    });
  }
  const each = verifiers / toldMs.length;
  // Of so many draws the largest is where one draw to the power of one by their number is: no need to draw them all.
  return toldMs.reduce(
    (last, ms) => Math.max(last, ms + delayAt(chance() ** (1 / each), shares, drawHop())),
    0,
  );
}

/** The delay below which a share of the verifiers had heard, straight between what is kept. */
export function delayAt(share: number, shares: readonly number[], delaysMs: readonly number[]): number {
  const above = shares.findIndex((kept) => kept >= share);
  const [low = 0, high = 1] = [shares[above - 1], shares[above]];
  const [lowMs = delaysMs[0] ?? 0, highMs = 0] = [delaysMs[above - 1], delaysMs[above]];
  if (above <= 0) return delaysMs[0] ?? 0;
  return lowMs + ((share - low) / (high - low)) * (highMs - lowMs);
}
