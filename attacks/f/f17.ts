/** F17: streams that nobody reads to their end. */
import { defineScenario, expect, expectSame } from "../scenario.ts";
import { WITH_GATEWAY } from "../support/brokered.ts";
import { chat, openChat, openModel, within } from "../support/model.ts";

const STREAMS = 20;
const FREED_MS = 5_000;

/** Played by the runner. */
export const scenario = defineScenario({
  id: "F17",
  title: "opens streams and goes away, or ends its own direction and waits",
  expected: "the upstream's streams are freed within seconds, and each has its outcome",
  weakening: "gone-callers-unnoticed",
  world: WITH_GATEWAY,
  prepare: async (world) => ({ scene: await openModel(world), agent: await world.enrol(["infer:llm"]) }),
  control: async (_world, { scene, agent }) => {
    expectSame((await chat(scene, agent, "hello", { stream: true })).status, 200, "a stream that is read");
  },
  attack: async (_world, { scene, agent }) => {
    const streams = await Promise.all(Array.from({ length: STREAMS }, () => openChat(scene, agent)));
    expectSame(scene.model.open(), STREAMS, "streams that run");
    for (const [index, stream] of streams.entries()) {
      if (index % 2 === 0) stream.destroy();
      else stream.halfClose();
    }
    const isFreed = await within(FREED_MS, () => scene.model.open() === 0);
    for (const stream of streams) stream.destroy();
    const left = scene.model.open();
    await scene.model.close();
    expect(isFreed, `no stream is left: ${left}`);
  },
  evidence: async (ledger, { agent }) => {
    const broken = { kind: "action", outcome: "aborted" as const, principal: agent.answer.spiffe_id };
    await ledger.expect(broken, STREAMS);
  },
});
