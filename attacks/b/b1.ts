/** B1: evidence that is none, or of a kind that does not exist. */
import { randomBytes } from "node:crypto";
import { encodeBase64url } from "@trustwarden/core/bytes.ts";
import { encodeSpki } from "@trustwarden/core/crypto.ts";
import { issueEnvelope } from "@trustwarden/core/dsse.ts";
import { formatUlid } from "@trustwarden/core/id.ts";
import { instanceOf, type TestOwner } from "../../test/support/actors.ts";
import { createTestSigner } from "../../test/support/keys.ts";
import { TRUST_DOMAIN } from "../../test/support/server.ts";
import { defineScenario, expectSame } from "../scenario.ts";
import { enrolByEvidence } from "../support/attested.ts";
import { expectRefusal, MALFORMED, UNPROVEN } from "../support/client.ts";
import { signTicket, ticketPayload } from "../support/documents.ts";
import { enrolWith, postInstance } from "../support/visits.ts";
import type { World } from "../support/world.ts";

/** What a verifier's ticket says, as an owner would sign it to become a service. */
function verifierTicketOf(owner: TestOwner): string {
  const now = Math.floor(Date.now() / 1000);
  const payload = {
    v: 1,
    kind: "verifier",
    jti: formatUlid(Date.now(), (length) => new Uint8Array(randomBytes(length))),
    aud: `spiffe://${TRUST_DOMAIN}`,
    iat: now,
    exp: now + 600,
    name: "shadow-api",
    ttl_seconds: 3600,
  };
  return issueEnvelope("ticket", payload, owner.signer, "A".repeat(43));
}

/** Evidence of every type that exists, of which this server accepts none: none is configured. */
const KNOWN = [
  { type: "k8s", cluster: "prod", token: "a.b.c" },
  { type: "github", token: "a.b.c" },
  { type: "oidc", provider: "corp", token: "a.b.c" },
  { type: "aws_pkcs7", pkcs7: "AAAA" },
  { type: "aws_signature", document: "{}", signature: "AAAA" },
  {
    type: "aws_caller",
    region: "eu-central-1",
    authorization: "x",
    amz_date: "20261122T000000Z",
    security_token: "x",
  },
  { type: "gcp", token: "a.b.c" },
  { type: "azure_token", token: "a.b.c" },
  { type: "azure_document", pkcs7: "AAAA" },
] as const;

/** Evidence without a type, with an empty one, and with every neighbour of a real one. */
async function attackTypes(world: World, from: string | undefined): Promise<void> {
  const neighbours = KNOWN.flatMap(({ type, ...rest }) =>
    [type.toUpperCase(), `${type}s`, ` ${type}`, type.slice(0, -1), `${type}\0`].map((odd) => ({
      ...rest,
      type: odd,
    })),
  );
  const odd = [
    undefined,
    null,
    "",
    "gcp",
    [],
    {},
    { token: "a.b.c" },
    { type: "constructor", token: "a.b.c" },
  ];
  const empty = KNOWN.map(({ type }) => ({ type }));
  for (const evidence of [...neighbours, ...odd, ...empty]) {
    const answer = await enrolByEvidence(world, evidence, { from });
    expectRefusal(answer, MALFORMED, `the evidence ${JSON.stringify(evidence)}`);
  }
  for (const evidence of KNOWN) {
    const answer = await enrolByEvidence(world, evidence, { from });
    expectRefusal(answer, UNPROVEN, `evidence of the type ${evidence.type}, which nobody configured`);
  }
}

/** Played by the runner. */
export const scenario = defineScenario({
  id: "B1",
  title:
    "asks for an SVID with no evidence, with empty evidence, and with evidence of kinds that do not exist",
  expected: "refused each time; the dispatch on the kind of evidence is default deny",
  weakening: "verifier-ticket-by-any-owner",
  prepare: async (world) => ({ owner: await world.owner(), from: world.source() }),
  control: async (world, { owner }) => {
    const signer = createTestSigner();
    const answer = await enrolWith(world, signTicket(owner, { name: world.name("honest") }), { signer });
    expectSame(answer.status, 200, "an honest ticket enrols");
    instanceOf(JSON.parse(answer.text), signer);
  },
  attack: async (world, { owner, from }) => {
    const signer = createTestSigner();
    const spki = encodeBase64url(encodeSpki(signer.publicKey));
    expectRefusal(
      await postInstance(world, "", from),
      { status: 400, code: "json_malformed" },
      "an empty body",
    );
    for (const body of [
      "{}",
      "[]",
      "null",
      JSON.stringify({ spki }),
      JSON.stringify({ enrolment: "", possession: "", spki }),
    ]) {
      expectRefusal(await postInstance(world, body, from), MALFORMED, `the body ${body}`);
    }
    for (const type of ["intent", "owner-request", "possession", "control"] as const) {
      const answer = await enrolWith(world, signTicket(owner, {}, type), { signer, from });
      expectRefusal(answer, UNPROVEN, `an envelope of type ${type}`);
    }
    const kinds = ["", "Agent", "agents", "server", "operator", "verifier ", null, 1, true];
    for (const kind of kinds) {
      const answer = await enrolWith(world, signTicket(owner, { kind }), { signer, from });
      expectRefusal(answer, UNPROVEN, `a ticket of kind ${JSON.stringify(kind)}`);
    }
    for (const v of [0, 2, "1", null]) {
      const answer = await enrolWith(world, signTicket(owner, { v }), { signer, from });
      expectRefusal(answer, UNPROVEN, `a ticket of version ${JSON.stringify(v)}`);
    }
    const stranger = { ...owner, signer: createTestSigner() };
    const selfSigned = await enrolWith(world, signTicket(stranger, ticketPayload(owner)), { signer, from });
    expectRefusal(selfSigned, UNPROVEN, "a ticket that nobody registered signed");
    const shadow = await enrolWith(world, verifierTicketOf(owner), { signer, from });
    expectRefusal(shadow, UNPROVEN, "a verifier's ticket that an owner signed");
    await attackTypes(world, from);
  },
  evidence: async (ledger) => {
    await ledger.expect(
      { kind: "refuse", principal: "unauthenticated", reason: "ticket_invalid" },
      { atLeast: 10 },
    );
    await ledger.expect({ kind: "refuse", principal: "unauthenticated", reason: "signature_invalid" }, 2);
    const untrusted = {
      kind: "refuse",
      principal: "unauthenticated",
      reason: "attestation_untrusted_issuer",
    };
    await ledger.expect(untrusted, KNOWN.length);
    await ledger.expect({ kind: "issue" }, 0);
  },
});
