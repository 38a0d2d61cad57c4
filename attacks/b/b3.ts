/** B3: one thing signed, another thing said. */
import { digestOfEnrolment } from "@trustwarden/core/agentid/enrolment.ts";
import { issuePossession } from "@trustwarden/core/agentid/possession.ts";
import { encodeBase64url } from "@trustwarden/core/bytes.ts";
import { encodeSpki } from "@trustwarden/core/crypto.ts";
import { nonceOf } from "../../test/support/actors.ts";
import { createTestSigner } from "../../test/support/keys.ts";
import { defineScenario, expectSame } from "../scenario.ts";
import { call, expectRefusal, MALFORMED, UNPROVEN } from "../support/client.ts";
import { signTicket } from "../support/documents.ts";
import { enrolWith, postInstance } from "../support/visits.ts";

/** Played by the runner. */
export const scenario = defineScenario({
  id: "B3",
  title:
    "signs one document, and puts another identity in an outer field, the query, or beside a proof for another",
  expected: "refused, or the identity of the signed document; never the outer one",
  weakening: "possession-for-any-document",
  prepare: async (world) => ({ owner: await world.owner(), from: world.source() }),
  control: async (world, { owner }) => {
    const name = world.name("honest");
    const answer = await enrolWith(world, signTicket(owner, { name }), { signer: createTestSigner() });
    expectSame([answer.status, JSON.parse(answer.text).name], [200, name], "the signed name is the name");
  },
  attack: async (world, { owner, from }) => {
    const signer = createTestSigner();
    const outer = {
      spiffe_id: "spiffe://acme.test/team/finance/orchestrator",
      name: "orchestrator",
      path: "trustwarden/server",
      owner: "own_00000000000000000000000000",
      scope: ["*:*"],
      csr: "AAAA",
      selectors: [{ type: "unix", value: "uid:0" }],
    };
    for (const [field, value] of Object.entries(outer)) {
      const ticket = signTicket(owner, { name: world.name("outer") });
      const answer = await enrolWith(world, ticket, { signer, from, body: { [field]: value } });
      expectRefusal(answer, MALFORMED, `an outer ${field}`);
    }
    const honest = JSON.stringify({ enrolment: "x", possession: "x", spki: "AAAA" });
    const target = "/v1/instances?name=orchestrator";
    expectRefusal(
      await call(world.server.url, { method: "POST", target, body: honest }, { from }),
      MALFORMED,
      "a name in the query",
    );
    // The victim's proof, caught on its way: made for one ticket, shown with another.
    const meant = signTicket(owner, { name: world.name("meant") });
    const other = signTicket(owner, { name: world.name("other"), scope: ["*:*"], ttl_seconds: 600 });
    const nonce = await nonceOf(world.server);
    const possession = issuePossession({ nonce, enrolmentSha256: digestOfEnrolment(meant) }, signer);
    const spki = encodeBase64url(encodeSpki(signer.publicKey));
    const swapped = await postInstance(world, JSON.stringify({ enrolment: other, possession, spki }), from);
    expectRefusal(swapped, UNPROVEN, "a proof that was made for another ticket");
  },
  evidence: async (ledger) => {
    await ledger.expect({ kind: "refuse", principal: "unauthenticated", reason: "possession_invalid" }, 1);
    await ledger.expect({ kind: "issue" }, 0);
  },
});
