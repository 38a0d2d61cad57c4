/** The class SVID of an agent that enrols and renews itself: beside its instance's, never alone, and a principal nowhere. */
import { X509Certificate } from "node:crypto";
import { digestOfEnrolment } from "@trustwarden/core/agentid/enrolment.ts";
import { parseTicketValue } from "@trustwarden/core/agentid/enrolment-value.ts";
import { identityAnswer, jwtSvidAnswer, ticketAnswer } from "@trustwarden/core/api/identity.ts";
import { parseBase64url } from "@trustwarden/core/bytes.ts";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  createOwner,
  grantOf,
  instanceOf,
  nonceOf,
  parseAnswer,
  postEnrolment,
  proofOf,
  serverIdOf,
  signedRequest,
  type TestInstance,
  type TestOwner,
  ticketOf,
  tlsOf,
} from "./support/actors.ts";
import { codeOf, type RawAnswer, send, sendAdmin } from "./support/http.ts";
import { createTestSigner } from "./support/keys.ts";
import { findingsOf } from "./support/nodes.ts";
import { expectRefused } from "./support/refusals.ts";
import { startTestServer, type TestServer } from "./support/server.ts";

type Signer = TestOwner["signer"];

const RENEWAL = JSON.stringify({ possession: "x", spki: "AA" });
const CLASS_ID = "spiffe://acme.test/team/class/crawler";
let server: TestServer;
let owner: TestOwner;

beforeAll(async () => {
  server = await startTestServer();
  owner = await createOwner(server);
});
afterAll(async () => {
  await server.close();
  server.home.remove();
});

const ticket = () => ticketOf(owner, { path: "team/class", name: "crawler", scope: ["fetch:web"] });

interface Keys {
  readonly signer?: Signer;
  readonly classSigner?: Signer;
  /** What the class key is proven for, when not for what the instance's is. */
  readonly classClaim?: { readonly nonce?: string; readonly enrolmentSha256?: string };
}

async function proofs(enrolmentSha256: string, keys: Keys) {
  const { signer = createTestSigner(), classSigner = createTestSigner(), classClaim } = keys;
  const claim = { nonce: await nonceOf(server), enrolmentSha256 };
  return { ...proofOf(signer, claim), class: proofOf(classSigner, { ...claim, ...classClaim }) };
}

async function enrol(enrolment: string, keys: Keys = {}): Promise<RawAnswer> {
  const body = JSON.stringify({ enrolment, ...(await proofs(digestOfEnrolment(enrolment), keys)) });
  return send(server.url, { method: "POST", target: "/v1/instances", body });
}

async function enrolled(): Promise<TestInstance & { readonly classSigner: Signer }> {
  const signer = createTestSigner();
  const classSigner = createTestSigner();
  const answer = parseAnswer(identityAnswer, await enrol(ticket(), { signer, classSigner }));
  return { ...instanceOf(answer, signer), classSigner };
}

async function ask(agent: TestInstance, target: string, action: string, body: object): Promise<RawAnswer> {
  const aud = await serverIdOf(server);
  const request = { method: "POST", target, action, aud, body: JSON.stringify(body) };
  return send(server.url, signedRequest(agent, request), agent.tls);
}

const renew = async (agent: TestInstance, keys: Keys = {}) =>
  ask(agent, "/v1/svids/renew", "renew:svid", await proofs(agent.svidSha256, keys));

function leafOf(chain: readonly string[] | null): X509Certificate {
  return new X509Certificate(parseBase64url(chain?.[0] ?? ""));
}

function idAndEnd(chain: readonly string[] | null) {
  const { subjectAltName, validTo } = leafOf(chain);
  return { subjectAltName, validTo };
}

