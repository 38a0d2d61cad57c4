/** Agents at the gateway that know only OAuth: a token, a proof of its key, and a signature over what they write. */
import { randomUUID } from "node:crypto";
import { encodeUtf8 } from "@trustwarden/core/bytes.ts";
import { formatContentDigest } from "@trustwarden/core/http-signature.ts";
import * as oauth from "oauth4webapi";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createAdminTransport } from "../cli/admin-transport.ts";
import { createClient } from "../cli/client.ts";
import { createTemporaryExport } from "../cli/temporary-export.ts";
import { auditDirectory } from "../cli/verify-directory.ts";
import { createOwner, enrolAgent, spawn, type TestInstance, type TestOwner } from "./support/actors.ts";
import { provenEventsOf } from "./support/evidence.ts";
import { codeOf, jsonOf, send, sendAdmin } from "./support/http.ts";
import { startFakeModel } from "./support/model/fake-model.ts";
import { registerModel } from "./support/model/gateway-llm.ts";
import {
  ACCESS_TOKEN,
  createTestSigner,
  fetchOver,
  postForm,
  proofFor,
  TOKEN_EXCHANGE,
  tokenOf,
} from "./support/oauth.ts";
import {
  type Received,
  type Shop,
  type Shown,
  show as showPresented,
  startShop,
  WRITE,
} from "./support/presented.ts";
import { eventsOf, expectRefused } from "./support/refusals.ts";
import { startTestServer, type TestServer } from "./support/server.ts";

let server: TestServer;
let gateway: string;
let owner: TestOwner;
let agent: TestInstance;
let shopping: Shop;
let seen: Received[] = [];
const key = createTestSigner();

beforeAll(async () => {
  server = await startTestServer({ gateway: { port: 0 } });
  gateway = server.gatewayUrl ?? "";
  owner = await createOwner(server);
  agent = await enrolAgent(server, owner, { scope: ["read:items", "write:items"] });
  shopping = await startShop(server);
  seen = shopping.received;
});
afterAll(async () => {
  await server.close();
  shopping.close();
  server.home.remove();
});

const shop = () => `${gateway}/shop`;
const tokenFor = (by = agent, scope = "read:items write:items", bound = key) =>
  tokenOf(server, by, { resource: shop(), scope, key: bound });

/** base64 in its other spelling: the last character before the padding carries two bits that mean nothing. */
const respelled = (digest: string) =>
  digest.replace(/.(?==:$)/, (last) => String.fromCharCode(last.charCodeAt(0) + 1));

const show = (shown: Omit<Shown, "signer"> & Partial<Shown>) =>
  showPresented(gateway, { signer: key, ...shown });

describe("a model behind the gateway", () => {
  it("answers a caller with a token too; the outcome commits to nothing, since nobody made a salt", async () => {
    const model = await startFakeModel();
    try {
      await registerModel(server, model, "openai");
      const thinker = await enrolAgent(server, owner, {
        name: "thinker",
        scope: ["infer:llm:openai/**", "read:x"],
      });
      const resource = `${gateway}/openai`;
      const token = await tokenOf(server, thinker, { resource, scope: "infer:llm:openai/**", key });
      const body = JSON.stringify({ model: "gpt-test", messages: [{ role: "user", content: "hello" }] });
      const target = "/openai/v1/chat/completions";
      const headers = { "content-type": "application/json" };
      const answer = await show({ token, method: "POST", target, body, headers });
      expect(answer.status).toBe(200);
      const calls = await eventsOf(server, "action");
      expect(calls.find(({ action }) => action === "infer:llm:openai/gpt-test")).toMatchObject({
        outcome: "success",
      });
    } finally {
      await model.close();
    }
  });
});

