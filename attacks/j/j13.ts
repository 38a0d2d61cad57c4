/** J13: what a key may still say after its agent was stopped. */
import { askDecision, intentOf, outcomeOf, parseDecision } from "../../test/support/actors.ts";
import { defineScenario, expectSame } from "../scenario.ts";
import { call, expectRefusal, UNPROVEN } from "../support/client.ts";
import { callAsAgent, revoke } from "../support/visits.ts";
import type { World } from "../support/world.ts";

type Agent = Awaited<ReturnType<World["enrol"]>>;

/** An act of the agent's own process, decided and not ended. */
async function begin(world: World, agent: Agent) {
  const intent = intentOf(agent, { aud: await world.serverId(), action: "read:transactions" });
  return parseDecision(await askDecision(world.server, { caller: agent, agent, intent })).receipt;
}

function report(world: World, agent: Agent, outcomes: readonly string[]) {
  const body = JSON.stringify({ outcomes });
  return call(world.server.url, { method: "POST", target: "/v1/outcomes", body }, { tls: agent.tls });
}

/** Played by the runner. */
export const scenario = defineScenario({
  id: "J13",
  title: "is stopped in the middle of its acts, and goes on to say how well they ended",
  expected:
    "refused: a stopped key may say that its own acts were broken off, once of each, and nothing else",
  weakening: "stopped-keys-say-anything",
  mayChange: ["epoch", "liveInstances", "registry"],
  prepare: async (world) => {
    const agent = await world.enrol(["read:transactions"]);
    const other = await world.enrol(["read:transactions"]);
    const begun = [await begin(world, agent), await begin(world, agent), await begin(world, agent)] as const;
    return { agent, other, begun, ofOther: await begin(world, other) };
  },
  control: async (world, { agent, begun: [first] }) => {
    expectSame((await report(world, agent, [outcomeOf(agent, first)])).status, 200, "a live agent's outcome");
  },
  attack: async (world, { agent, begun: [, second, third], ofOther }) => {
    await revoke(world, "instance", agent.answer.instance_id);
    const broken = outcomeOf(agent, second, { status: "aborted" });
    for (const status of ["success", "failure"]) {
      const word = outcomeOf(agent, third, { status });
      expectRefusal(await report(world, agent, [word]), UNPROVEN, `that its act ended in ${status}`);
      expectRefusal(await report(world, agent, [broken, word]), UNPROVEN, `${status} behind an honest word`);
    }
    const foreign = outcomeOf(agent, ofOther, { status: "aborted" });
    expectSame((await report(world, agent, [foreign])).status, 403, "the end of another agent's act");
    expectSame((await report(world, agent, [broken])).status, 200, "that its own act was broken off");
    const again = outcomeOf(agent, second, { status: "aborted", bytes: 9 });
    expectSame((await report(world, agent, [again])).status, 409, "another word about the same act");
    const read = { target: "/v1/events", action: "read:ledger" };
    expectRefusal(await callAsAgent(world, agent, read), UNPROVEN, "a question of the stopped agent");
  },
  evidence: async (ledger, { agent }) => {
    // Its acts began before the attack; what ended since is what counts.
    const ended = (await ledger.events()).filter(
      ({ kind, agent_identity: id }) => kind === "action" && id === agent.answer.spiffe_id,
    );
    expectSame(
      ended.map(({ outcome }) => outcome),
      ["aborted"],
      "how its acts ended since",
    );
    await ledger.expect({ kind: "refuse", reason: "identity_revoked" }, { atLeast: 1 });
  },
});
