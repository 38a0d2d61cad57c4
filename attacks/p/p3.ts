/** P3: a grant altered after its signature. */
import { createTestSigner } from "../../test/support/keys.ts";
import { defineScenario, expect, expectSame } from "../scenario.ts";
import { alterPayload, grantPayload, signGrant } from "../support/documents.ts";
import { enrolWith } from "../support/visits.ts";

/** Played by the runner. */
export const scenario = defineScenario({
  id: "P3",
  title: "alters a grant in any of its fields after the parent has signed it",
  expected: "refused in every field",
  weakening: "envelope-signature-unchecked",
  prepare: async (world) => ({
    parent: await world.enrol(["read:transactions", "write:reports"]),
    other: await world.enrol(["read:transactions", "write:reports"]),
    from: world.source(),
  }),
  control: async (world, { parent }) => {
    const signer = createTestSigner();
    const grant = signGrant(parent, signer, { name: world.name("honest") });
    expectSame((await enrolWith(world, grant, { signer })).status, 200, "the grant as it was signed");
  },
  attack: async (world, { parent, other, from }) => {
    const now = Math.floor(Date.now() / 1000);
    const altered = {
      v: 2,
      jti: "01K00000000000000000000000",
      aud: "spiffe://other.test",
      iat: now - 1,
      exp: now + 59,
      name: world.name("altered"),
      path: "team/other",
      scope: ["write:reports"],
      ttl_seconds: 601,
      limits: { depth: 0, fan_out: 0, budget: null },
      child_thumbprint: "A".repeat(43),
      parent: other.answer.spiffe_id,
      svid_sha256: other.svidSha256,
    };
    const members = Object.keys(grantPayload(parent, createTestSigner()));
    expectSame(Object.keys(altered).sort(), members.sort(), "the fields that are altered are all there are");
    for (const [field, value] of Object.entries({ ...altered, extra: true })) {
      const signer = createTestSigner();
      const grant = alterPayload(signGrant(parent, signer, { name: world.name("grant") }), {
        [field]: value,
      });
      const { status } = await enrolWith(world, grant, { signer, from });
      expect(status === 401, `a grant with another ${field} is refused, and not ${status}`);
    }
  },
  evidence: async (ledger) => {
    await ledger.expect(
      { kind: "refuse", principal: "unauthenticated", reason: "signature_invalid" },
      { atLeast: 9 },
    );
    await ledger.expect({ kind: "issue" }, 0);
  },
});