describe("a client that nobody here wrote", () => {
  it("finds the authorization server by the challenge, and reads with a DPoP-bound token", async () => {
    const target = "/shop/items/7";
    const refused = await send(gateway, { target });
    const [, place = ""] =
      /resource_metadata="([^"]+)"/.exec(String(refused.headers["www-authenticate"])) ?? [];
    expect([refused.status, place]).toEqual([401, `${gateway}/.well-known/oauth-protected-resource/shop`]);
    const options = { [oauth.customFetch]: fetchOver() };
    const found = await oauth.processResourceDiscoveryResponse(
      new URL(shop()),
      await oauth.resourceDiscoveryRequest(new URL(shop()), options),
    );
    expect(found.authorization_servers).toEqual(["https://acme.test/oauth"]);
    const who: oauth.Client = { client_id: agent.answer.spiffe_id };
    const pair = await oauth.generateKeyPair("ES256");
    const DPoP = oauth.DPoP(who, pair);
    const as = { issuer: "https://acme.test/oauth", token_endpoint: `${server.url}/oauth/token` };
    const ask = async () =>
      oauth.processClientCredentialsResponse(
        as,
        who,
        await oauth.clientCredentialsGrantRequest(
          as,
          who,
          oauth.TlsClientAuth(),
          { resource: shop(), scope: "read:items" },
          { DPoP, [oauth.customFetch]: fetchOver(agent.tls) },
        ),
      );
    await ask().catch(() => undefined);
    const { access_token } = await ask();
    const read = () =>
      oauth.protectedResourceRequest(
        access_token,
        "GET",
        new URL(`${gateway}${target}`),
        undefined,
        undefined,
        {
          DPoP,
          ...options,
        },
      );
    const first = await read().catch((error: unknown) => error);
    expect(oauth.isDPoPNonceError(first)).toBe(true);
    seen.length = 0;
    const answer = await read();
    expect([answer.status, await answer.text()]).toEqual([200, "done"]);
    // Its own credentials are not passed on (F11).
    expect([seen[0]?.headers.authorization, seen[0]?.headers.dpop]).toEqual([undefined, undefined]);
    expect(answer.headers.get("trustwarden-receipt")).toBeTypeOf("string");
    expect(answer.headers.get("dpop-nonce")).toBeTypeOf("string");
  });
});

describe("a presented proof", () => {
  it("is for this method, this URL, this token and this minute, once", async () => {
    seen.length = 0;
    const token = await tokenFor();
    const other = await tokenFor();
    const now = Math.floor(Date.now() / 1000);
    const url = `${gateway}/shop/items/2`;
    for (const proof of [
      { method: "POST" },
      { url },
      { accessToken: other },
      { now: now - 70 },
      { now: now + 30 },
    ]) {
      await expectRefused(server, () => show({ token, proof }), "dpop_invalid");
    }
    const stale = await show({ token, proof: { nonce: "AAAA" } });
    expect([stale.status, stale.headers["www-authenticate"]]).toMatchObject([
      401,
      expect.stringContaining("use_dpop_nonce"),
    ]);
    const jti = randomUUID();
    expect(seen).toEqual([]);
    expect((await show({ token, proof: { jti } })).status).toBe(200);
    await expectRefused(server, () => show({ token, proof: { jti } }), "dpop_replayed");
    expect(seen.length).toBe(1);
  });

  it("is by the key of the token, and the token is for this upstream", async () => {
    seen.length = 0;
    const token = await tokenFor();
    await expectRefused(server, () => show({ token, signer: createTestSigner() }), "access_token_unbound");
    await expectRefused(server, () => show({ token, target: "/mill/items/1" }), "access_token_audience");
    const elsewhere = await tokenOf(server, agent, { resource: "https://api.test", key });
    await expectRefused(server, () => show({ token: elsewhere }), "access_token_audience");
    const certified = await tokenOf(server, agent, { resource: shop() });
    await expectRefused(server, () => show({ token: certified }), "access_token_unbound");
    await expectRefused(server, () => show({ token: "a.b.c" }), "access_token_invalid");
    const bearer = { authorization: `Bearer ${token}` };
    await expectRefused(server, () => show({ token, headers: bearer }), "svid_bearer_refused");
    expect(seen).toEqual([]);
  });

  it("buys what the token's scope covers, and what its chain still does", async () => {
    const token = await tokenFor(agent, "read:items:1");
    expect((await show({ token })).status).toBe(200);
    const denied = await show({ token, target: "/shop/items/2" });
    expect([denied.status, codeOf(denied)]).toEqual([403, "denied"]);
    const brief = await enrolAgent(server, owner, { name: "brief", scope: ["read:items"] });
    const bound = createTestSigner();
    const given = await tokenFor(brief, "read:items", bound);
    expect((await show({ token: given, signer: bound })).status).toBe(200);
    const form = { client_id: brief.answer.spiffe_id, token: given };
    await postForm(server, "/oauth/revoke", { form, tls: brief.tls });
    await expectRefused(server, () => show({ token: given, signer: bound }), "access_token_revoked");
  });

  it("is cut while its answer streams when its token is revoked, and not by the end of another", async () => {
    const [token, other] = [await tokenFor(), await tokenFor()];
    let isOpen = true;
    const ended = show({ token, target: "/shop/items/stream" }).finally(() => {
      isOpen = false;
    });
    // Awaited below; a stream that ends before is seen by `isOpen`.
    ended.catch(() => undefined);
    await expect.poll(() => seen.some(({ url }) => url === "/items/stream")).toBe(true);
    const revoke = async (given: string) => {
      const form = { client_id: agent.answer.spiffe_id, token: given };
      expect((await postForm(server, "/oauth/revoke", { form, tls: agent.tls })).status).toBe(200);
    };
    await revoke(other);
    expect((await show({ token })).status).toBe(200);
    expect(isOpen).toBe(true);
    await revoke(token);
    await expect(ended).rejects.toThrow();
    const outcome = async () =>
      (await eventsOf(server, "action")).find(({ action }) => action === "read:items:stream")?.outcome;
    await expect.poll(outcome).toBe("aborted");
  });

  it("acts in the delegator's name within both scopes, and ends with the delegator", async () => {
    const child = await spawn(server, agent, { name: "reader", scope: ["read:items"] });
    const boss = await enrolAgent(server, owner, { name: "boss", scope: ["read:items:1", "read:mail"] });
    const subject_token = await tokenOf(server, boss, {
      resource: child.answer.spiffe_id,
      scope: "read:items:1",
    });
    const bound = createTestSigner();
    const form = {
      grant_type: TOKEN_EXCHANGE,
      client_id: child.answer.spiffe_id,
      subject_token,
      subject_token_type: ACCESS_TOKEN,
      resource: shop(),
    };
    const headers = await proofFor(server, bound);
    const exchanged = await postForm(server, "/oauth/token", { form, tls: child.tls, headers });
    const token = String(jsonOf(exchanged).access_token);
    expect((await show({ token, signer: bound })).status).toBe(200);
    expect(codeOf(await show({ token, signer: bound, target: "/shop/items/2" }))).toBe("denied");
    const body = JSON.stringify({ target: { kind: "instance", id: boss.answer.instance_id }, reason: "x" });
    await sendAdmin(server.adminSocket, { method: "POST", target: "/v1/revocations", body });
    await expectRefused(server, () => show({ token, signer: bound }), "identity_revoked");
  });
});

