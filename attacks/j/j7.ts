/** J7: the machine dies in the moment after a stop was answered. */
import { defineScenario, expectSame } from "../scenario.ts";
import { UNPROVEN } from "../support/client.ts";
import { callAsAgent, revoke } from "../support/visits.ts";

const READ = { target: "/v1/events", action: "read:ledger" };

/** Played by the runner. */
export const scenario = defineScenario({
  id: "J7",
  title: "kills the server with SIGKILL right after it has answered a stop, and goes on when it is back",
  expected: "still revoked after the restart, and in the ledger once",
  weakening: "stops-forgotten-at-start",
  world: {},
  mayChange: ["epoch", "liveInstances", "registry"],
  prepare: async (world) => ({
    agent: await world.enrol(["read:transactions"]),
    bystander: await world.enrol(["read:transactions"]),
  }),
  control: async (world, { agent }) => {
    expectSame((await callAsAgent(world, agent, READ)).status, 200, "before the stop");
  },
  attack: async (world, { agent, bystander }) => {
    expectSame((await revoke(world, "instance", agent.answer.instance_id)).status, 200, "the stop");
    await world.child.kill();
    await world.start();
    expectSame((await callAsAgent(world, agent, READ)).status, UNPROVEN.status, "after the restart");
    expectSame((await callAsAgent(world, bystander, READ)).status, 200, "a bystander goes on");
  },
  evidence: async (ledger, { agent }) => {
    const [revoked] = await ledger.expect(
      { kind: "revoke", principal: /^owner:own_/, outcome: "success" },
      1,
    );
    expectSame(revoked?.resource, agent.answer.spiffe_id, "what was revoked");
  },
});