describe("a class SVID", () => {
  it("comes with the instance's at enrolment and at renewal, under another key, and ends with it", async () => {
    const agent = await enrolled();
    const { validTo } = idAndEnd(agent.answer.svid_chain);
    const ofClass = { subjectAltName: `URI:${CLASS_ID}`, validTo };
    expect(idAndEnd(agent.answer.class_svid_chain)).toEqual(ofClass);
    const leaf = leafOf(agent.answer.class_svid_chain);
    const renewed = parseAnswer(identityAnswer, await renew(agent));
    const { validTo: nextEnd } = idAndEnd(renewed.svid_chain);
    expect(idAndEnd(renewed.class_svid_chain)).toEqual({ ...ofClass, validTo: nextEnd });
    expect(leafOf(renewed.class_svid_chain).serialNumber).not.toBe(leaf.serialNumber);
  });

  it("is not there unless it is asked for", async () => {
    const answer = parseAnswer(identityAnswer, await postEnrolment(server, ticket(), createTestSigner()));
    expect(answer.class_svid_chain).toBeNull();
  });

  it("needs a proof of its own key, for the same document, under the same nonce", async () => {
    const enrolment = ticket();
    const nonce = await nonceOf(server);
    await expectRefused(server, () => enrol(enrolment, { classClaim: { nonce } }), "nonce_invalid");
    const elsewhere = { enrolmentSha256: digestOfEnrolment(ticket()) };
    await expectRefused(server, () => enrol(enrolment, { classClaim: elsewhere }), "possession_invalid");
    const both = createTestSigner();
    const twice = await enrol(enrolment, { signer: both, classSigner: both });
    expect([twice.status, codeOf(twice)]).toEqual([409, "key_reused"]);
    // Nothing was made by what was refused: the ticket is still good.
    expect((await enrol(enrolment)).status).toBe(200);
    const agent = await enrolled();
    const other = { nonce: await nonceOf(server) };
    await expectRefused(server, () => renew(agent, { classClaim: other }), "nonce_invalid");
  });

  it("is no principal: it opens no connection, signs no intent and grants nothing", async () => {
    const agent = await enrolled();
    const chain = (agent.answer.class_svid_chain ?? []).map(parseBase64url);
    const { classSigner } = agent;
    const asClass = instanceOf(
      { ...agent.answer, svid_chain: agent.answer.class_svid_chain ?? [] },
      classSigner,
    );
    await expectRefused(
      server,
      () =>
        send(
          server.url,
          { method: "POST", target: "/v1/svids/renew", body: RENEWAL },
          tlsOf(classSigner, chain),
        ),
      "svid_bearer_refused",
    );
    const mixed = { ...asClass, tls: agent.tls };
    await expectRefused(server, () => renew(mixed), "signature_invalid");
    const child = createTestSigner();
    const grant = grantOf(asClass, child, { name: "helper", scope: [] });
    await expectRefused(server, () => postEnrolment(server, grant, child), "grant_invalid");
  });

  it("is refused to a verifier", async () => {
    const made = await sendAdmin(server.adminSocket, {
      method: "POST",
      target: "/v1/verifier-tickets",
      body: JSON.stringify({ name: "forum", ttl_seconds: 3600 }),
    });
    const { ticket: envelope } = parseTicketValue(parseAnswer(ticketAnswer, made).ticket);
    const refused = await enrol(envelope);
    expect([refused.status, codeOf(refused)]).toEqual([401, "principal_refused"]);
  });

  it("gets no successor once its instance is revoked", async () => {
    const agent = await enrolled();
    const target = { kind: "instance", id: agent.answer.instance_id };
    const stop = { target, reason: "" };
    expect((await ask(agent, "/v1/revocations", "revoke:instance", stop)).status).toBe(200);
    await expectRefused(server, () => renew(agent), "identity_revoked");
  });

  it("leaves nothing for an audit to find", async () => {
    await renew(await enrolled());
    expect(await findingsOf(server)).toEqual([]);
  });

  it("has JWT-SVIDs in its name", async () => {
    const agent = await enrolled();
    const body = { audience: "https://api.example", identity: "class" };
    const answer = await ask(agent, "/v1/jwt-svids", "issue:jwt-svid", body);
    const [, payload = ""] = parseAnswer(jwtSvidAnswer, answer).svid.split(".");
    expect(JSON.parse(Buffer.from(payload, "base64url").toString())).toMatchObject({
      sub: CLASS_ID,
      aud: "https://api.example",
    });
  });
});
