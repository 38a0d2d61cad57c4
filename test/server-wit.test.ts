/** WIT-SVIDs from a real server: for proven keys, recorded, rotated, void when revoked, and absent unless switched on. */
import { getListFromStatusListJWT, getStatusListFromJWT } from "@sd-jwt/jwt-status-list";
import { issuePossession } from "@trustwarden/core/agentid/possession.ts";
import { parseTrustDomain } from "@trustwarden/core/agentid/spiffe-id.ts";
import { parseTrustBundle } from "@trustwarden/core/agentid/trust-bundle.ts";
import { verifyWitSvid } from "@trustwarden/core/agentid/wit-svid.ts";
import { authorityAnswer } from "@trustwarden/core/api/authority.ts";
import { type WitSvidAnswer, witSvidAnswer } from "@trustwarden/core/api/identity.ts";
import { discovery, eventAnswer } from "@trustwarden/core/api/ledger.ts";
import { encodeBase64url } from "@trustwarden/core/bytes.ts";
import { encodeSpki, formatThumbprint } from "@trustwarden/core/crypto.ts";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import {
  createOwner,
  enrolAgent,
  nonceOf,
  parseAnswer,
  serverIdOf,
  signedRequest,
  type TestInstance,
  type TestOwner,
} from "./support/actors.ts";
import { codeOf, jsonOf, type RawAnswer, send, sendAdmin } from "./support/http.ts";
import { createTestSigner } from "./support/keys.ts";
import { createEntry, deliver, joinNode, post } from "./support/nodes.ts";
import { eventsOf, expectRefused } from "./support/refusals.ts";
import { startTestServer, type TestServer, TRUST_DOMAIN } from "./support/server.ts";

const trustDomain = parseTrustDomain(TRUST_DOMAIN);
const WIT_ON = { workloadApi: { witSvid: true } };
let server: TestServer;
let owner: TestOwner;
let agent: TestInstance;

beforeEach(async () => {
  server = await startTestServer(WIT_ON);
  owner = await createOwner(server);
  agent = await enrolAgent(server, owner);
});
afterEach(async () => {
  await server.close();
  server.home.remove();
});

type Key = ReturnType<typeof createTestSigner>;

/** A proof that `signer` holds a key, bound to somebody's SVID. */
async function proofOf(key: Key, svidSha256: string, signer = key) {
  const possession = issuePossession({ nonce: await nonceOf(server), enrolmentSha256: svidSha256 }, signer);
  return { possession, spki: encodeBase64url(encodeSpki(key.publicKey)) };
}

async function askWit(caller: TestInstance, body: object): Promise<RawAnswer> {
  const request = {
    ...{ method: "POST", target: "/v1/wit-svids", body: JSON.stringify(body) },
    ...{ action: "issue:jwt-svid", aud: await serverIdOf(server) },
  };
  return send(server.url, signedRequest(caller, request), caller.tls);
}

async function witOf(caller: TestInstance, key: Key = createTestSigner()): Promise<WitSvidAnswer> {
  return parseAnswer(witSvidAnswer, await askWit(caller, await proofOf(key, caller.svidSha256)));
}

const now = () => Math.floor(Date.now() / 1000);
async function verify(token: string) {
  const bundle = parseTrustBundle((await send(server.url, { target: "/v1/bundle" })).text, trustDomain);
  return verifyWitSvid(token, { bundles: new Map([[trustDomain, bundle]]), now: now() });
}

async function step(body: object): Promise<RawAnswer> {
  const target = "/v1/authority/steps";
  return sendAdmin(server.adminSocket, { method: "POST", target, body: JSON.stringify(body) });
}

async function keysOf(kind: string) {
  const answer = await sendAdmin(server.adminSocket, { target: "/v1/authority" });
  return authorityAnswer.parse(jsonOf(answer)).keys.filter((key) => key.kind === kind);
}

/** The signed payloads of an event's records, as text. */
async function recordOf(eventId: string): Promise<string> {
  const answer = await sendAdmin(server.adminSocket, { target: `/v1/events/${eventId}` });
  const { records } = parseAnswer(eventAnswer, answer);
  return records.map(({ entry }) => Buffer.from(JSON.parse(entry).payload, "base64").toString()).join("\n");
}

