/**
 * What an attack scenario is: what the attacker does, what must come of it, the same call by its rightful party, what
 * the ledger must hold afterwards, and the weakening under which the scenario must notice that the attack got through.
 *
 * A scenario talks to processes over the network. A failed expectation about the attack is a `Breach`; only a breach
 * shows that a scenario has teeth, a broken set-up does not.
 */
import type { Evidence } from "./support/evidence.ts";
import type { RegistryState } from "./support/state.ts";
import type { World, WorldSettings } from "./support/world.ts";
import type { WeakeningName } from "./weakenings.ts";

/** An attack got through, or left the wrong traces. */
export class Breach extends Error {}

/** The parts of a scenario, in the order in which they are played. */
export interface Scenario<Scene = unknown> {
  /** As in the catalogue of attacks: a letter for the stage, and a number. */
  readonly id: string;
  /** What the attacker does. */
  readonly title: string;
  /** What must come of it. */
  readonly expected: string;
  /** The edit of the source under which the attack gets through. */
  readonly weakening: WeakeningName;
  /** What this machine lacks for the scenario; undefined when it can be played. In CI it must be. */
  readonly missing?: () => string | undefined;
  /** What the scenario needs of its server; with it, a server of its own. */
  readonly world?: WorldSettings;
  /** What the rightful parties change while the attack runs; anything else must stay as it is. */
  readonly mayChange?: readonly (keyof RegistryState)[];
  // Methods, because methods are compared bivariantly: a scenario typed by its own scene fits the list of all.
  /** Sets the scene: identities, services, loot. */
  prepare(world: World): Promise<Scene>;
  /** The rightful party succeeds with the same call. */
  control(world: World, scene: Scene): Promise<void>;
  /** The attack, with what it must meet. @throws Breach */
  attack(world: World, scene: Scene): Promise<void>;
  /** What the ledger holds since the attack began, and what it does not. @throws Breach */
  evidence(evidence: Evidence, scene: Scene): Promise<void>;
}

/** A scenario whose parts agree on their scene. */
export function defineScenario<Scene>(scenario: Scenario<Scene>): Scenario {
  return scenario;
}

/** @throws Breach unless the condition holds. */
export function expect(condition: boolean, claim: string): asserts condition {
  if (!condition) throw new Breach(`this did not hold: ${claim}`);
}

/** @throws Breach unless both are the same JSON. */
export function expectSame(actual: unknown, expected: unknown, claim: string): void {
  const [left, right] = [actual, expected].map((value) => JSON.stringify(value));
  if (left !== right) throw new Breach(`${claim}: expected ${right}, but it is ${left?.slice(0, 600)}`);
}
