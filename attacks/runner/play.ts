/**
 * Plays scenarios: many on one server, those that need settings of their own on their own; then each against a
 * weakened server, where only a `Breach` counts as having noticed.
 */
import { Breach, expect, expectSame, type Scenario } from "../scenario.ts";
import { formatWeakened } from "../source-edit.ts";
import { call } from "../support/client.ts";
import { openEvidence, readLedgerSize } from "../support/evidence.ts";
import type { RegistryState } from "../support/state.ts";
import { World, type WorldSettings } from "../support/world.ts";
import { editsOf } from "../weakenings.ts";

/** `--full` plays ten times as much. */
const TIMEOUT_MS = process.env.TW_ATTACK_FULL === undefined ? 240_000 : 2_400_000;
/** Where a breach shows that the attack was noticed; before, the scenario itself is broken. */
const NOTICING: readonly string[] = ["attack", "alive", "state", "evidence"];

/** What came of one scenario. */
export interface Result {
  readonly id: string;
  readonly title: string;
  readonly expected: string;
  readonly weakening: string;
  readonly milliseconds: number;
  /** What the weakened run noticed; undefined when teeth were not asked for. */
  readonly noticed?: string | undefined;
  /** Why it failed; undefined when it passed. */
  readonly failure?: string | undefined;
  /** The attack got through, or left a trace it must not leave: no second play takes that back. */
  readonly isBreach: boolean;
}

/** Scenarios that share a world. */
interface Batch {
  readonly settings: WorldSettings;
  /** Undefined for the honest run. */
  readonly weakening?: string;
  readonly scenarios: readonly Scenario[];
}

/** The end of one play. */
interface Ending {
  readonly scenario: Scenario;
  readonly isWeak: boolean;
  readonly milliseconds: number;
  readonly error: unknown;
  /** The part that was being played when the error came. */
  readonly phase: string;
}

/** How to play. */
export interface PlayOptions {
  readonly jobs: number;
  readonly hasTeeth: boolean;
  readonly onResult: (result: Result) => void;
}

/** Plays all; results in the order of the scenarios. */
export async function playAll(
  scenarios: readonly Scenario[],
  options: PlayOptions,
): Promise<readonly Result[]> {
  const results = new Map<string, Result>();
  const honest = new Map<string, Ending>();
  const weak = new Map<string, Ending>();
  const batches = [
    ...honestBatches(scenarios, options.jobs),
    ...(options.hasTeeth ? weakBatches(scenarios) : []),
  ];
  // The two plays of a scenario end in any order; it is judged when both have ended.
  const finish = (ending: Ending): void => {
    const { id } = ending.scenario;
    (ending.isWeak ? weak : honest).set(id, ending);
    const first = honest.get(id);
    if (first === undefined || (options.hasTeeth && !weak.has(id))) return;
    const result = judge(first, weak.get(id));
    results.set(id, result);
    options.onResult(result);
  };
  const queue = batches[Symbol.iterator]();
  const lanes = Array.from({ length: Math.max(1, options.jobs) }, async () => {
    for (const batch of queue) await playBatch(batch, finish);
  });
  await Promise.all(lanes);
  return scenarios.map((scenario) => results.get(scenario.id) ?? unplayed(scenario));
}

/** Results after a second play, and what the first ones said that the second took back. */
export interface Retried {
  readonly results: readonly Result[];
  readonly takenBack: readonly Result[];
}

/**
 * Plays once more, one after another, what failed for a reason of the machine: a scenario that could not be prepared,
 * whose rightful call was refused, or whose weakened server did not come up. A `Breach` of the attack itself stands.
 */
export async function playAgain(
  scenarios: readonly Scenario[],
  first: readonly Result[],
  options: PlayOptions,
): Promise<Retried> {
  const unsure = first.filter(({ failure, isBreach }) => failure !== undefined && !isBreach);
  const chosen = scenarios.filter((scenario) => unsure.some(({ id }) => id === scenario.id));
  const second = await playAll(chosen, { ...options, jobs: 1 });
  const secondOf = new Map(second.map((result) => [result.id, result]));
  return {
    results: first.map((result) => secondOf.get(result.id) ?? result),
    takenBack: unsure.filter(({ id }) => secondOf.get(id)?.failure === undefined),
  };
}

function honestBatches(scenarios: readonly Scenario[], jobs: number): readonly Batch[] {
  const shared = scenarios.filter(({ world }) => world === undefined);
  const lanes = Array.from({ length: jobs }, (_, lane) =>
    shared.filter((_scenario, index) => index % jobs === lane),
  );
  return [
    ...lanes.filter((lane) => lane.length > 0).map((lane) => ({ settings: {}, scenarios: lane })),
    ...alone(scenarios).map((scenario) => ({ settings: scenario.world ?? {}, scenarios: [scenario] })),
  ];
}

