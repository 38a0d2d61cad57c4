/** J9, and D10 for an event stream: a model that is still talking when its agent is stopped. */
import { defineScenario, expect, expectSame } from "../scenario.ts";
import { operate, WITH_GATEWAY } from "../support/brokered.ts";
import { chat, openChat, openModel, within } from "../support/model.ts";

const LIMIT_MS = 1_000;

/** Played by the runner. */
export const scenario = defineScenario({
  id: "J9",
  title: "keeps reading a long answer of a model after it was revoked",
  expected: "the stream is cut within a second, at both ends, and nothing new begins",
  weakening: "open-calls-uncut",
  world: WITH_GATEWAY,
  mayChange: ["epoch", "liveInstances", "registry"],
  prepare: async (world) => ({ scene: await openModel(world), agent: await world.enrol(["infer:llm"]) }),
  control: async (_world, { scene, agent }) => {
    const stream = await openChat(scene, agent);
    expect(!(await within(300, () => scene.model.open() === 0)), "a stream that nobody stops goes on");
    stream.destroy();
    await within(2_000, () => scene.model.open() === 0);
  },
  attack: async (world, { scene, agent }) => {
    const stream = await openChat(scene, agent);
    let hasEnded = false;
    void stream.ended.then(() => {
      hasEnded = true;
    });
    const startedMs = performance.now();
    const target = { kind: "instance", id: agent.answer.instance_id };
    await operate(world, "/v1/revocations", { target, reason: "attack" });
    const isCut = await within(LIMIT_MS, () => hasEnded && scene.model.open() === 0);
    const tookMs = performance.now() - startedMs;
    stream.destroy();
    expect(isCut && tookMs < LIMIT_MS, `cut at both ends within a second: ${Math.round(tookMs)} ms`);
    expectSame((await chat(scene, agent, "again")).status, 401, "a new call");
    await scene.model.close();
  },
  evidence: async (ledger, { agent }) => {
    await ledger.expect(
      { kind: "action", outcome: "aborted", principal: agent.answer.spiffe_id },
      { atLeast: 1 },
    );
  },
});
