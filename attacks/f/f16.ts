/** F16: an agent that loops, and one whose answers cost a hundred times what they look like. */
import { jsonOf, type RawAnswer, sendAdmin } from "../../test/support/http.ts";
import { defineScenario, expect, expectSame } from "../scenario.ts";
import { operate, WITH_GATEWAY } from "../support/brokered.ts";
import { chat, openModel } from "../support/model.ts";

const CALLS = 20;
const TRIES = 150;
const MONEY = 5_000;
/** 200 words at two micro-USD, and a few words of the question. */
const DEAR = 600;
/** Each lets in one call at least. */
const MAX_ROUNDS = 40;

/** Asks ten times at once, until nothing is let in any more. */
async function spendAll(ask: () => Promise<RawAnswer>): Promise<void> {
  for (let round = 0; round < MAX_ROUNDS; round += 1) {
    const answers = await Promise.all(Array.from({ length: 10 }, ask));
    if (answers.every(({ status }) => status === 429)) return;
  }
  throw new Error("the budget never ended");
}

/** Played by the runner. */
export const scenario = defineScenario({
  id: "F16",
  title: "loops; and asks, in parallel and without a limit, for answers that cost a hundred times more",
  expected: "stops at the budget: not one call more, and at most one call's worth of money; 429 for the rest",
  weakening: "budgets-without-end",
  world: WITH_GATEWAY,
  prepare: async (world) => {
    const scene = await openModel(world);
    const looper = await world.enrol(["infer:llm"]);
    const spender = await world.enrol(["infer:llm"]);
    const limits = { calls: null, tokens: null, micro_usd: null };
    const calls = { ...limits, calls: CALLS + 1 };
    await operate(world, "/v1/budgets", { subject: looper.answer.instance_id, window: "day", limits: calls });
    const money = { ...limits, micro_usd: MONEY };
    await operate(world, "/v1/budgets", {
      subject: spender.answer.instance_id,
      window: "day",
      limits: money,
    });
    return { scene, looper, spender };
  },
  control: async (_world, { scene, looper }) => {
    expectSame((await chat(scene, looper, "hello")).status, 200, "a call within the budget");
  },
  attack: async (world, { scene, looper, spender }) => {
    const before = scene.model.requests.length;
    const loops = await Promise.all(Array.from({ length: TRIES }, () => chat(scene, looper, "again")));
    const allowed = loops.filter(({ status }) => status === 200).length;
    expectSame(allowed, CALLS, "calls that were let through");
    expect(
      loops.every(({ status }) => status === 200 || status === 429),
      "the rest is told that a budget is used up",
    );
    expectSame(scene.model.requests.length - before, CALLS, "calls that reached the model");
    await spendAll(() => chat(scene, spender, "#words=200", { max_tokens: 1000 }));
    const id = spender.answer.instance_id;
    const answer = await sendAdmin(world.server.adminSocket, { target: `/v1/budgets?subject=${id}` });
    const used = Number(/"micro_usd":(\d+)\}\}\]/.exec(answer.text)?.[1]);
    expect(jsonOf(answer).budgets !== undefined && used > 0, `something was spent: ${answer.text}`);
    expect(used < MONEY + DEAR, `at most one call over ${MONEY}: ${used}`);
    expectSame((await chat(scene, spender, "#words=200")).status, 429, "one more");
    await scene.model.close();
  },
  evidence: async (ledger, { looper }) => {
    const denied = {
      kind: "action",
      outcome: "denied" as const,
      principal: looper.answer.spiffe_id,
      reason: "budget_exhausted",
    };
    await ledger.expect(denied, TRIES - CALLS);
  },
});
