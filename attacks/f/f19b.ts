/** F19b: another agent as the way to where nobody may go. */
import { defineScenario, expectSame } from "../scenario.ts";
import { A2A_WORLD, a2aCodeOf, openAgent, say, saying } from "../support/a2a.ts";

const METADATA = "http://169.254.169.254/latest/meta-data/iam";

/** Played by the runner. */
export const scenario = defineScenario({
  id: "F19b",
  title: "has another agent push its answers to the machine's metadata service",
  expected: "refused in every form; the agent hears of no address",
  weakening: "pushes-passed-on",
  world: A2A_WORLD,
  prepare: async (world) => {
    const other = await openAgent(world);
    return { other, agent: await world.enrol(["send:a2a"]) };
  },
  control: async (world, { other, agent }) => {
    const params = saying("hello", { configuration: { returnImmediately: true } });
    const asked = { upstream: other.upstream, method: "SendMessage", params } as const;
    expectSame((await say(world, agent, { ...asked, as: ["send", "messages"] })).status, 200, "a message");
  },
  attack: async (world, { other, agent }) => {
    other.world.heard.length = 0;
    for (const [method, params] of [
      ["SendMessage", saying("x", { configuration: { taskPushNotificationConfig: { url: METADATA } } })],
      ["SendStreamingMessage", saying("x", { configuration: { pushNotificationConfig: { url: METADATA } } })],
      ["CreateTaskPushNotificationConfig", { taskId: "t", url: METADATA }],
    ] as const) {
      const asked = { upstream: other.upstream, method, params, as: ["send", "messages"] } as const;
      const answer = await say(world, agent, asked);
      expectSame([answer.status, a2aCodeOf(answer)], [403, "a2a_push_refused"], `${method} with an address`);
    }
    expectSame(other.world.heard, [], "what the agent heard");
    other.close();
  },
  evidence: async (ledger, { agent }) => {
    await ledger.expect({ kind: "refuse", reason: "a2a_push_refused", principal: agent.answer.spiffe_id }, 3);
  },
});
