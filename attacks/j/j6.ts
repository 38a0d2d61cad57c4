/** J6: last week's backup, which has never heard of this week's stops. */
import { existsSync, renameSync } from "node:fs";
import { join } from "node:path";
import { defineScenario, expect, expectSame } from "../scenario.ts";
import { backUp, mustRun, openVault } from "../support/backups.ts";
import { UNPROVEN } from "../support/client.ts";
import { callAsAgent, revoke } from "../support/visits.ts";

const READ = { target: "/v1/events", action: "read:ledger" };

/** Played by the runner. */
export const scenario = defineScenario({
  id: "J6",
  title:
    "has the server put back to a backup of before the stop, once with nothing else and once with the ledger",
  expected: "not put back while nothing says who was stopped since; with the ledger, still stopped",
  weakening: "restores-forget-stops",
  world: {},
  mayChange: ["epoch", "liveInstances", "registry"],
  prepare: async (world) => ({
    agent: await world.enrol(["read:transactions"]),
    bystander: await world.enrol(["read:transactions"]),
    vault: openVault(world),
  }),
  control: async (world, { agent, bystander }) => {
    for (const one of [agent, bystander])
      expectSame((await callAsAgent(world, one, READ)).status, 200, "before the stop");
  },
  attack: async (world, { agent, bystander, vault }) => {
    const lastWeek = await backUp(world, vault);
    expectSame((await revoke(world, "instance", agent.answer.instance_id)).status, 200, "the stop");
    await world.child.stop();
    const { dataDir } = world.home;
    const old = join(dataDir, "..", "old-data");
    renameSync(dataDir, old);
    const restore = ["restore", "--key", vault.privateKey, lastWeek];
    const alone = await world.warden(...restore);
    expect(
      alone.exitCode !== 0 && alone.output.includes("restore_loses_stops") && !existsSync(dataDir),
      `a backup alone is not put back: ${alone.output.slice(-300)}`,
    );
    await mustRun(world, ...restore, "--ledger", join(old, "ledger"));
    await world.start();
    expectSame((await callAsAgent(world, agent, READ)).status, UNPROVEN.status, "after the restore");
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
