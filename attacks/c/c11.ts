/** C11: families that cannot be. */
import { setTimeout } from "node:timers/promises";
import type { TestInstance } from "../../test/support/actors.ts";
import { createTestSigner } from "../../test/support/keys.ts";
import { defineScenario, expectSame } from "../scenario.ts";
import { expectRefusal, UNPROVEN } from "../support/client.ts";
import { signGrant } from "../support/documents.ts";
import { enrolWith, revoke } from "../support/visits.ts";
import type { World } from "../support/world.ts";

/** How long the parent lives that is meant to expire. */
const SHORT_SECONDS = 2;
const TAKEN = { status: 409, code: "name_taken" };

function askChild(world: World, parent: TestInstance, name: string, signer = createTestSigner()) {
  const scope = ["read:transactions"];
  return enrolWith(world, signGrant(parent, signer, { name, scope, ttl_seconds: 60 }), { signer });
}

/** Played by the runner. */
export const scenario = defineScenario({
  id: "C11",
  title:
    "makes a cycle, an agent that is its own parent, and children of parents that are revoked or expired",
  expected: "refused; nothing is minted under the dead, and no agent is below itself",
  weakening: "dead-parents",
  world: {},
  mayChange: ["epoch", "liveInstances", "registry"],
  prepare: async (world) => {
    const root = await world.enrol(["read:transactions", "write:reports", "read:logs"]);
    const child = await world.spawn(root, ["read:transactions", "write:reports"]);
    const revoked = await world.enrol(["read:transactions", "write:reports"]);
    const below = await world.spawn(revoked, ["read:transactions", "write:reports"].slice(0, 1));
    const expiring = await world.enrol(["read:transactions", "write:reports"], { ttlSeconds: SHORT_SECONDS });
    return { root, child, revoked, below, expiring };
  },
  control: async (world, { child }) => {
    expectSame((await askChild(world, child, world.name("honest"))).status, 200, "a child of a live parent");
  },
  attack: async (world, { root, child, revoked, below, expiring }) => {
    expectRefusal(
      await askChild(world, child, root.answer.name),
      TAKEN,
      "a child named like its parent: a cycle",
    );
    expectRefusal(await askChild(world, child, child.answer.name), TAKEN, "a child named like itself");
    const own = await askChild(world, child, world.name("self"), child.signer);
    expectRefusal(own, { status: 409, code: "key_reused" }, "a child with its parent's key");
    expectSame((await revoke(world, "instance", revoked.answer.instance_id)).status, 200, "the revocation");
    for (const dead of [revoked, below]) {
      const answer = await askChild(world, dead, world.name("orphan"));
      expectRefusal(answer, UNPROVEN, "a child of the revoked, whose signature is nobody's any more");
    }
    await setTimeout((SHORT_SECONDS + 1) * 1000);
    const late = await askChild(world, expiring, world.name("late"));
    expectRefusal(late, { status: 403, code: "ancestor_dead" }, "a child of the expired");
  },
  evidence: async (ledger) => {
    await ledger.expect({ kind: "refuse", principal: /^enrollee:/, reason: "name_taken" }, 2);
    await ledger.expect({ kind: "refuse", principal: /^enrollee:/, reason: "ancestor_dead" }, 1);
    await ledger.expect({ kind: "refuse", principal: "unauthenticated" }, 2);
    await ledger.expect({ kind: "issue" }, 0);
  },
});