function weakBatches(scenarios: readonly Scenario[]): readonly Batch[] {
  const shared = Map.groupBy(
    scenarios.filter(({ world }) => world === undefined),
    ({ weakening }) => weakening,
  );
  return [
    ...[...shared].map(([weakening, group]) => ({ settings: {}, weakening, scenarios: group })),
    ...alone(scenarios).map((scenario) => ({
      settings: scenario.world ?? {},
      weakening: scenario.weakening,
      scenarios: [scenario],
    })),
  ];
}

function alone(scenarios: readonly Scenario[]): readonly Scenario[] {
  return scenarios.filter(({ world }) => world !== undefined);
}

async function playBatch(batch: Batch, finish: (ending: Ending) => void): Promise<void> {
  const { settings, weakening, scenarios } = batch;
  const isWeak = weakening !== undefined;
  const left = new Set(scenarios);
  let world: World | undefined;
  try {
    world = await World.open(settings, isWeak ? [weakening] : []);
    const endings: Ending[] = [];
    for (const scenario of scenarios) endings.push(await play(scenario, world, isWeak));
    // Told only now: a weakening that no process loaded makes every play of the batch worthless.
    const error = isWeak ? missingEdit(world, weakening) : undefined;
    for (const ending of endings) {
      left.delete(ending.scenario);
      finish(error === undefined ? ending : { ...ending, error, phase: "weakening" });
    }
  } catch (error) {
    for (const scenario of left) finish({ scenario, isWeak, milliseconds: 0, error, phase: "world" });
  } finally {
    await world?.close();
  }
}

function missingEdit(world: World, weakening: string): Error | undefined {
  const output = world.outputs().join("\n");
  const missing = editsOf([weakening]).find(({ file }) => !output.includes(formatWeakened(file)));
  return missing === undefined ? undefined : new Error(`no process loaded the weakened ${missing.file}`);
}

async function play(scenario: Scenario, world: World, isWeak: boolean): Promise<Ending> {
  const startedMs = Date.now();
  const clock = { phase: "prepare" };
  const timer = Promise.withResolvers<never>();
  const timeout = setTimeout(() => timer.reject(new Error("took too long")), TIMEOUT_MS);
  let error: unknown;
  try {
    await Promise.race([playPhases(scenario, world, clock), timer.promise]);
  } catch (caught) {
    error = caught;
  } finally {
    clearTimeout(timeout);
  }
  return { scenario, isWeak, milliseconds: Date.now() - startedMs, error, phase: clock.phase };
}

async function playPhases(scenario: Scenario, world: World, clock: { phase: string }): Promise<void> {
  const scene = await scenario.prepare(world);
  clock.phase = "control";
  await scenario.control(world, scene);
  clock.phase = "before";
  const before = await world.readState();
  const size = await readLedgerSize(world.server.adminSocket);
  clock.phase = "attack";
  await scenario.attack(world, scene);
  clock.phase = "alive";
  expect(world.child.isRunning(), "the server is still alive");
  const { status } = await call(world.server.url, { target: "/healthz" });
  expectSame(status, 200, "health after the attack");
  clock.phase = "state";
  expectKept(before, await world.readState(), scenario.mayChange ?? []);
  clock.phase = "evidence";
  await scenario.evidence(openEvidence(world.server.adminSocket, size), scene);
}

function expectKept(
  before: RegistryState,
  after: RegistryState,
  mayChange: readonly (keyof RegistryState)[],
): void {
  for (const [name, value] of Object.entries(before)) {
    const isFree = mayChange.some((free) => free === name);
    if (!isFree) expectSame({ [name]: new Map(Object.entries(after)).get(name) }, { [name]: value }, "state");
  }
}

function judge(honest: Ending, weak: Ending | undefined): Result {
  const { scenario, milliseconds } = honest;
  const { id, title, expected, weakening } = scenario;
  const isBreach = hasNoticed(honest);
  const result = { id, title, expected, weakening, milliseconds, isBreach };
  if (honest.error !== undefined)
    return { ...result, failure: `${honest.phase}: ${messageOf(honest.error)}` };
  if (weak === undefined) return result;
  const noticed = messageOf(weak.error);
  if (hasNoticed(weak)) return { ...result, noticed: `${weak.phase}: ${noticed}` };
  const why =
    weak.error === undefined ? "it passes against the weakened server" : `${weak.phase}: ${noticed}`;
  return { ...result, failure: `no teeth (${weakening}): ${why}` };
}

function hasNoticed({ error, phase }: Ending): boolean {
  return error instanceof Breach && NOTICING.includes(phase);
}

/** A scenario that was lost on the way has not passed. */
function unplayed({ id, title, expected, weakening }: Scenario): Result {
  const failure = "it was never played to its end";
  return { id, title, expected, weakening, milliseconds: 0, isBreach: false, failure };
}

function messageOf(error: unknown): string {
  if (error instanceof Breach) return error.message;
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
