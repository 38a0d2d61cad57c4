/** WIT-SVIDs as credentials: at the gateway with a workload proof, at the token endpoint with an attestation proof. */
import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createAdminTransport } from "../cli/admin-transport.ts";
import { createClient } from "../cli/client.ts";
import { createTemporaryExport } from "../cli/temporary-export.ts";
import { auditDirectory } from "../cli/verify-directory.ts";
import { createOwner, enrolAgent, type TestInstance, type TestOwner } from "./support/actors.ts";
import { provenEventsOf } from "./support/evidence.ts";
import { codeOf, jsonOf, sendAdmin } from "./support/http.ts";
import { claimsOf, createTestSigner, oauthErrorOf, postForm, proofFor, RESOURCE } from "./support/oauth.ts";
import { type Shop, startShop } from "./support/presented.ts";
import { eventsOf, expectRefused } from "./support/refusals.ts";
import { startTestServer, type TestServer } from "./support/server.ts";
import { attestationFor, type ShownWit, showWit, type TestWit, WIT_ON, witOf } from "./support/wit.ts";

const ISSUER = "https://acme.test/oauth";
let server: TestServer;
let gateway: string;
let owner: TestOwner;
let agent: TestInstance;
let shop: Shop;
let wit: TestWit;

beforeAll(async () => {
  server = await startTestServer({ gateway: { port: 0 }, ...WIT_ON });
  gateway = server.gatewayUrl ?? "";
  owner = await createOwner(server);
  agent = await enrolAgent(server, owner, { scope: ["read:items", "write:items"] });
  shop = await startShop(server);
  wit = await witOf(server, agent);
});
afterAll(async () => {
  await server.close();
  shop.close();
  server.home.remove();
});

const show = (changes: Partial<ShownWit> = {}) => showWit(gateway, { ...wit, ...changes });
const WRITE = { method: "POST", target: "/shop/items", body: '{"n":1}' };

