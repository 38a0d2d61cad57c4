/** J5: a stop that is not the stopper's to give, and an agent that ends itself. */
import { createOwner } from "../../test/support/actors.ts";
import { defineScenario, expectSame } from "../scenario.ts";
import { UNPROVEN } from "../support/client.ts";
import { callAsAgent, callAsOwner } from "../support/visits.ts";

/** Played by the runner. */
export const scenario = defineScenario({
  id: "J5",
  title:
    "stops another owner's agents by ids that leaked, and what is everybody's; then stops itself to hide",
  expected: "refused and in the ledger, the agent goes on; its own end is allowed, and in the ledger too",
  weakening: "any-owners-agent",
  mayChange: ["epoch", "liveInstances", "registry"],
  prepare: async (world) => ({
    mallory: await createOwner(world.server, world.name("mallory")),
    victim: await world.enrol(["read:transactions"]),
    sibling: await world.enrol(["read:transactions"]),
  }),
  control: async (world) => {
    const other = await world.enrol(["read:transactions"]);
    const body = JSON.stringify({ target: { kind: "instance", id: other.answer.instance_id } });
    const answer = await callAsOwner(world, { method: "POST", target: "/v1/revocations", body });
    expectSame(answer.status, 200, "the owner stops its own");
  },
  attack: async (world, { mallory, victim, sibling }) => {
    const { instance_id: instance, agent_id: agent, owner_id: owner } = victim.answer;
    const stopOf = (kind: string, id: string) => ({
      method: "POST",
      target: "/v1/revocations",
      body: JSON.stringify({ target: { kind, id } }),
    });
    const targets = [
      ["instance", instance],
      ["agent", agent ?? ""],
      ["owner", owner ?? ""],
      ["policy", "A".repeat(43)],
      ["key", "A".repeat(43)],
      ["everything", "*"],
    ] as const;
    for (const [kind, id] of targets) {
      const { status } = await callAsOwner(world, stopOf(kind, id), mallory);
      expectSame(status, 403, `a stop of another owner's ${kind}`);
    }
    const asked = { ...stopOf("instance", instance), action: "revoke:instance", lane: "stop" } as const;
    expectSame((await callAsAgent(world, sibling, asked)).status, 403, "a stop by a sibling");
    const read = { target: "/v1/events", action: "read:ledger" };
    expectSame((await callAsAgent(world, victim, read)).status, 200, "the agent goes on");
    expectSame((await callAsAgent(world, victim, asked)).status, 200, "its own end");
    expectSame((await callAsAgent(world, victim, read)).status, UNPROVEN.status, "after its own end");
  },
  evidence: async (ledger, { victim }) => {
    await ledger.expect({ kind: "refuse", principal: /^owner:own_/ }, 6);
    await ledger.expect({ kind: "revoke", principal: victim.answer.spiffe_id, outcome: "success" }, 1);
  },
});
