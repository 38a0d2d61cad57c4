/** C2: a child that asks for all that its parent has. */
import { createTestSigner } from "../../test/support/keys.ts";
import { defineScenario, expectSame } from "../scenario.ts";
import { expectRefusal } from "../support/client.ts";
import { signGrant } from "../support/documents.ts";
import { enrolWith } from "../support/visits.ts";
import type { World } from "../support/world.ts";

const SCOPE = ["read:transactions", "write:reports"];
const PARENT_SECONDS = 3600;
const EQUAL = { depth: 2, fan_out: 16, budget: null };
const REFUSED = { status: 403, code: "scope_not_subset" };

/** A child with its parent's scope, and the lifetime and limits given. */
async function askEqual(
  world: World,
  parent: Awaited<ReturnType<World["enrol"]>>,
  asked: {
    readonly seconds: number;
    readonly limits: { readonly depth: number; readonly fan_out: number; readonly budget: null };
  },
) {
  const signer = createTestSigner();
  const members = {
    name: world.name("twin"),
    scope: SCOPE,
    ttl_seconds: asked.seconds,
    limits: asked.limits,
  };
  return enrolWith(world, signGrant(parent, signer, members), { signer });
}

/** Played by the runner. */
export const scenario = defineScenario({
  id: "C2",
  title: "a child asks for exactly its parent's scope, in the mode `strict` and in the mode `narrowing`",
  expected: "refused when strict; when narrowing, refused unless a lifetime, a budget or a depth is smaller",
  weakening: "nothing-need-be-narrower",
  world: { env: { TRUSTWARDEN_DELEGATION_MODE: "narrowing" } },
  prepare: async (world) => ({ parent: await world.enrol(SCOPE, { ttlSeconds: PARENT_SECONDS }) }),
  control: async (world, { parent }) => {
    const shorter = await askEqual(world, parent, { seconds: 600, limits: EQUAL });
    expectSame(shorter.status, 200, "the parent's scope for a shorter life");
    const shallower = await askEqual(world, parent, {
      seconds: PARENT_SECONDS * 2,
      limits: { ...EQUAL, depth: 1 },
    });
    expectSame(shallower.status, 200, "the parent's scope without its depth");
  },
  attack: async (world, { parent }) => {
    const twin = await askEqual(world, parent, { seconds: PARENT_SECONDS * 2, limits: EQUAL });
    expectRefusal(twin, REFUSED, "a twin when narrowing");
    const wider = await askEqual(world, parent, { seconds: 600, limits: { ...EQUAL, depth: 3 } });
    expectRefusal(wider, { status: 403, code: "limits_not_narrower" }, "a shorter life with a greater depth");
    const strict = await world.another({ env: {} });
    const strictParent = await strict.enrol(SCOPE, { ttlSeconds: PARENT_SECONDS });
    const shorter = await askEqual(strict, strictParent, { seconds: 600, limits: EQUAL });
    expectRefusal(shorter, REFUSED, "the parent's scope for a shorter life when strict");
    const within = await strict.spawn(strictParent, ["read:transactions"], { ttlSeconds: 600 });
    expectSame(within.answer.scope, ["read:transactions"], "a strict subset when strict");
  },
  evidence: async (ledger) => {
    await ledger.expect({ kind: "refuse", principal: /^enrollee:/, reason: "scope_not_subset" }, 1);
    await ledger.expect({ kind: "refuse", principal: /^enrollee:/, reason: "limits_not_narrower" }, 1);
  },
});
