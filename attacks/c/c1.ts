/** C1: a child that asks for more than its parent has. */
import { createTestSigner } from "../../test/support/keys.ts";
import { defineScenario, expectSame } from "../scenario.ts";
import { signGrant } from "../support/documents.ts";
import { enrolWith } from "../support/visits.ts";

/** Played by the runner. */
export const scenario = defineScenario({
  id: "C1",
  title: "a child asks for read and delete under a parent that may read and write reports; the parent signs",
  expected: "403 scope_not_subset with a concrete action as its reason; nothing is minted",
  weakening: "any-child-scope",
  prepare: async (world) => ({
    parent: await world.enrol(["read:transactions", "write:reports"]),
    from: world.source(),
  }),
  control: async (world, { parent }) => {
    const signer = createTestSigner();
    const grant = signGrant(parent, signer, { name: world.name("honest"), scope: ["read:transactions"] });
    expectSame((await enrolWith(world, grant, { signer })).status, 200, "a child within its parent");
  },
  attack: async (world, { parent, from }) => {
    const refused: Readonly<Record<string, readonly string[]>> = {
      "delete:transactions": ["delete:transactions", "read:transactions"],
      "write:transactions": ["write:transactions"],
      "x0:transactions": ["*:transactions"],
      "read:x0": ["read:*"],
    };
    for (const [counterexample, scope] of Object.entries(refused)) {
      const signer = createTestSigner();
      const grant = signGrant(parent, signer, { name: world.name("rogue"), scope });
      const answer = await enrolWith(world, grant, { signer, from });
      const { error } = JSON.parse(answer.text);
      const actual = { status: answer.status, code: error?.code, counterexample: error?.counterexample };
      expectSame(
        actual,
        { status: 403, code: "scope_not_subset", counterexample },
        `a child with ${scope.join()}`,
      );
    }
  },
  evidence: async (ledger) => {
    await ledger.expect({ kind: "refuse", principal: /^enrollee:/, reason: "scope_not_subset" }, 4);
    await ledger.expect({ kind: "issue" }, 0);
  },
});
