/** F24: D9, F7, F16 and J at the gateways of two servers that share store and ledger: what was done at one, tried at the other. */
import { setTimeout as sleep } from "node:timers/promises";
import { codeOf, jsonOf, type RawAnswer, sendAdmin } from "../../test/support/http.ts";
import { POSTGRESQL_BIN } from "../../test/support/postgresql.ts";
import {
  beginStream,
  CALLS,
  openReplicaShop,
  type ReplicaShop,
  registerShop,
  SHOP_SCOPE,
  type ShopCall,
  sendCall,
  signCall,
} from "../../test/support/replica-gateway.ts";
import { Breach, defineScenario, expect, expectSame } from "../scenario.ts";
import { operate } from "../support/brokered.ts";
import { openTwoServers, type TwoServers } from "../support/two-servers.ts";
import type { World } from "../support/world.ts";

const MAX_TRIES = 50;
const RETRY_MS = 100;
const BUDGET = 6;
/** A stop is felt within a second; what the machine does beside it is not on trial here. */
const CUT_MS = 2000;
const JOB = { job: "out-with-it" };

interface Scene {
  readonly two: TwoServers;
  readonly shop: ReplicaShop;
}

type Agent = Awaited<ReturnType<World["enrol"]>>;

const portOf = ({ server }: World) => Number(new URL(server.gatewayUrl ?? "").port);

/** Of an answer of the shop's there is no code. */
const wordOf = (answer: RawAnswer): unknown => (answer.status === 200 ? answer.text : codeOf(answer));

/** Asks again while a server that is late with its word to the store turns everybody away. */
async function settled(ask: () => Promise<RawAnswer>): Promise<RawAnswer> {
  for (let tries = 1; ; tries += 1) {
    const answer = await ask();
    if (answer.status !== 503 || tries === MAX_TRIES) return answer;
    await sleep(RETRY_MS);
  }
}

const callAt = (world: World, agent: Agent, call: ShopCall, intent: object = {}) =>
  settled(async () => sendCall(portOf(world), await signCall(world.server, agent, call, intent), agent));

async function replay({ two: { left, right }, shop }: Scene): Promise<void> {
  const agent = await left.enrol(SHOP_SCOPE);
  const signed = await signCall(left.server, agent, CALLS.notes);
  const before = shop.seen.length;
  if ((await sendCall(portOf(left), signed, agent)).status !== 200) throw new Error("it was not shown once");
  const again = await settled(() => sendCall(portOf(right), signed, agent));
  expectSame([again.status, shop.seen.length], [401, before + 1], "the same intent at the other server");
}

async function spendTwice({ two: { left, right } }: Scene): Promise<void> {
  const agent = await left.enrol(SHOP_SCOPE);
  const limits = { calls: BUDGET, tokens: null, micro_usd: null };
  await operate(left, "/v1/budgets", { subject: agent.answer.instance_id, window: "day", limits });
  const ask = (at: number) => callAt(at % 2 === 0 ? left : right, agent, CALLS.items);
  const answers = [...(await Promise.all(Array.from({ length: 2 * BUDGET }, (_, at) => ask(at))))];
  // Room that one of them was given in the rush and did not use is asked for by and by.
  for (let at = 0; at < 2 * BUDGET; at += 1) answers.push(await ask(at));
  const allowed = answers.filter(({ status }) => status === 200).length;
  expect(allowed <= BUDGET, `calls of a budget of ${BUDGET} at both servers: ${allowed}`);
  expectSame(answers.slice(-2).map(wordOf), Array(2).fill("budget_exhausted"), "the last ones, at either");
}

async function carryOut({ two: { left, right } }: Scene): Promise<void> {
  const agent = await left.enrol(SHOP_SCOPE);
  const read = await callAt(left, agent, CALLS.mail, JOB);
  if (read.status !== 200) throw new Error("the mail was not read");
  const outside = await callAt(right, agent, CALLS.notes, JOB);
  expectSame([outside.status, wordOf(outside)], [403, "approval_required"], "written outside at the other");
}

async function outlive({ two: { left, right } }: Scene): Promise<void> {
  const agent = await left.enrol(SHOP_SCOPE);
  const stream = await signCall(right.server, agent, CALLS.stream);
  const running = await beginStream(portOf(right), stream, agent);
  const target = { kind: "instance", id: agent.answer.instance_id };
  await operate(left, "/v1/revocations", { target });
  const ended = running.end().then(() => true);
  const late = sleep(CUT_MS, false);
  expect(await Promise.race([ended, late]), "what runs at one ends when the other stops its agent");
}

const PARTS = { replay, spendTwice, carryOut, outlive };

/** Plays every part, whatever the others came to: weakened, each of them has to notice. */
async function playAll(scene: Scene): Promise<void> {
  const noticed: string[] = [];
  for (const [name, play] of Object.entries(PARTS)) {
    try {
      await play(scene);
    } catch (error) {
      if (!(error instanceof Breach)) throw error;
      noticed.push(`${name}: ${error.message}`);
    }
  }
  if (noticed.length === 0) return;
  // Of some it is a failure either way: honest, an attack got through; weakened, one was not noticed.
  const isAll = noticed.length === Object.keys(PARTS).length;
  throw isAll ? new Breach(noticed.join("; ")) : new Error(`only these got through: ${noticed.join("; ")}`);
}

/** Played by the runner. */
export const scenario = defineScenario({
  id: "F24",
  title:
    "at the gateways of two servers that share a store: shows one intent to both, spends one budget at both, carries outside at one what it read at the other, goes on at one when the other stopped it",
  expected: "an intent and a budget count once for both; labels and stops of one are the other's",
  weakening: "servers-for-themselves",
  missing: () => (POSTGRESQL_BIN === undefined ? "Debian's postgresql" : undefined),
  prepare: async (world): Promise<Scene> => {
    const two = await openTwoServers(world, { gateway: { port: 0 } });
    const shop = await openReplicaShop();
    expectSame((await registerShop(two.left.server, shop)).status, 200, "the shop is registered");
    return { two, shop };
  },
  control: async (_world, { two }) => {
    const agent = await two.left.enrol(SHOP_SCOPE);
    for (const world of [two.left, two.right]) {
      for (const call of [CALLS.items, CALLS.notes]) {
        const { status, text } = await callAt(world, agent, call);
        expectSame([status, text], [200, "done"], `${call.target} at either`);
      }
    }
  },
  attack: async (_world, scene) => {
    try {
      await playAll(scene);
    } finally {
      scene.shop.close();
    }
  },
  evidence: async (_ledger, { two }) => {
    for (const { server } of [two.left, two.right]) {
      const { events } = jsonOf(
        await sendAdmin(server.adminSocket, { target: "/v1/events?outcome=denied&limit=100" }),
      );
      const reasons = new Set(Array.isArray(events) ? events.flatMap(({ reasons }) => reasons) : []);
      for (const reason of ["intent_replayed", "budget_exhausted", "tainted"])
        expect(reasons.has(reason), `the ledger of both has a refusal with ${reason}`);
    }
  },
});
