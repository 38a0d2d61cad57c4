/** B4: a genuine certificate in the bag, another key behind the signature. */
import type { SigningOptions } from "../../server/attest/signed-documents.test.support.ts";
import { defineScenario, expectSame } from "../scenario.ts";
import { enrolByEvidence, registerEntry } from "../support/attested.ts";
import { ACCOUNT, awsDocument, certificates, configureAws, pkcs7Evidence } from "../support/aws-documents.ts";
import { expectRefusal, UNPROVEN } from "../support/client.ts";

/** Played by the runner. */
export const scenario = defineScenario({
  id: "B4",
  title: "puts the platform's genuine certificate into the bag of a document, and signs it with another key",
  expected: "refused: the key that must have signed comes from the configuration, not from the bag",
  weakening: "document-signed-by-anyone",
  world: { configure: configureAws },
  prepare: async (world) => {
    await registerEntry(world, [`aws:account:${ACCOUNT}`]);
    return { from: world.source() };
  },
  control: async (world) => {
    const { genuine } = certificates();
    for (const options of [{ signer: genuine }, { signer: genuine, hasSigner: false, isStreamed: true }]) {
      const answer = await enrolByEvidence(world, pkcs7Evidence(options));
      expectSame(answer.status, 200, "a genuine document enrols");
    }
  },
  attack: async (world, { from }) => {
    const { genuine, double } = certificates();
    const forged: readonly SigningOptions[] = [
      { signer: double, hasSigner: false, bag: [genuine] },
      { signer: double, hasSigner: false },
      { signer: double },
      { signer: double, bag: [genuine] },
      { signer: double, hasSigner: false, bag: [genuine], hasAttributes: false },
      { signer: double, hasSigner: false, bag: [genuine], isStreamed: true },
    ];
    for (const options of forged) {
      const answer = await enrolByEvidence(world, pkcs7Evidence(options), { from });
      expectRefusal(answer, UNPROVEN, `a forged document, ${describe(options)}`);
    }
    // Another document under a genuine signature.
    const [mine, theirs] = [awsDocument({ accountId: "999999999999" }), awsDocument()];
    const signed = Buffer.from(pkcs7Evidence({ signer: genuine }, mine).pkcs7, "base64").toString("latin1");
    const pkcs7 = Buffer.from(signed.replace(mine, theirs), "latin1").toString("base64");
    const answer = await enrolByEvidence(world, { type: "aws_pkcs7", pkcs7 }, { from });
    expectRefusal(answer, UNPROVEN, "another document under a genuine signature");
  },
  evidence: async (ledger) => {
    const refused = { kind: "refuse", principal: "unauthenticated", reason: "attestation_refused" };
    await ledger.expect(refused, { atLeast: 7 });
    await ledger.expect({ kind: "issue" }, 0);
  },
});

function describe({ signer: _signer, bag = [], ...rest }: SigningOptions): string {
  return JSON.stringify({ certificates: bag.length, ...rest });
}
