/** F23: a connection that was made when its agent was still allowed more. */
import { Agent } from "node:https";
import { codeOf } from "../../test/support/http.ts";
import { defineScenario, expectSame } from "../scenario.ts";
import { operate, WITH_GATEWAY } from "../support/brokered.ts";
import { chatOver, openModel } from "../support/model.ts";

/** Played by the runner. */
export const scenario = defineScenario({
  id: "F23",
  title: "goes on over the kept connection of an agent whose scope was narrowed",
  expected: "denied at once, on the same connection; what is left of the scope still works",
  weakening: "scopes-remembered",
  world: WITH_GATEWAY,
  mayChange: ["epoch", "registry"],
  prepare: async (world) => {
    const scene = await openModel(world);
    const agent = await world.enrol(["infer:llm", "read:x"]);
    const over = new Agent({ keepAlive: true, maxSockets: 1, rejectUnauthorized: false, ...agent.tls });
    return { scene, agent, over };
  },
  control: async (_world, { scene, agent, over }) => {
    expectSame((await chatOver(scene, agent, { text: "before", over })).status, 200, "a call before");
  },
  attack: async (world, { scene, agent, over }) => {
    const before = scene.model.requests.length;
    await operate(world, "/v1/narrowings", { instance_id: agent.answer.instance_id, scope: ["read:x"] });
    const answer = await chatOver(scene, agent, { text: "after", over });
    const calls = scene.model.requests.length - before;
    over.destroy();
    await scene.model.close();
    expectSame(
      [answer.status, codeOf(answer), calls],
      [403, "denied", 0],
      "the same call after the narrowing",
    );
  },
  evidence: async (ledger, { agent }) => {
    await ledger.expect({ kind: "action", outcome: "denied", principal: agent.answer.spiffe_id }, 1);
  },
});
