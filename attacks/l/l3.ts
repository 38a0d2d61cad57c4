/** L3: whoever has the production server's own credential deletes production, and looks for the backups with it. */
import { cpSync, existsSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { defineScenario, expect, expectSame } from "../scenario.ts";
import { backUp, filesIn, mustRun, openVault } from "../support/backups.ts";
import { UNPROVEN } from "../support/client.ts";
import { callAsAgent, revoke } from "../support/visits.ts";

const READ = { target: "/v1/events", action: "read:ledger" };

/** Played by the runner. */
export const scenario = defineScenario({
  id: "L3",
  title: "has all that production has, deletes it, and looks for its backups with the same keys",
  expected:
    "nothing there says where they are, no key of it opens one; by the key that is elsewhere all is back, stops too",
  weakening: "backups-open-to-everybody",
  world: {},
  mayChange: ["epoch", "liveInstances", "registry"],
  prepare: async (world) => ({
    agent: await world.enrol(["read:transactions"]),
    stopped: await world.enrol(["read:transactions"]),
    vault: openVault(world),
  }),
  control: async (world, { agent, stopped }) => {
    for (const one of [agent, stopped])
      expectSame((await callAsAgent(world, one, READ)).status, 200, "while production is there");
  },
  attack: async (world, { agent, stopped, vault }) => {
    const { dataDir, configDir } = world.home;
    const backup = await backUp(world, vault);
    expectSame((await revoke(world, "instance", stopped.answer.instance_id)).status, 200, "the stop");
    await world.child.stop();
    // What somebody else has of the ledger, such as a monitor.
    const elsewhere = join(vault.directory, "ledger");
    cpSync(join(dataDir, "ledger"), elsewhere, { recursive: true });
    for (const path of [...filesIn(dataDir), ...filesIn(configDir)])
      expect(!readFileSync(path).includes(vault.directory), `${path} does not say where backups are`);
    rmSync(dataDir, { recursive: true });
    for (const key of [null, ...filesIn(configDir)]) {
      const given = key === null ? [] : ["--key", key];
      const opened = await world.warden("restore", ...given, backup, "--ledger", elsewhere);
      expect(
        opened.exitCode !== 0 && !existsSync(dataDir),
        `no key of production opens its backup: ${key} ${opened.output.slice(-300)}`,
      );
    }
    await mustRun(world, "restore", "--key", vault.privateKey, backup, "--ledger", elsewhere);
    await world.start();
    expectSame((await callAsAgent(world, agent, READ)).status, 200, "after all was deleted and put back");
    expectSame((await callAsAgent(world, stopped, READ)).status, UNPROVEN.status, "stopped after the backup");
  },
  evidence: async (ledger, { stopped }) => {
    const [revoked] = await ledger.expect(
      { kind: "revoke", principal: /^owner:own_/, outcome: "success" },
      1,
    );
    expectSame(revoked?.resource, stopped.answer.spiffe_id, "who was stopped");
  },
});
