/** J2: a verifier that is cut off just before the stop, so that it never hears of it. */
import { defineScenario, expect, expectSame } from "../scenario.ts";
import { countAfter, isEach, openFleet, waitUntilEach } from "../support/verifier-fleet.ts";
import { revoke } from "../support/visits.ts";

const VERIFIERS = 5;
const LIMIT_NS = 1_000_000_000n;

/** Played by the runner. */
export const scenario = defineScenario({
  id: "J2",
  title: "parts some verifiers from the server just before it is stopped, and acts there",
  expected: "they deny within a second of the cut, and still deny it when they are back; the others go on",
  weakening: "leases-without-end",
  world: {},
  mayChange: ["epoch", "liveInstances", "registry"],
  prepare: async (world) => ({
    ...(await openFleet(world, VERIFIERS)),
    agent: await world.enrol(["read:transactions"]),
    bystander: await world.enrol(["read:transactions"]),
  }),
  control: async (_world, { near, far, link, bystander }) => {
    await near.watch(bystander);
    await far.watch(bystander);
    // Losing a connection costs nothing; not getting another one does.
    link.reset();
    await waitUntilEach(far, "allowed");
  },
  attack: async (world, { near, far, link, agent, bystander }) => {
    await far.watch(agent);
    link.part();
    const cutAt = process.hrtime.bigint();
    expectSame((await revoke(world, "instance", agent.answer.instance_id)).status, 200, "the stop");
    const answeredAt = process.hrtime.bigint();
    const cut = await far.report();
    expect(isEach(cut, "lease_expired"), `who is cut off denies: ${cut.verdicts.join()}`);
    expectSame(countAfter(cut, answeredAt), 0, "verifiers that allowed after the answer");
    expectSame(countAfter(cut, cutAt + LIMIT_NS), 0, "verifiers that allowed a second after the cut");
    // Who is not cut off goes on.
    await near.watch(bystander);
    link.heal();
    // Over a connection that outlived the cut it hears of the stop; over a new one, everything of before is too old.
    await waitUntilEach(far, "identity_revoked", "decision_stale");
    expectSame(
      countAfter(await far.report(), answeredAt),
      0,
      "verifiers that allowed it when they were back",
    );
    await link.close();
  },
  evidence: async (ledger) => {
    await ledger.expect({ kind: "revoke", principal: /^owner:own_/, outcome: "success" }, 1);
  },
});
