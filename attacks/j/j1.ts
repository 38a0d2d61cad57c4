/** J1: an agent that is stopped while many verifiers serve its requests, some of them far away. */
import { defineScenario, expect, expectSame } from "../scenario.ts";
import { countAfter, openFleet } from "../support/verifier-fleet.ts";
import { revoke } from "../support/visits.ts";

/** Of each of two processes. */
const VERIFIERS = 20;
const AGENTS = 5;
/** Each way, so that the far verifiers hear of a stop long after it is in force. */
const DELAY_MS = 120;

/** Played by the runner. */
export const scenario = defineScenario({
  id: "J1",
  title: "goes on at whichever of 40 verifiers hears of its stop last, half of them far away",
  expected: "nobody allows once the server has said that everybody stopped",
  weakening: "stops-not-waited-for",
  world: {},
  mayChange: ["epoch", "liveInstances", "registry"],
  prepare: async (world) => {
    const fleet = await openFleet(world, VERIFIERS);
    const agents = [];
    for (let count = 0; count < AGENTS; count += 1) agents.push(await world.enrol(["read:transactions"]));
    fleet.link.weather({ delayMs: DELAY_MS });
    return { ...fleet, agents, bystander: await world.enrol(["read:transactions"]) };
  },
  control: async (_world, { near, far, bystander }) => {
    await near.watch(bystander);
    await far.watch(bystander);
  },
  attack: async (world, { near, far, link, agents, bystander }) => {
    for (const agent of agents) {
      await Promise.all([near.watch(agent), far.watch(agent)]);
      const stopped = await revoke(world, "instance", agent.answer.instance_id);
      const answeredAt = process.hrtime.bigint();
      expectSame(stopped.status, 200, "the stop");
      for (const verifiers of [near, far]) {
        const report = await verifiers.report();
        expectSame(countAfter(report, answeredAt), 0, "verifiers that allowed after the answer");
        expect(!report.verdicts.includes("allowed"), "nobody allows now");
      }
    }
    // A bystander goes on everywhere.
    await near.watch(bystander);
    await far.watch(bystander);
    await link.close();
  },
  evidence: async (ledger) => {
    await ledger.expect({ kind: "revoke", principal: /^owner:own_/, outcome: "success" }, AGENTS);
  },
});