describe("a write", () => {
  it("is signed as a whole by the key of the token, and left in the ledger as an intent would be", async () => {
    seen.length = 0;
    const token = await tokenFor();
    const answer = await show({ token, ...WRITE, message: key });
    expect([answer.status, answer.text]).toEqual([200, "done"]);
    expect(seen.map(({ body }) => body)).toEqual([WRITE.body]);
    const [event] = (await eventsOf(server, "action")).filter(({ action }) => action === "write:items");
    expect(event).toMatchObject({
      agent_identity: agent.answer.spiffe_id,
      resource: "shop://items",
      outcome: "success",
      enforcement: "gateway",
      class: "B",
    });
    expect(event?.indexes.length).toBe(3);
  });

  it("is refused unsigned, signed by another key, or changed on the way", async () => {
    seen.length = 0;
    const token = await tokenFor();
    const unsigned = await show({ token, ...WRITE });
    expect([unsigned.status, codeOf(unsigned)]).toEqual([400, "message_signature_missing"]);
    const changes: readonly Partial<Shown>[] = [
      { message: createTestSigner() },
      {
        message: key,
        headers: { "content-digest": "sha-256=:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=:" },
      },
      // The same bytes, spelled with spare bits.
      { message: key, headers: { "content-digest": respelled(formatContentDigest(encodeUtf8(WRITE.body))) } },
      { message: key, headers: { signature: "sig=:AAAA:" } },
    ];
    for (const change of changes) {
      const answer = await show({ token, ...WRITE, ...change });
      expect([answer.status, codeOf(answer)]).toEqual([400, "message_signature_invalid"]);
    }
    expect(seen).toEqual([]);
    const [event] = await eventsOf(server, "refuse");
    expect(event?.reasons).toEqual(["message_signature_invalid"]);
  });
});

describe("the offline audit", () => {
  it("proves again what was presented, from the log alone", async () => {
    await expect
      .poll(async () => {
        const client = createClient(createAdminTransport(server.adminSocket));
        const exported = await createTemporaryExport(client);
        try {
          const audit = { directory: exported.directory, vkey: undefined, olderCheckpoint: undefined };
          const report = await auditDirectory(audit);
          return { findings: report.findings, presented: report.records["presented-intent"] > 3 };
        } finally {
          exported.remove();
        }
      })
      .toEqual({ findings: [], presented: true });
  });
});

describe("an evidence bundle of a call with an access token", () => {
  it("holds the token's issuance, so that what was presented is proven again", async () => {
    const actions = await eventsOf(server, "action");
    const ids = actions.filter(({ outcome }) => outcome === "success").map(({ event_id }) => event_id);
    expect(ids.length).toBeGreaterThan(3);
    for (const id of ids) expect(await provenEventsOf(server, id)).toEqual([id]);
  });
});
