/** A stopped policy: what it no longer does beside another one, and that it stays out of force. */
import { policyAnswer } from "@trustwarden/core/api/policy.ts";
import { encodeUtf8 } from "@trustwarden/core/bytes.ts";
import { afterEach, beforeEach, expect, it } from "vitest";
import {
  askDecision,
  createOwner,
  enrolAgent,
  enrolVerifier,
  nonceOf,
  parseAnswer,
  parseDecision,
  postEnrolment,
  proofOf,
  serverIdOf,
  signedRequest,
  type TestInstance,
  type TestOwner,
  ticketOf,
  visitIntent,
} from "./support/actors.ts";
import { codeOf, send, sendAdmin } from "./support/http.ts";
import { createTestSigner } from "./support/keys.ts";
import { createPolicyKey, exampleFiles, loadBundle, packSigned } from "./support/policies.ts";
import { eventsOf } from "./support/refusals.ts";
import { createHome, startTestServer, type TestHome, type TestServer } from "./support/server.ts";

const key = createPolicyKey("release");
const settings = {
  policy: { deadlineMs: 5000, signers: [{ id: key.id, publicKeyFile: key.publicKeyFile }] },
};
let home: TestHome;
let server: TestServer;
let owner: TestOwner;
let agent: TestInstance;
let verifier: TestInstance;

beforeEach(async () => {
  home = createHome();
  server = await startTestServer(settings, home);
  owner = await createOwner(server);
  agent = await enrolAgent(server, owner, { scope: ["read:transactions"] });
  verifier = await enrolVerifier(server);
  expect((await load(1)).status).toBe(200);
  expect(await decide()).toEqual([]);
});
afterEach(async () => {
  await server.close();
  home.remove();
});

/** The example; another text of data makes another policy of it. */
const load = (version: number, data = "{}") =>
  loadBundle(
    server.adminSocket,
    packSigned(exampleFiles(version, new Map([["data.json", encodeUtf8(data)]])), key),
  );

async function decide(): Promise<readonly string[]> {
  const intent = visitIntent(agent, verifier, { action: "read:transactions" });
  return parseDecision(await askDecision(server, { caller: verifier, agent, intent })).reasons;
}

async function stop(id: string): Promise<void> {
  const body = JSON.stringify({ target: { kind: "policy", id }, reason: "wrong" });
  const answer = await sendAdmin(server.adminSocket, { method: "POST", target: "/v1/revocations", body });
  expect(answer.status).toBe(200);
}

const policy = async () =>
  parseAnswer(policyAnswer, await sendAdmin(server.adminSocket, { target: "/v1/policy" }));

it("allows nothing beside the built-in one, by either digest that it is shown by", async () => {
  const { in_force, custom } = await policy();
  await stop(in_force.at(-1)?.bundle_sha256 ?? "");
  expect(await decide()).toEqual(["policy_stopped"]);
  expect((await load(2, '{"custom":{"two":2}}')).status).toBe(200);
  expect(await decide()).toEqual([]);
  const second = (await policy()).custom;
  expect(second?.bundle_sha256).not.toBe(custom?.bundle_sha256);
  await stop(second?.bundle_sha256 ?? "");
  expect(await decide()).toEqual(["policy_stopped"]);
});

it("is not put in force again, in no version and not after a restart", async () => {
  await stop((await policy()).custom?.bundle_sha256 ?? "");
  const again = await load(2);
  expect([again.status, codeOf(again)]).toEqual([409, "policy_stopped"]);
  await server.close();
  server = await startTestServer(settings, home);
  verifier = await enrolVerifier(server, "again");
  expect(await decide()).toEqual(["policy_stopped"]);
  expect(codeOf(await load(3))).toBe("policy_stopped");
  expect((await load(3, '{"custom":{"three":3}}')).status).toBe(200);
  expect(await decide()).toEqual([]);
});

it("issues and renews nothing for agents, and services go on", async () => {
  const [waiting, fresh] = [ticketOf(owner, { name: "waiting" }), createTestSigner()];
  expect((await renew(agent)).status).toBe(200);
  await stop((await policy()).in_force.at(-1)?.bundle_sha256 ?? "");
  for (const refused of [await renew(agent), await postEnrolment(server, waiting, fresh)])
    expect([refused.status, codeOf(refused)]).toEqual([403, "denied"]);
  const [last] = await eventsOf(server, "refuse");
  expect(last).toMatchObject({ reasons: ["policy_stopped"] });
  expect((await renew(verifier)).status).toBe(200);
  expect((await load(2, '{"custom":{"two":2}}')).status).toBe(200);
  expect((await renew(agent)).status).toBe(200);
  expect((await postEnrolment(server, waiting, fresh)).status).toBe(200);
});

async function renew(instance: TestInstance) {
  const nonce = await nonceOf(server);
  const body = JSON.stringify(proofOf(createTestSigner(), { nonce, enrolmentSha256: instance.svidSha256 }));
  const request = { method: "POST", target: "/v1/svids/renew", body };
  const aud = await serverIdOf(server);
  const signed =
    instance === verifier ? request : signedRequest(instance, { ...request, action: "renew:svid", aud });
  return send(server.url, signed, instance.tls);
}
