/** F9c: the tasks of one agent in the hands of another. */
import { defineScenario, expectSame } from "../scenario.ts";
import { A2A_WORLD, a2aCodeOf, openAgent, say, saying, taskIdOf } from "../support/a2a.ts";

/** Played by the runner. */
export const scenario = defineScenario({
  id: "F9c",
  title: "reads, cancels and goes on with a task that another agent began at the same upstream",
  expected: "no such task; the upstream hears nothing",
  weakening: "tasks-of-everybody",
  world: A2A_WORLD,
  prepare: async (world) => {
    const other = await openAgent(world);
    const scope = ["send:a2a", "read:a2a", "cancel:a2a"];
    const [owner, thief] = [await world.enrol(scope), await world.enrol(scope)];
    const asked = { upstream: other.upstream, method: "SendMessage", as: ["send", "messages"] } as const;
    const taskId = taskIdOf(await say(world, owner, { ...asked, params: saying("wait, it is private") }));
    return { other, owner, thief, taskId };
  },
  control: async (world, { other, owner, taskId }) => {
    const asked = { upstream: other.upstream, method: "GetTask", params: { id: taskId } };
    expectSame((await say(world, owner, { ...asked, as: ["read", "tasks"] })).status, 200, "one's own task");
  },
  attack: async (world, { other, thief, taskId }) => {
    other.world.heard.length = 0;
    const message = { messageId: "m", role: "ROLE_USER", parts: [{ text: "go on" }], taskId };
    for (const [method, params, as] of [
      ["GetTask", { id: taskId }, ["read", "tasks"]],
      ["GetTask", { id: taskId.split(".")[0] }, ["read", "tasks"]],
      ["SubscribeToTask", { id: taskId }, ["read", "tasks"]],
      ["CancelTask", { id: taskId }, ["cancel", "tasks"]],
      ["SendMessage", { message }, ["send", "messages"]],
    ] as const) {
      const answer = await say(world, thief, { upstream: other.upstream, method, params, as });
      expectSame(
        [answer.status, a2aCodeOf(answer)],
        [404, "a2a_task_unknown"],
        `${method} of another's task`,
      );
    }
    expectSame(other.world.heard, [], "what the upstream heard");
    other.close();
  },
  evidence: async (ledger, { thief }) => {
    await ledger.expect({ kind: "action", principal: thief.answer.spiffe_id, outcome: "failure" }, 5);
  },
});
