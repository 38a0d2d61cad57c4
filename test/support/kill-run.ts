/**
 * Many cheap kills: writers of a ledger's log, one after the other on one directory, each killed with SIGKILL at a random moment
 * of its start or its work; the next one recovers what it left by the code of the normal path.
 *
 * A kill costs a process and no server: writers wait, loaded, until it is their turn, and what they acknowledged is held
 * against the log after every few kills. Kills of whole servers are `crash-campaign.ts`.
 */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { createRandom } from "../../interop/random.ts";
import type { LogPlace } from "../../server/store/log-place.test.support.ts";
import { auditPlace, spawnWriter, type Writer } from "../../server/store/log-writer-process.test.support.ts";
import { type Tally, WEAKENED } from "./fault-run.ts";

/** Two directories at a time, for two cores. */
const LANES = 2;
/** Loaded and waiting, a lane: loading takes ten times as long as what is played. */
const SPARES = 2;
/** From a start that has hardly begun to checkpoints and rotations of the write-ahead log. */
const MAX_ALIVE_MS = 60;
const AUDIT_EVERY = 25;
/** Of one directory: a log that has seen enough is as long as an audit may be. */
const MAX_KILLS = 250;
/** Kills after which a writer that keeps nothing has been found out. */
const TEETH = 30;

/** What is played. */
export interface KillOptions {
  readonly kills: number;
  readonly seed: number;
}

/** Plays the kills, as many directories as it takes. */
export async function runKills({ kills, seed }: KillOptions, tally: Tally): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "kills-"));
  try {
    const nodes = { folder, cache: await warmCache(folder) };
    await expectTeeth({ kills: TEETH, seed, ...nodes }, tally);
    const sizes = Array.from({ length: Math.ceil(kills / MAX_KILLS) }, (_, at) =>
      Math.min(MAX_KILLS, kills - at * MAX_KILLS),
    );
    const queue = sizes.entries();
    const lanes = Array.from({ length: LANES }, async () => {
      for (const [at, count] of queue) await playOne({ kills: count, seed: seed + at, ...nodes }, tally);
    });
    await Promise.all(lanes);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Whoever is killed leaves no compiled code behind for the next one; one writer that ends in order does. */
async function warmCache(folder: string): Promise<string> {
  const cache = join(folder, "cache");
  const environment = { NODE_COMPILE_CACHE: cache };
  const writer = spawnWriter(placeIn(folder, "warm"), { run: "warm", work: "fixed", environment });
  await writer.said("ready");
  writer.child.stdin?.write("go\n");
  assert.equal(await writer.ended, 0, writer.errors());
  return cache;
}

/** Kills of one directory. */
interface Play extends KillOptions {
  readonly folder: string;
  readonly cache: string;
}

async function playOne(play: Play, tally: Tally): Promise<void> {
  const name = `${play.kills} writers killed (seed ${play.seed})`;
  try {
    const { entries, acknowledged, silent } = await killWriters(play, []);
    tally.pass(`${name}, ${silent} before a word: ${acknowledged} acknowledged of ${entries} entries hold`);
  } catch (error) {
    tally.fail(name, error);
  }
}

async function expectTeeth(play: Play, tally: Tally): Promise<void> {
  try {
    await assert.rejects(killWriters(play, WEAKENED), /is lost|as acknowledged|failed|refused/);
    tally.pass("writers that do not keep what they acknowledge are found out by kills");
  } catch (error) {
    tally.fail("writers that do not keep what they acknowledge", error);
  }
}

function placeIn(folder: string, name: string): LogPlace {
  const at = (...parts: readonly string[]) => join(folder, name, ...parts);
  return { origin: "ledger.acme.test/2026q4", directory: at("data", "log"), mark: at("config", "mark") };
}

/** @param node - further options of the writers' Node. @returns what there was to hold. */
async function killWriters({ kills, seed, folder, cache }: Play, node: readonly string[]) {
  const place = placeIn(folder, `${seed}-${node.length}`);
  let spawned = 0;
  const spawn = () => {
    spawned += 1;
    const environment = { NODE_COMPILE_CACHE: cache };
    return spawnWriter(place, { run: String(spawned), work: "endless", node, environment });
  };
  const spares = Array.from({ length: SPARES }, spawn);
  const random = createRandom(seed);
  const acknowledged = new Map<number, string>();
  const counts = { entries: 0, silent: 0 };
  try {
    for (let kill = 1; kill <= kills; kill += 1) {
      const writer = spares.shift() ?? spawn();
      if (kill + SPARES <= kills) spares.push(spawn());
      await killOne(writer, random.below(MAX_ALIVE_MS));
      if (writer.acknowledged.size === 0) counts.silent += 1;
      for (const [index, leaf] of writer.acknowledged) acknowledged.set(index, leaf);
      if (kill % AUDIT_EVERY === 0 || kill === kills) counts.entries = await auditPlace(place, acknowledged);
    }
    assert.ok(acknowledged.size > 0, "something was acknowledged");
    return { ...counts, acknowledged: acknowledged.size };
  } finally {
    await Promise.all(spares.map(end));
  }
}

async function killOne(writer: Writer, aliveMs: number): Promise<void> {
  await writer.said("ready");
  writer.child.stdin?.write("go\n");
  // Half of the moments are counted from the start's end, so that on a busy machine there is work to break off, too.
  if (aliveMs % 2 === 0) await writer.said("started");
  await setTimeout(aliveMs);
  const exit = await end(writer);
  assert.equal(exit, "SIGKILL", `a writer ended by itself: ${exit} ${writer.errors()}`);
}

function end({ child, ended }: Writer): Promise<number | string | null> {
  child.kill("SIGKILL");
  return ended;
}
