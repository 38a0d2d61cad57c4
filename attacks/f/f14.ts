/** F14: writes during a freeze. */
import { defineScenario, expectSame } from "../scenario.ts";
import { ask, openAsking } from "../support/asking.ts";
import { operate, WITH_GATEWAY } from "../support/brokered.ts";

const NOTE = { method: "POST", path: "/notes" } as const;

/** Played by the runner. */
export const scenario = defineScenario({
  id: "F14",
  title: "writes while everything is frozen",
  expected: "denied whatever the scope; reads go on, and writes do when the freeze is lifted",
  weakening: "freeze-ignored",
  world: WITH_GATEWAY,
  mayChange: ["epoch"],
  prepare: (world) => openAsking(world),
  control: async (_world, scene) => {
    expectSame((await ask(scene, NOTE)).status, 200, "a write before the freeze");
  },
  attack: async (world, scene) => {
    await operate(world, "/v1/policy/freeze", { freeze: { reason: "release night", until: null } });
    const before = scene.upstream.seen.length;
    expectSame((await ask(scene, NOTE)).status, 403, "a write during the freeze");
    expectSame((await ask(scene, { method: "DELETE", path: "/rows/1" })).status, 403, "a delete during it");
    expectSame((await ask(scene, { method: "GET", path: "/web" })).status, 200, "a read during it");
    expectSame(scene.upstream.seen.length, before + 1, "what reached the upstream");
    await operate(world, "/v1/policy/freeze", { freeze: null });
    expectSame((await ask(scene, NOTE)).status, 200, "a write after it");
  },
  evidence: async (ledger, { agent }) => {
    const principal = agent.answer.spiffe_id;
    await ledger.expect({ kind: "action", principal, outcome: "denied", reason: "frozen" }, 2);
    await ledger.expect({ kind: "policy" }, 2);
  },
});
