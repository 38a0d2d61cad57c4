/** B6: more in the certificate than the issuer meant to say. */
import { X509Certificate } from "node:crypto";
import { parseCertificate } from "@trustwarden/core/agentid/certificate.ts";
import { identityAnswer } from "@trustwarden/core/api/identity.ts";
import { encodeBase64url, parseBase64url } from "@trustwarden/core/bytes.ts";
import { encodeSpki } from "@trustwarden/core/crypto.ts";
import { createTestSigner } from "../../test/support/keys.ts";
import { defineScenario, expect, expectSame } from "../scenario.ts";
import { expectRefusal } from "../support/client.ts";
import { der, spkiOf } from "../support/der.ts";
import { signTicket } from "../support/documents.ts";
import { enrolWith } from "../support/visits.ts";

const SERVER_AND_CLIENT = ["1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.2"];

/** Extensions that make a certificate an authority, as they would follow a key inside a certificate. */
const CA_EXTENSIONS = der(
  0xa3,
  der(0x30, der(0x30, Buffer.from("0603551d130101ff", "hex"), der(0x04, Buffer.from("30030101ff", "hex")))),
);

/** Played by the runner. */
export const scenario = defineScenario({
  id: "B6",
  title:
    "smuggles a second name, an authority's powers or odd usages into the certificate through key, CSR and name",
  expected: "refused, or the fixed profile comes back; never the extras",
  weakening: "leaf-is-authority",
  mayChange: ["agents", "liveInstances", "registry"],
  prepare: async (world) => ({ owner: await world.owner(), from: world.source() }),
  control: async (world, { owner }) => {
    const answer = await enrolWith(world, signTicket(owner, { name: world.name("honest") }), {
      signer: createTestSigner(),
    });
    expectSame(answer.status, 200, "an honest ticket enrols");
  },
  attack: async (world, { owner, from }) => {
    const signer = createTestSigner();
    const spki = encodeSpki(signer.publicKey);
    const request = der(0x30, der(0x30, Uint8Array.of(2, 1, 0), der(0x30), spki, CA_EXTENSIONS));
    const smuggled = {
      "a key with extensions behind it": Buffer.concat([spki, CA_EXTENSIONS]),
      "a whole certificate request": request,
      "a key with other parameters": spkiOf(
        Buffer.from("301006072a8648ce3d020106052b8104000a", "hex"),
        spki.subarray(-65),
      ),
    };
    for (const [what, bytes] of Object.entries(smuggled)) {
      const ticket = signTicket(owner, { name: world.name("smuggler") });
      const answer = await enrolWith(world, ticket, { signer, from, body: { spki: encodeBase64url(bytes) } });
      expectRefusal(answer, { status: 400, code: "public_key_refused" }, what);
    }
    const names = [
      "x,URI:spiffe://acme.test/admin",
      "x\u0000y",
      "x/../../admin",
      "x\ny",
      "*.acme.test",
      "x?y",
      "X",
      "é",
    ];
    for (const name of names) {
      const answer = await enrolWith(world, signTicket(owner, { name }), { signer, from });
      expectRefusal(answer, { status: 400, code: "name_malformed" }, `the name ${JSON.stringify(name)}`);
    }
    const scope = ["read:transactions"];
    const ticket = signTicket(owner, { name: world.name("last"), scope });
    const answer = await enrolWith(world, ticket, { signer, from });
    expectSame(answer.status, 200, "a ticket without extras");
    expectFixedProfile(identityAnswer.parse(JSON.parse(answer.text)).svid_chain[0] ?? "");
  },
  evidence: async (ledger) => {
    // What does not parse is no attempt by anybody in particular and leaves nothing; the one enrolment leaves one.
    await ledger.expect({ kind: "refuse" }, 0);
    await ledger.expect({ kind: "issue", principal: /^enrollee:/ }, 1);
  },
});

/** By our own parser and by Node's. */
function expectFixedProfile(leaf: string): void {
  const bytes = parseBase64url(leaf);
  const ours = parseCertificate(bytes);
  const theirs = new X509Certificate(Buffer.from(bytes));
  expectSame(
    { ours: ours.isCa, theirs: theirs.ca },
    { ours: false, theirs: false },
    "the leaf is no authority",
  );
  expectSame(ours.uris.length, 1, "names in the leaf");
  expectSame(theirs.subjectAltName, `URI:${ours.uris[0]}`, "the only name of the leaf");
  expect(ours.keyUsage?.keyCertSign === false && !ours.keyUsage.cRLSign, "the leaf signs no certificates");
  expectSame(ours.extKeyUsage, SERVER_AND_CLIENT, "purposes of the leaf");
  expect(ours.notAfter - ours.notBefore <= 3700, "the leaf lives for an hour");
}
