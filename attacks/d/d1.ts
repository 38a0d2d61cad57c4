/** D1: a stolen data directory. */
import { defineScenario, expectSame } from "../scenario.ts";
import { expectWorthless } from "../support/raid.ts";
import { visit } from "../support/visits.ts";

/** Played by the runner. */
export const scenario = defineScenario({
  id: "D1",
  title:
    "copies the whole data directory; replays every string, uses every key and certificate, mints with every ticket",
  expected: "no authenticated answer, nothing minted, no usable key",
  weakening: "enrolment-used-again",
  world: {},
  prepare: async (world) => {
    await world.finance();
    const agent = await world.enrol(["read:transactions", "write:transactions"]);
    await world.spawn(agent, ["read:transactions"]);
    return { agent };
  },
  control: async (world, { agent }) => {
    expectSame((await visit(world, { agent })).status, 200, "the rightful agent reads");
  },
  attack: async (world) => {
    await expectWorthless(world, world.home.dataDir, { pairs: "all" });
  },
  evidence: async (ledger) => {
    await ledger.expect({ kind: "refuse" }, { atLeast: 50 });
    await ledger.expect({ kind: "refuse", reason: "rate_limited" }, { atLeast: 1 });
    await ledger.expect({ kind: "issue" }, 0);
  },
});
