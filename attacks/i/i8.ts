/** I8: deleting history. */
import { cpSync, rmSync } from "node:fs";
import { join } from "node:path";
import { sendAdmin } from "../../test/support/http.ts";
import { defineScenario, expect, expectSame } from "../scenario.ts";
import { sayOfStart } from "../support/child.ts";
import { openEvidence, readLedgerSize } from "../support/evidence.ts";
import { writeHistory } from "../support/history.ts";
import { revoke } from "../support/visits.ts";

const METHODS = ["DELETE", "PUT", "PATCH", "POST"];

/** Played by the runner. */
export const scenario = defineScenario({
  id: "I8",
  title: "deletes events with the operator's rights: through the API, and by putting last week's disk back",
  expected: "no route deletes or changes an entry; a log that is shorter than what was signed does not start",
  weakening: "rollback-overlooked",
  world: {},
  mayChange: [],
  prepare: async (world) => {
    const other = await world.another();
    const history = await writeHistory(other, 2);
    await other.child.stop();
    const backup = join(other.home.dataDir, "..", "backup");
    cpSync(other.home.dataDir, backup, { recursive: true, filter: (path) => !path.endsWith(".sock") });
    await other.start();
    return { other, backup, history };
  },
  control: async (_world, { other, history }) => {
    expectSame(
      (await revoke(other, "instance", history.agent.answer.instance_id)).status,
      200,
      "what will be deleted",
    );
    await other.child.stop();
    await other.start();
    await openEvidence(other.server.adminSocket, 0).expect({ kind: "revoke", outcome: "success" }, 1);
  },
  attack: async (world, { other, backup }) => {
    const { adminSocket } = world.server;
    const targets = [
      "/v1/events",
      "/v1/events/019a0000-0000-7000-8000-000000000000",
      "/ledger/checkpoint",
      "/ledger/tile/entries/000.p/1",
      "/ledger/tile/0/000",
      "/v1/ledger/consistency",
      "/v1/ledger",
      "/v1/witnesses",
    ];
    const before = await readLedgerSize(adminSocket);
    for (const target of targets) {
      for (const method of METHODS) {
        const { status } = await sendAdmin(adminSocket, { method, target, body: "{}" });
        expect(
          status === 404 || status === 405,
          `${method} ${target} does not exist for an operator, and is not ${status}`,
        );
      }
    }
    expect((await readLedgerSize(adminSocket)) > before, "the log only grows");
    await other.child.stop();
    rmSync(other.home.dataDir, { recursive: true });
    cpSync(backup, other.home.dataDir, { recursive: true });
    const output = await sayOfStart(other.start());
    expect(
      output.includes('"code":"data_rolled_back"'),
      `with last week's disk the server does not start: ${output.slice(-300)}`,
    );
  },
  evidence: async (ledger) => {
    await ledger.expect({ kind: "revoke" }, 0);
  },
});
