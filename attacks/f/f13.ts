/** F13: a destructive call within its scope. */
import { defineScenario, expectSame } from "../scenario.ts";
import { answer, ask, openAsking, requestOf } from "../support/asking.ts";
import { WITH_GATEWAY } from "../support/brokered.ts";

const DELETE = { method: "DELETE", path: "/rows/7" } as const;

/** Played by the runner. */
export const scenario = defineScenario({
  id: "F13",
  title: "deletes within its scope, without anybody's yes, and after a no",
  expected:
    "held for the owner's signed approval over exactly this call; nothing reaches the upstream before",
  weakening: "destruction-asks-nobody",
  world: WITH_GATEWAY,
  prepare: (world) => openAsking(world),
  control: async (world, scene) => {
    const first = await ask(scene, DELETE);
    // Where nobody asks it is done already; that the attack meets a question is the attack's claim.
    if (first.status !== 200) {
      const id = requestOf(first);
      expectSame((await answer(world, id, "approve")).status, "approved", "the owner's yes");
      expectSame((await ask(scene, { ...DELETE, approval: id })).status, 200, "the approved call");
    }
    expectSame(scene.upstream.seen.length, 1, "what reached the upstream");
  },
  attack: async (world, scene) => {
    const first = await ask(scene, DELETE);
    expectSame(first.status, 403, "the call without anybody's yes");
    const id = requestOf(first);
    expectSame((await ask(scene, { ...DELETE, approval: id })).status, 403, "the call before the answer");
    await answer(world, id, "deny");
    expectSame((await ask(scene, { ...DELETE, approval: id })).status, 403, "the call after the no");
    expectSame(scene.upstream.seen.length, 1, "what reached the upstream");
  },
  evidence: async (ledger, { agent }) => {
    const principal = agent.answer.spiffe_id;
    await ledger.expect({ kind: "action", principal, outcome: "denied", reason: "approval_required" }, 3);
    await ledger.expect({ kind: "action", principal, reason: "approval_denied" }, 1);
    await ledger.expect({ kind: "action", principal, outcome: "success" }, 0);
    await ledger.expect({ kind: "approval" }, { atLeast: 2 });
  },
});