describe("POST /v1/wit-svids", () => {
  it("gives a token for the key that was proven, for five minutes, and records it", async () => {
    const key = createTestSigner();
    const answer = await witOf(agent, key);
    const proven = await verify(answer.svid);
    expect(proven).toMatchObject({ id: agent.answer.spiffe_id, issuer: `spiffe://${TRUST_DOMAIN}` });
    expect(proven.confirmationThumbprint).toBe(formatThumbprint(key.publicKey));
    expect(proven.expiresAt - now()).toBeLessThanOrEqual(300);
    const [event] = await eventsOf(server, "wit");
    const record = await recordOf(event?.event_id ?? "");
    expect(record).toContain(`"jti":"${proven.jti}"`);
    expect(record).toContain(`"confirmation_thumbprint":"${proven.confirmationThumbprint}"`);
    expect(record).not.toContain(answer.svid);
  });

  it("gives further tokens for the same key to the same instance, and none for it to another", async () => {
    const key = createTestSigner();
    const [first, second] = [await witOf(agent, key), await witOf(agent, key)];
    expect(first.svid).not.toBe(second.svid);
    const other = await enrolAgent(server, owner, { name: "other" });
    const stolen = await proofOf(key, other.svidSha256);
    expect(codeOf(await askWit(other, stolen))).toBe("key_reused");
    const asOwners = await proofOf(owner.signer, agent.svidSha256);
    expect(codeOf(await askWit(agent, asOwners))).toBe("key_reused");
  });

  it("refuses a proof by another key, for another SVID, or a second time", async () => {
    const key = createTestSigner();
    const byOther = await proofOf(key, agent.svidSha256, createTestSigner());
    await expectRefused(server, () => askWit(agent, byOther), "signature_invalid");
    const other = await enrolAgent(server, owner, { name: "other" });
    const forOther = await proofOf(key, other.svidSha256);
    await expectRefused(server, () => askWit(agent, forOther), "possession_invalid");
    const once = await proofOf(key, agent.svidSha256);
    parseAnswer(witSvidAnswer, await askWit(agent, once));
    await expectRefused(server, () => askWit(agent, once), "nonce_invalid");
  });

  it("says in the status list that the token is void as soon as its agent is revoked", async () => {
    const { svid } = await witOf(agent);
    const { idx, uri } = getStatusListFromJWT(svid);
    const statusOf = async () =>
      getListFromStatusListJWT((await send(server.url, { target: new URL(uri).pathname })).text).getStatus(
        idx,
      );
    expect(await statusOf()).toBe(0);
    const body = JSON.stringify({ target: { kind: "instance", id: agent.answer.instance_id } });
    await sendAdmin(server.adminSocket, { method: "POST", target: "/v1/revocations", body });
    expect(await statusOf()).toBe(1);
    const key = await proofOf(createTestSigner(), agent.svidSha256);
    await expectRefused(server, () => askWit(agent, key), "identity_revoked");
  });
});

describe("POST /v1/node/wit-svids", () => {
  it("gives tokens of the instance and of its class to the node that asked for it, and to no other", async () => {
    const node = await joinNode(server);
    const entry = await createEntry(server, owner, { name: "crawler" });
    const instance = await deliver(server, node, entry);
    const key = createTestSigner();
    const ask = async (asker: TestInstance, identity: string, svidSha256 = instance.svidSha256) => {
      const members = { instance_id: instance.answer.instance_id, identity };
      return post(server, asker, "/v1/node/wit-svids", {
        ...members,
        ...(await proofOf(key, svidSha256)),
      });
    };
    const ids = [];
    for (const identity of ["instance", "class"]) {
      const { svid, spiffe_id } = parseAnswer(witSvidAnswer, await ask(node, identity));
      expect((await verify(svid)).id).toBe(spiffe_id);
      ids.push(spiffe_id);
    }
    expect(ids).toEqual([instance.answer.spiffe_id, instance.answer.spiffe_id.replace(/\/inst-.*/, "")]);
    const twin = await joinNode(server, "host-2");
    expect((await ask(twin, "instance")).status).toBe(403);
    await expectRefused(server, () => ask(node, "instance", agent.svidSha256), "svid_mismatch");
  });
});

describe("the WIT key", () => {
  it("is rotated like a JWT key: published before it signs, and good for what it signed until it is revoked", async () => {
    const before = await witOf(agent);
    const [first] = await keysOf("wit");
    expect(codeOf(await step({ step: "rotate", kind: "wit" }))).toBe("authority_not_published");
    expect((await verify((await witOf(agent)).svid)).kid).toBe((await verify(before.svid)).kid);
    expect((await step({ step: "rotate", kind: "wit", force: true })).status).toBe(200);
    const after = await witOf(agent);
    expect((await verify(after.svid)).kid).not.toBe((await verify(before.svid)).kid);
    expect((await keysOf("wit")).map(({ state }) => state).sort()).toEqual(["active", "tainted"]);
    expect((await step({ step: "revoke", id: first?.id })).status).toBe(200);
    await expect(verify(before.svid)).rejects.toMatchObject({ code: "svid_untrusted" });
    expect((await verify(after.svid)).id).toBe(agent.answer.spiffe_id);
  });

  it("is made once, and is the same after a restart", async () => {
    const { svid } = await witOf(agent);
    await server.close();
    server = await startTestServer(WIT_ON, server.home);
    expect((await verify(svid)).id).toBe(agent.answer.spiffe_id);
    expect(await keysOf("wit")).toHaveLength(1);
    // Prepared and activated, once each.
    expect(await eventsOf(server, "authority")).toHaveLength(2);
  });
});

describe("without the setting", () => {
  const discover = async () =>
    discovery.parse(jsonOf(await send(server.url, { target: "/.well-known/trustwarden" })));

  it("no WIT-SVID is issued and no key is made for them, also where one was before", async () => {
    expect((await discover()).wit_svid).toBe(true);
    await server.close();
    server = await startTestServer({}, server.home);
    expect((await discover()).wit_svid).toBe(false);
    const proof = await proofOf(createTestSigner(), agent.svidSha256);
    expect(codeOf(await askWit(agent, proof))).toBe("wit_disabled");
    expect((await eventsOf(server, "refuse"))[0]?.reasons).toEqual(["wit_disabled"]);
    expect(codeOf(await step({ step: "prepare", kind: "wit" }))).toBe("authority_conflict");
    expect(await keysOf("wit")).toHaveLength(1);
  });
});
