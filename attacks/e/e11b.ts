/** E11, of approvals: a yes of a moment ago. */
import { defineScenario, expect, expectSame } from "../scenario.ts";
import { answer, ask, openAsking, requestOf } from "../support/asking.ts";
import { WITH_GATEWAY } from "../support/brokered.ts";
import { expectRefusal, UNPROVEN } from "../support/client.ts";
import { revoke } from "../support/visits.ts";

const row = (id: number) => ({ method: "DELETE", path: `/rows/${id}` });

/** Played by the runner. */
export const scenario = defineScenario({
  id: "E11b",
  title: "uses an approval twice, for another call, as another instance, and after it was revoked",
  expected: "each is refused, and nothing but the approved call reaches the upstream",
  weakening: "approval-used-again",
  world: WITH_GATEWAY,
  mayChange: ["epoch", "liveInstances", "registry"],
  prepare: async (world) => {
    const scene = await openAsking(world);
    return { ...scene, other: await world.enrol(["delete:rows", "read:web"]) };
  },
  control: async (world, scene) => {
    const id = requestOf(await ask(scene, row(1)));
    await answer(world, id, "approve");
    expectSame((await ask(scene, { ...row(1), approval: id })).status, 200, "the approved call");
  },
  attack: async (world, scene) => {
    const before = scene.upstream.seen.length;
    const id = requestOf(await ask(scene, row(2)));
    await answer(world, id, "approve");
    expectSame((await ask(scene, { ...row(3), approval: id })).status, 403, "another call");
    const other = { ...scene, agent: scene.other };
    expectSame((await ask(other, { ...row(2), approval: id })).status, 403, "another instance");
    expectSame((await ask(scene, { ...row(2), approval: id })).status, 200, "the approved call");
    expectSame((await ask(scene, { ...row(2), approval: id })).status, 403, "the same call again");
    const next = requestOf(await ask(scene, row(4)));
    await answer(world, next, "approve");
    expectSame(
      (await revoke(world, "instance", scene.agent.answer.instance_id)).status,
      200,
      "the revocation",
    );
    expectRefusal(await ask(scene, { ...row(4), approval: next }), UNPROVEN, "after the revocation");
    expect(scene.upstream.seen.length === before + 1, "only the approved call reached the upstream");
  },
  evidence: async (ledger, { agent, other }) => {
    const principal = agent.answer.spiffe_id;
    await ledger.expect({ kind: "action", principal, reason: "approval_mismatch" }, 1);
    await ledger.expect(
      { kind: "action", principal: other.answer.spiffe_id, reason: "approval_mismatch" },
      1,
    );
    await ledger.expect({ kind: "action", principal, reason: "approval_used" }, 1);
    await ledger.expect({ kind: "action", principal, outcome: "success" }, 1);
  },
});
