/** C4: two permissions in one. */
import { createTestSigner } from "../../test/support/keys.ts";
import { defineScenario, expectSame } from "../scenario.ts";
import { expectRefusal } from "../support/client.ts";
import { signGrant, signTicket } from "../support/documents.ts";
import { enrolWith } from "../support/visits.ts";

const SEPARATORS = [",", ", ", " ", ";", "|", "\n", "\t", "&", "+", "\u0000"];

/** Played by the runner. */
export const scenario = defineScenario({
  id: "C4",
  title: "writes two permissions as one, with every separator that some list somewhere is split at",
  expected: "refused: one atom is one permission",
  weakening: "any-scope-spelling",
  prepare: async (world) => ({
    owner: await world.owner(),
    parent: await world.enrol(["read:a", "write:b"]),
    from: world.source(),
  }),
  control: async (world, { owner }) => {
    const signer = createTestSigner();
    const ticket = signTicket(owner, { name: world.name("honest"), scope: ["delete:b", "read:a"] });
    expectSame((await enrolWith(world, ticket, { signer })).status, 200, "two permissions as two");
  },
  attack: async (world, { owner, parent, from }) => {
    for (const separator of SEPARATORS) {
      const scope = [`read:a${separator}delete:b`];
      const signer = createTestSigner();
      const documents = {
        ticket: signTicket(owner, { name: world.name("two"), scope }),
        grant: signGrant(parent, signer, { name: world.name("two"), scope }),
      };
      for (const [kind, document] of Object.entries(documents)) {
        const answer = await enrolWith(world, document, { signer, from });
        expectRefusal(
          answer,
          { status: 400, code: "scope_malformed" },
          `${JSON.stringify(scope)} in a ${kind}`,
        );
      }
    }
  },
  evidence: async (ledger) => {
    await ledger.expect({ kind: "issue" }, 0);
  },
});
