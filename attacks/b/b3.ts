/** B3: one thing signed, another thing said. */
import { digestOfEnrolment } from "@trustwarden/core/agentid/enrolment.ts";
import { issuePossession } from "@trustwarden/core/agentid/possession.ts";
import { encodeBase64url } from "@trustwarden/core/bytes.ts";
import { encodeSpki } from "@trustwarden/core/crypto.ts";
import { nonceOf } from "../../test/support/actors.ts";
import { createTestSigner } from "../../test/support/keys.ts";
import { defineScenario, expectSame } from "../scenario.ts";
import { enrolByEvidence, registerEntry } from "../support/attested.ts";
import { ACCOUNT, awsDocument, certificates, configureAws, plainEvidence } from "../support/aws-documents.ts";
import { call, expectRefusal, MALFORMED, UNPROVEN } from "../support/client.ts";
import { signTicket } from "../support/documents.ts";
import { enrolWith, postInstance } from "../support/visits.ts";
import type { World } from "../support/world.ts";

/** Played by the runner. */
export const scenario = defineScenario({
  id: "B3",
  title:
    "signs one document, and puts another identity in an outer field, the query, or beside a proof for another",
  expected: "refused, or the identity of the signed document; never the outer one",
  weakening: "possession-for-any-document",
  world: { configure: configureAws },
  prepare: async (world) => {
    await registerEntry(world, [`aws:account:${ACCOUNT}`]);
    return { owner: await world.owner(), from: world.source() };
  },
  control: async (world, { owner }) => {
    const name = world.name("honest");
    const answer = await enrolWith(world, signTicket(owner, { name }), { signer: createTestSigner() });
    expectSame([answer.status, JSON.parse(answer.text).name], [200, name], "the signed name is the name");
    const attested = await enrolByEvidence(world, plainEvidence(certificates().genuine));
    expectSame(attested.status, 200, "an instance of the account enrols by its signed document");
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
    await attackEvidence(world, from);
  },
  evidence: async (ledger) => {
    await ledger.expect({ kind: "refuse", principal: "unauthenticated", reason: "possession_invalid" }, 2);
    const refused = { kind: "refuse", principal: "unauthenticated", reason: "attestation_refused" };
    await ledger.expect(refused, { atLeast: 1 });
    await ledger.expect({ kind: "issue" }, 0);
  },
});

/** The attacker's own machine signs for its account, and the victim's account is said somewhere else. */
async function attackEvidence(world: World, from: string | undefined): Promise<void> {
  const { genuine } = certificates();
  const mine = plainEvidence(genuine, awsDocument({ accountId: "999999999999" }));
  for (const field of ["account", "accountId", "selectors", "document2", "subject", "identity"]) {
    const outside = { evidence: mine, [field]: [`aws:account:${ACCOUNT}`] };
    const answer = await enrolByEvidence(world, mine, { from, body: outside });
    expectRefusal(answer, MALFORMED, `an outer ${field} beside the evidence`);
    const inside = await enrolByEvidence(world, { ...mine, [field]: ACCOUNT }, { from });
    expectRefusal(inside, MALFORMED, `a field ${field} inside the evidence`);
  }
  const theirs = { ...mine, document: awsDocument() };
  expectRefusal(await enrolByEvidence(world, theirs, { from }), UNPROVEN, "a document that nobody signed");
  const shown = await enrolByEvidence(world, plainEvidence(genuine), { from, body: { evidence: mine } });
  expectRefusal(shown, UNPROVEN, "evidence that the proof is not for");
}
