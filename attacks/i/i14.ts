/** I14: three times as much as a server has places for. */
import { randomUUID } from "node:crypto";
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { askDecision, intentOf, parseDecision } from "../../test/support/actors.ts";
import { codeOf, type RawAnswer } from "../../test/support/http.ts";
import { defineScenario, expect, expectSame } from "../scenario.ts";
import { openEvidence } from "../support/evidence.ts";
import { within } from "../support/model.ts";
import type { World } from "../support/world.ts";

/** Records that the server lets be on their way; a decision is two. */
const PLACES = 60;
const RECORDS_OF_DECISION = 2;
/** Three times what there are places for. */
const DECISIONS = (3 * PLACES) / RECORDS_OF_DECISION;
/** What one caller may hold of it. */
const MAX_ADMITTED = PLACES / RECORDS_OF_DECISION / 2;
/** The count of what was refused is written within a second; this is for a machine that is much slower. */
const COUNTED_WITHIN_MS = 60_000;
const REFUSED_WITHIN_MS = 60_000;

type Agent = Awaited<ReturnType<World["enrol"]>>;

interface Scene {
  readonly victim: World;
  /** How many decisions have to be asked for before the disk goes on; without the file it never stands still. */
  readonly stall: string;
  readonly flooder: Agent;
  readonly quiet: Agent;
}

/** One asked decision: its event, and the answer or that the connection broke. */
interface Asked {
  readonly eventId: string;
  readonly answer: Promise<RawAnswer | undefined>;
}

async function ask({ victim }: Pick<Scene, "victim">, agent: Agent): Promise<Asked> {
  const intent = intentOf(agent, { aud: await victim.serverId() });
  const answer = askDecision(victim.server, { caller: agent, agent, intent }).catch(() => undefined);
  return { eventId: intent.intent.event_id, answer };
}

function flood(scene: Scene): Promise<readonly Asked[]> {
  return Promise.all(Array.from({ length: DECISIONS }, () => ask(scene, scene.flooder)));
}

/** Events of actions in the ledger. */
async function recordedIn({ server }: World): Promise<ReadonlySet<string>> {
  const events = await openEvidence(server.adminSocket, 0).matching({ kind: "action" });
  return new Set(events.map(({ event_id }) => event_id));
}

/** The disk stands still until everybody has come, and everybody has come at once. */
async function overload(scene: Scene): Promise<readonly string[]> {
  const { stall, flooder, victim } = scene;
  writeFileSync(stall, String(DECISIONS + 1));
  const asked = await flood(scene);
  const other = await ask(scene, scene.quiet);
  const answers = await Promise.all(asked.map(({ answer }) => answer));
  expectSame((await other.answer)?.status, 200, "a caller that asks once, in the other's flood");
  rmSync(stall);
  const refused = answers.filter((answer) => answer?.status === 429);
  const accepted = asked.filter((_, index) => answers[index]?.status === 200);
  expect(
    refused.length >= DECISIONS - MAX_ADMITTED,
    `what has no place is refused early: ${refused.length} of ${DECISIONS}`,
  );
  expectSame(accepted.length + refused.length, DECISIONS, "each is answered, one way or the other");
  for (const answer of refused) {
    expectSame(answer && codeOf(answer), "overloaded", "the code of what was refused");
    expectSame(answer?.headers["retry-after"], "1", "when to come again");
  }
  const counted = { kind: "refuse", reason: "overloaded", principal: flooder.answer.spiffe_id };
  const ledger = openEvidence(victim.server.adminSocket, 0);
  const isCounted = () => within(COUNTED_WITHIN_MS, async () => (await ledger.matching(counted)).length > 0);
  expect(await isCounted(), "the ledger holds a count of what was refused, under the flooder's name");
  return [...accepted, other].map(({ eventId }) => eventId);
}

/** The disk never goes on, and the server is killed: whatever it held was promised to nobody. */
async function overloadAndDie(scene: Scene): Promise<void> {
  writeFileSync(scene.stall, String(Number.MAX_SAFE_INTEGER));
  const statuses: number[] = [];
  const asked = await flood(scene);
  const ends = asked.map(async ({ answer }) => void statuses.push((await answer)?.status ?? 0));
  const isRefused = () => statuses.length >= DECISIONS - MAX_ADMITTED;
  expect(await within(REFUSED_WITHIN_MS, isRefused), "refusals do not wait for the disk");
  await scene.victim.child.kill();
  await Promise.all(ends);
  expectSame(
    statuses.filter((status) => status === 200),
    [],
    "acknowledged while the disk stood still",
  );
  rmSync(scene.stall);
}

/** Played by the runner. */
export const scenario = defineScenario<Scene>({
  id: "I14",
  title: "asks for three times as much as the server has places for, at once, while the disk stands still",
  expected: "refused early with a time to come again; what was acknowledged is in the ledger after kill -9",
  weakening: "no-bound-on-what-waits",
  world: {},
  mayChange: [],
  prepare: async (world) => {
    const stall = join(world.home.dataDir, "..", `stall-${randomUUID()}`);
    const settings = { env: { TW_STALL: stall }, configure: () => ({ intake: { places: PLACES } }) };
    const victim = await world.another(settings, ["disk-waits-for-all"]);
    const [flooder, quiet] = [
      await victim.enrol(["read:transactions"]),
      await victim.enrol(["read:transactions"]),
    ];
    return { victim, stall, flooder, quiet };
  },
  control: async (_world, scene) => {
    for (const agent of [scene.flooder, scene.quiet]) {
      const answer = await (await ask(scene, agent)).answer;
      if (answer === undefined) throw new Error("an honest caller got no answer");
      expectSame(parseDecision(answer).allow, true, "asked one after the other, both are allowed");
    }
  },
  attack: async (_world, scene) => {
    const acknowledged = await overload(scene);
    await overloadAndDie(scene);
    await scene.victim.start();
    const recorded = await recordedIn(scene.victim);
    const lost = acknowledged.filter((eventId) => !recorded.has(eventId));
    expectSame(lost, [], "acknowledged, and not in the ledger");
    const again = await (await ask(scene, scene.flooder)).answer;
    expectSame(again?.status, 200, "whoever was refused comes again");
    const { exitCode } = await scene.victim.warden("ledger", "verify");
    expectSame(exitCode, 0, "the ledger verifies");
  },
  evidence: async (ledger) => {
    // The overloaded server has a ledger of its own, read above; this one saw nothing.
    await ledger.expectNothing();
  },
});