describe("a WIT-SVID at the gateway", () => {
  it("is a credential with its proof: a read and a write, each recorded with what was presented", async () => {
    shop.received.length = 0;
    const read = await show();
    expect([read.status, read.text]).toEqual([200, "done"]);
    expect(String(read.headers["accept-signature"])).toContain('nonce="');
    expect((await show({ target: "/shop/items/1?q=2" })).status).toBe(200);
    expect((await show(WRITE)).status).toBe(200);
    // Its own credentials are not passed on (F11).
    const seen = JSON.stringify(shop.received);
    expect([seen.includes(wit.token), seen.includes("authorization")]).toEqual([false, false]);
    const [event] = (await eventsOf(server, "action")).filter(({ action }) => action === "write:items");
    expect(event).toMatchObject({ agent_identity: agent.answer.spiffe_id, outcome: "success", class: "B" });
  });

  it("is nothing alone, and proves nobody by a bearer's word", async () => {
    const token = wit.token;
    await expectRefused(
      server,
      () => show({ headers: { authorization: `Bearer ${token}` } }),
      "svid_bearer_refused",
    );
    await expectRefused(server, () => show({ headers: { authorization: "WPT" } }), "wpt_invalid");
    await expectRefused(server, () => show({ headers: { authorization: `WPT ${token}` } }), "wpt_invalid");
    await expectRefused(server, () => show({ headers: { "workload-identity-token": "" } }), "svid_malformed");
    const none = { "workload-identity-token": `${token.slice(0, -5)}AAAAA` };
    await expectRefused(server, () => show({ headers: none }), "svid_untrusted");
  });

  it("has a proof for this URL, this token and this minute, which counts once", async () => {
    const now = Math.floor(Date.now() / 1000);
    const other = await witOf(server, await enrolAgent(server, owner, { name: "other" }));
    for (const proof of [
      { url: `${gateway}/shop/items/2` },
      { url: "https://elsewhere.test/shop/items/1" },
      { wit: other.token },
      { now: now - 62 },
      { now: now + 600 },
      { signer: other.key },
    ]) {
      await expectRefused(server, () => show({ proof }), "wpt_invalid");
    }
    const proof = { jti: randomUUID() };
    expect((await show({ proof })).status).toBe(200);
    await expectRefused(server, () => show({ proof }), "wpt_replayed");
  });

  it("is signed as a whole: method, query and body are those of the signature", async () => {
    shop.received.length = 0;
    const changes: readonly Partial<ShownWit>[] = [
      { ...WRITE, method: "GET", sentMethod: "POST" },
      { target: "/shop/items/1?q=1", sentTarget: "/shop/items/1?q=2" },
      { ...WRITE, sentBody: '{"n":2}' },
      { message: createTestSigner() },
    ];
    for (const change of changes) {
      const answer = await show(change);
      expect([change, answer.status, codeOf(answer)]).toEqual([change, 400, "message_signature_invalid"]);
    }
    const unsigned = await show({ message: null });
    expect([unsigned.status, codeOf(unsigned)]).toEqual([400, "message_signature_missing"]);
    expect(shop.received).toEqual([]);
  });

  it("carries a nonce of this server, which each refusal tells", async () => {
    const stale = await show({ nonce: "AAAA" });
    expect([stale.status, codeOf(stale)]).toEqual([400, "signature_nonce_missing"]);
    const [, nonce = ""] = /nonce="([^"]+)"/.exec(String(stale.headers["accept-signature"])) ?? [];
    expect((await show({ nonce })).status).toBe(200);
    expect(String(stale.headers["www-authenticate"])).toContain(", WPT");
  });

  it("buys what its chain covers, for as long as its instance lives", async () => {
    const brief = await enrolAgent(server, owner, { name: "brief", scope: ["read:items:1"] });
    const own = await witOf(server, brief);
    expect((await show(own)).status).toBe(200);
    const denied = await show({ ...own, target: "/shop/items/2" });
    expect([denied.status, codeOf(denied)]).toEqual([403, "denied"]);
    const body = JSON.stringify({ target: { kind: "instance", id: brief.answer.instance_id }, reason: "x" });
    await sendAdmin(server.adminSocket, { method: "POST", target: "/v1/revocations", body });
    await expectRefused(server, () => show(own), "identity_revoked");
  });

  it("is proven again by the offline audit, from the log alone", async () => {
    await expect
      .poll(async () => {
        const exported = await createTemporaryExport(createClient(createAdminTransport(server.adminSocket)));
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

describe("an evidence bundle of a call with a WIT-SVID", () => {
  it("holds the token's issuance, so that what was presented is proven again", async () => {
    const [event] = (await eventsOf(server, "action")).filter(({ action }) => action === "write:items");
    const id = String(event?.event_id);
    expect(await provenEventsOf(server, id)).toEqual([id]);
  });
});

describe("a WIT-SVID at the token endpoint", () => {
  const form = () => ({
    grant_type: "client_credentials",
    client_id: agent.answer.spiffe_id,
    resource: RESOURCE,
  });
  const ask = (headers: Readonly<Record<string, string>>, changes: object = {}) =>
    postForm(server, "/oauth/token", { form: { ...form(), ...changes }, headers });

  it("is a client, and its token is bound to its key", async () => {
    const answer = await ask(attestationFor(ISSUER, agent, wit), { client_id: "" });
    expect(jsonOf(answer)).toMatchObject({ token_type: "DPoP" });
    const metadata = await sendAdmin(server.adminSocket, {
      target: "/.well-known/oauth-authorization-server/oauth",
    });
    expect(jsonOf(metadata).token_endpoint_auth_methods_supported).toContain("spiffe_wit");
    const dpop = await proofFor(server, wit.key);
    const bound = await ask({ ...attestationFor(ISSUER, agent, wit), ...dpop });
    expect(Object(claimsOf(String(jsonOf(bound).access_token)).cnf).jkt).toBe(
      Object(claimsOf(String(jsonOf(answer).access_token)).cnf).jkt,
    );
  });

  it("has a proof for this issuer and this minute, by its own key, once", async () => {
    const now = Math.floor(Date.now() / 1000);
    const changes = [
      { audience: "https://acme.test" },
      { now: now - 63 },
      { now: now + 600 },
      { signer: createTestSigner() },
    ];
    for (const change of changes) {
      expect(oauthErrorOf(await ask(attestationFor(ISSUER, agent, wit, change)))).toBe("401 invalid_client");
      expect((await eventsOf(server, "refuse"))[0]?.reasons).toEqual(["client_attestation_invalid"]);
    }
    const headers = attestationFor(ISSUER, agent, wit);
    expect((await ask(headers)).status).toBe(200);
    expect(oauthErrorOf(await ask(headers))).toBe("401 invalid_client");
    expect((await eventsOf(server, "refuse"))[0]?.reasons).toEqual(["client_attestation_replayed"]);
  });

  it("is nobody else, comes with no second credential, and with no key but its own", async () => {
    const attested = () => attestationFor(ISSUER, agent, wit);
    expect(oauthErrorOf(await ask(attested(), { client_id: "spiffe://acme.test/other" }))).toBe(
      "401 invalid_client",
    );
    const { "oauth-client-attestation": alone } = attested();
    expect(oauthErrorOf(await ask({ "oauth-client-attestation": alone ?? "" }))).toBe("401 invalid_client");
    const assertion = { client_assertion: "a.b.c", client_assertion_type: "x" };
    expect(oauthErrorOf(await ask(attested(), assertion))).toBe("400 invalid_request");
    const dpop = await proofFor(server, createTestSigner());
    expect(oauthErrorOf(await ask({ ...attested(), ...dpop }))).toBe("400 invalid_dpop_proof");
  });
});

describe("without the setting", () => {
  it("a WIT-SVID is refused by its own code, at both places", async () => {
    const off = await startTestServer({ gateway: { port: 0 } });
    const stranger = await enrolAgent(off, await createOwner(off), { scope: ["read:items"] });
    const offShop = await startShop(off);
    try {
      const answer = await showWit(off.gatewayUrl ?? "", { ...wit, nonce: "AAAA" });
      expect([answer.status, codeOf(answer)]).toEqual([404, "wit_disabled"]);
      expect((await eventsOf(off, "refuse"))[0]?.reasons).toEqual(["wit_disabled"]);
      const form = {
        grant_type: "client_credentials",
        client_id: stranger.answer.spiffe_id,
        resource: RESOURCE,
      };
      const headers = attestationFor(ISSUER, stranger, wit);
      const token = await postForm(off, "/oauth/token", { form, headers });
      expect(String(jsonOf(token).error_description)).toContain("wit_disabled");
    } finally {
      await off.close();
      offShop.close();
      off.home.remove();
    }
  });
});
