/** F9: many calls of two agents at once, alike in everything that could join an answer to its question but the agent. */
import { Agent } from "node:https";
import { jsonOf } from "../../test/support/http.ts";
import { defineScenario, expect, expectSame } from "../scenario.ts";
import { WITH_GATEWAY } from "../support/brokered.ts";
import { chatOver, openModel } from "../support/model.ts";

/** Bounded in time: the catalogue's 100,000 are a matter of patience, not of another code path. */
const CALLS = 1_000;
const AT_ONCE = 32;
const TIME_MS = 8_000;

/** Played by the runner. */
export const scenario = defineScenario({
  id: "F9",
  title: "sends thousands of concurrent calls as two agents, numbered alike, over few connections",
  expected: "every answer is the answer to its own question",
  weakening: "one-body-for-all",
  world: WITH_GATEWAY,
  prepare: async (world) => {
    const scene = await openModel(world);
    return { scene, agents: [await world.enrol(["infer:llm"]), await world.enrol(["infer:llm"])] };
  },
  control: async (_world, { scene, agents }) => {
    const [first] = agents;
    if (first === undefined) throw new Error("there are two");
    const over = new Agent({ rejectUnauthorized: false, ...first.tls });
    const answer = await chatOver(scene, first, { text: "control 0 #words=2", over });
    over.destroy();
    expectSame(textOf(answer.text), "control 0", "one answer");
  },
  attack: async (_world, { scene, agents }) => {
    const endMs = performance.now() + TIME_MS;
    const counts = await Promise.all(
      agents.map(async (agent, who) => {
        const over = new Agent({
          keepAlive: true,
          maxSockets: AT_ONCE,
          rejectUnauthorized: false,
          ...agent.tls,
        });
        let next = 0;
        const worker = async (): Promise<void> => {
          while (next < CALLS && performance.now() < endMs) {
            const id = next;
            next += 1;
            const answer = await chatOver(scene, agent, { text: `agent${who} ${id} #words=2`, over });
            expectSame(textOf(answer.text), `agent${who} ${id}`, "the answer to a question");
          }
        };
        await Promise.all(Array.from({ length: AT_ONCE }, worker));
        over.destroy();
        return next;
      }),
    );
    expect(
      counts.every((count) => count > 50),
      `enough calls for a crossing: ${counts.join(", ")}`,
    );
    await scene.model.close();
  },
  evidence: async (ledger, { agents }) => {
    for (const { answer } of agents)
      await ledger.expect(
        { kind: "action", outcome: "success", principal: answer.spiffe_id },
        { atLeast: 50 },
      );
  },
});

function textOf(text: string): unknown {
  const { choices } = jsonOf({ text } as Parameters<typeof jsonOf>[0]);
  return Array.isArray(choices) ? choices[0]?.message?.content : undefined;
}
