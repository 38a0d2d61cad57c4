/** What the OAuth endpoints refuse, and that each refusal leaves nothing behind. */
import { randomUUID } from "node:crypto";
import { inflateSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  createOwner,
  enrolAgent,
  serverIdOf,
  signedRequest,
  spawn,
  type TestInstance,
  type TestOwner,
} from "./support/actors.ts";
import { jsonOf, type RawAnswer, send, sendAdmin } from "./support/http.ts";
import {
  ACCESS_TOKEN,
  claimsOf,
  createTestSigner,
  instanceIdOfAgent,
  JWT,
  JWT_SPIFFE,
  jwtOf,
  type OAuthServer,
  oauthErrorOf,
  postForm,
  proofFor,
  RESOURCE,
  startOAuthServer,
  TOKEN_EXCHANGE,
  tokenOf,
} from "./support/oauth.ts";

const TOKEN = "/oauth/token";
let place: OAuthServer;
let owner: TestOwner;
let agent: TestInstance;
let other: TestInstance;

beforeAll(async () => {
  place = await startOAuthServer();
  owner = await createOwner(place.server);
  agent = await enrolAgent(place.server, owner);
  other = await enrolAgent(place.server, owner, { name: "other", scope: ["read:transactions", "read:mail"] });
});
afterAll(() => place.close());

const idOf = (instance: TestInstance) => instance.answer.spiffe_id;
const basics = (instance: TestInstance) => ({
  grant_type: "client_credentials",
  client_id: idOf(instance),
  resource: RESOURCE,
});

/** Asks over the instance's certificate, with the form changed; an undefined parameter is left out. */
function ask(
  instance: TestInstance,
  changes: Readonly<Record<string, string | undefined>> = {},
): Promise<RawAnswer> {
  const form = Object.entries({ ...basics(instance), ...changes }).flatMap(([name, value]) =>
    value === undefined ? [] : [[name, value] as const],
  );
  return postForm(place.server, TOKEN, { form: Object.fromEntries(form), tls: instance.tls });
}

/** Our own code, with which the description begins. */
function ownCodeOf(answer: RawAnswer): string | undefined {
  return String(jsonOf(answer).error_description).split(":")[0];
}

/** The codes of the refusals that the ledger holds, latest first. */
async function refusals(limit = 1): Promise<readonly unknown[]> {
  const target = `/v1/events?kind=refuse&limit=${limit}`;
  const { events } = jsonOf(await sendAdmin(place.server.adminSocket, { target }));
  return Array.isArray(events) ? events.flatMap(({ reasons }) => reasons) : [];
}

describe("the token request", () => {
  it("names a grant that is served, and one resource in one spelling", async () => {
    expect(oauthErrorOf(await ask(agent))).toBe("200 undefined");
    const unserved = await ask(agent, { grant_type: "password" });
    expect([oauthErrorOf(unserved), ownCodeOf(unserved)]).toEqual([
      "400 unsupported_grant_type",
      "grant_type_unsupported",
    ]);
    expect(ownCodeOf(await ask(agent, { resource: "api" }))).toBe("target_malformed");
    for (const resource of [undefined, "api", "http://api.test", `${RESOURCE}#x`, "https://API.test"]) {
      expect(oauthErrorOf(await ask(agent, { resource }))).toBe("400 invalid_target");
    }
    for (const resource of [
      "https://a.test//x",
      "https://a.test/../x",
      "https://u@a.test",
      "https://a.test/%41",
    ]) {
      expect(oauthErrorOf(await ask(agent, { resource }))).toBe("400 invalid_target");
    }
    expect(oauthErrorOf(await ask(agent, { resource: idOf(other) }))).toBe("200 undefined");
  });

  it("is a form with each parameter once, and nothing else", async () => {
    const form = new URLSearchParams(basics(agent)).toString();
    const send = (text: string, type?: string) =>
      postForm(place.server, TOKEN, {
        form: text,
        tls: agent.tls,
        headers: type === undefined ? {} : { "content-type": type },
      });
    expect(oauthErrorOf(await send(form))).toBe("200 undefined");
    expect(oauthErrorOf(await send(`${form}&resource=https%3A%2F%2Fb.test`))).toBe("400 invalid_request");
    expect(oauthErrorOf(await send(`${form}&scope=%zz`))).toBe("400 invalid_request");
    expect(oauthErrorOf(await send(`${form}&=x`))).toBe("400 invalid_request");
    const json = JSON.stringify(basics(agent));
    expect(oauthErrorOf(await send(json, "application/json"))).toBe("400 invalid_request");
  });

  it("is the only kind of request that may be a form", async () => {
    const answer = await postForm(place.server, "/v1/jwt-svids", { form: { audience: "x" }, tls: agent.tls });
    expect([answer.status, jsonOf(answer)]).toMatchObject([400, { error: { code: "request_malformed" } }]);
  });

  it("gets what it asks for or nothing: a scope is never cut in silence", async () => {
    expect(jsonOf(await ask(agent, { scope: "read:transactions" })).scope).toBe("read:transactions");
    const answer = await ask(agent, { scope: "read:transactions delete:transactions" });
    expect(oauthErrorOf(answer)).toBe("400 invalid_scope");
    expect(String(jsonOf(answer).error_description)).toContain("delete:transactions");
    expect(oauthErrorOf(await ask(agent, { scope: "read" }))).toBe("400 invalid_scope");
    expect(await refusals(2)).toEqual(["scope_malformed", "scope_not_subset"]);
  });

  it("gives no token that whoever sees it could use", async () => {
    const form = {
      ...basics(agent),
      client_assertion_type: JWT_SPIFFE,
      client_assertion: await jwtOf(place.server, agent, place.issuer),
    };
    expect(oauthErrorOf(await postForm(place.server, TOKEN, { form }))).toBe("400 invalid_request");
    expect(await refusals()).toEqual(["token_unbound"]);
    const headers = await proofFor(place.server, createTestSigner());
    expect(oauthErrorOf(await postForm(place.server, TOKEN, { form, headers }))).toBe("200 undefined");
  });

  it("lives five minutes at most, and tells in the ledger all that the token says but the token", async () => {
    const token = await tokenOf(place.server, agent, { scope: "read:transactions" });
    const claims = claimsOf(token);
    expect(Number(claims.exp) - Number(claims.iat)).toBe(300);
    const { events } = jsonOf(
      await sendAdmin(place.server.adminSocket, { target: "/v1/events?kind=token&limit=1" }),
    );
    expect(JSON.stringify(events)).not.toContain(token.split(".")[2]);
    expect(events).toMatchObject([{ kind: "token", agent_identity: idOf(agent), outcome: "success" }]);
  });
});

describe("the client", () => {
  it("is the one of its certificate, and says so", async () => {
    expect(oauthErrorOf(await ask(agent, { client_id: idOf(other) }))).toBe("401 invalid_client");
    expect(oauthErrorOf(await ask(agent, { client_id: undefined }))).toBe("401 invalid_client");
    const form = basics(agent);
    expect(oauthErrorOf(await postForm(place.server, TOKEN, { form }))).toBe("401 invalid_client");
    expect(await refusals(3)).toEqual(["no_svid", "principal_refused", "principal_refused"]);
  });

  it("never comes with an Authorization header", async () => {
    const headers = { authorization: `Basic ${btoa("a:b")}` };
    const answer = await postForm(place.server, TOKEN, { form: basics(agent), tls: agent.tls, headers });
    expect(oauthErrorOf(answer)).toBe("401 invalid_client");
    expect(await refusals()).toEqual(["svid_bearer_refused"]);
  });

  it("asserts itself with a JWT-SVID for this issuer alone, of an instance that lives", async () => {
    const key = createTestSigner();
    const assert = async (changes: Readonly<Record<string, string>>) =>
      oauthErrorOf(
        await postForm(place.server, TOKEN, {
          form: { ...basics(agent), client_assertion_type: JWT_SPIFFE, ...changes },
          headers: await proofFor(place.server, key),
        }),
      );
    const good = await jwtOf(place.server, agent, place.issuer);
    expect(await assert({ client_assertion: good })).toBe("200 undefined");
    const elsewhere = await jwtOf(place.server, agent, place.web);
    expect(await assert({ client_assertion: elsewhere })).toBe("401 invalid_client");
    expect(await refusals()).toEqual(["svid_audience"]);
    const others = await jwtOf(place.server, other, place.issuer);
    expect(await assert({ client_assertion: others })).toBe("401 invalid_client");
    const type = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
    expect(await assert({ client_assertion: good, client_assertion_type: type })).toBe("400 invalid_request");
    const token = await tokenOf(place.server, agent, { resource: place.issuer });
    expect(await assert({ client_assertion: token })).toBe("401 invalid_client");
    expect(await refusals()).toEqual(["svid_malformed"]);
  });

  it("has its assertion to itself: copied, it is of no use with another key", async () => {
    const [mine, theirs] = [createTestSigner(), createTestSigner()];
    const client_assertion = await jwtOf(place.server, agent, place.issuer);
    const form = { ...basics(agent), client_assertion_type: JWT_SPIFFE, client_assertion };
    const assert = async (key: typeof mine) =>
      oauthErrorOf(await postForm(place.server, TOKEN, { form, headers: await proofFor(place.server, key) }));
    expect(await assert(mine)).toBe("200 undefined");
    expect(await assert(mine)).toBe("200 undefined");
    expect(await assert(theirs)).toBe("401 invalid_client");
    expect(await refusals()).toEqual(["client_assertion_replayed"]);
  });

  it("does not bind a token to somebody else's key", async () => {
    const headers = await proofFor(place.server, other.signer);
    const answer = await postForm(place.server, TOKEN, { form: basics(agent), tls: agent.tls, headers });
    expect(oauthErrorOf(answer)).toBe("409 unauthorized_client");
    const own = await proofFor(place.server, agent.signer);
    const bound = await postForm(place.server, TOKEN, { form: basics(agent), tls: agent.tls, headers: own });
    expect(jsonOf(bound).token_type).toBe("DPoP");
  });
});

describe("a DPoP proof", () => {
  const key = createTestSigner();
  const show = async (headers: { readonly dpop: string }) =>
    postForm(place.server, TOKEN, { form: basics(agent), tls: agent.tls, headers });
  const now = () => Math.floor(Date.now() / 1000);

  it("is for this method, this URL and this minute", async () => {
    const { server } = place;
    const url = `${server.url}${TOKEN}`;
    expect((await show(await proofFor(server, key))).status).toBe(200);
    for (const wrong of [
      { method: "GET" },
      { url: `${server.url}/oauth/revoke` },
      { url: `${server.url}${TOKEN}?x=1` },
      { url: url.replace(/:\d+/, ":9") },
      { now: now() - 62 },
      { now: now() + 12 },
      { accessToken: "x.y.z" },
    ]) {
      const answer = await show(await proofFor(server, key, wrong));
      expect([wrong, oauthErrorOf(answer)]).toEqual([wrong, "400 invalid_dpop_proof"]);
      expect(await refusals()).toEqual(["dpop_invalid"]);
    }
    for (const near of [{ now: now() - 57 }, { now: now() + 8 }]) {
      expect((await show(await proofFor(server, key, near))).status).toBe(200);
    }
  });

  it("carries a nonce of ours, which every answer tells", async () => {
    const { server } = place;
    const without = await show(await proofFor(server, key, { nonce: "AAAA" }));
    expect([oauthErrorOf(without), ownCodeOf(without)]).toEqual(["400 use_dpop_nonce", "dpop_nonce_missing"]);
    expect(String(without.headers["dpop-nonce"])).toMatch(/^[A-Za-z0-9_-]{40,}$/);
    const nonce = String(without.headers["dpop-nonce"]);
    expect((await show(await proofFor(server, key, { nonce }))).status).toBe(200);
    // One nonce serves many requests of a client; each proof still counts once.
    expect((await show(await proofFor(server, key, { nonce }))).status).toBe(200);
  });

  it("counts once, in either spelling of its signature", async () => {
    const proof = await proofFor(place.server, key, { jti: randomUUID() });
    expect((await show(proof)).status).toBe(200);
    expect(oauthErrorOf(await show(proof))).toBe("400 invalid_dpop_proof");
    expect(await refusals()).toEqual(["dpop_replayed"]);
    const [head, body, signature = ""] = proof.dpop.split(".");
    const order = BigInt("0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551");
    const bytes = Buffer.from(signature, "base64url");
    const s = BigInt(`0x${bytes.subarray(32).toString("hex")}`);
    const respelled = Buffer.concat([
      bytes.subarray(0, 32),
      Buffer.from((order - s).toString(16).padStart(64, "0"), "hex"),
    ]);
    await show({ dpop: [head, body, respelled.toString("base64url")].join(".") });
    expect(await refusals()).toEqual(["dpop_replayed"]);
  });
});

describe("token exchange", () => {
  const exchange = (instance: TestInstance, changes: Readonly<Record<string, string | undefined>>) =>
    ask(instance, { grant_type: TOKEN_EXCHANGE, subject_token_type: ACCESS_TOKEN, ...changes });
  const forOther = (scope?: string) =>
    tokenOf(place.server, agent, { resource: idOf(other), ...(scope === undefined ? {} : { scope }) });

  it("is for the one that the token was meant for", async () => {
    const subject_token = await forOther("read:transactions");
    expect((await exchange(other, { subject_token })).status).toBe(200);
    const third = await enrolAgent(place.server, owner, { name: "third" });
    expect(oauthErrorOf(await exchange(third, { subject_token }))).toBe("400 invalid_request");
    const elsewhere = await tokenOf(place.server, agent);
    expect(oauthErrorOf(await exchange(other, { subject_token: elsewhere }))).toBe("400 invalid_request");
    expect(await refusals(2)).toEqual(["subject_token_refused", "subject_token_refused"]);
  });

  it("widens nothing: not beyond the token, not beyond its subject, not beyond the actor", async () => {
    const all = await forOther();
    // The actor may read mail, the subject may not.
    expect(oauthErrorOf(await exchange(other, { subject_token: all, scope: "read:mail" }))).toBe(
      "400 invalid_scope",
    );
    // The subject may write, the actor may not; and by default all of the token is asked for.
    expect(oauthErrorOf(await exchange(other, { subject_token: all, scope: "write:reports" }))).toBe(
      "400 invalid_scope",
    );
    expect(oauthErrorOf(await exchange(other, { subject_token: all }))).toBe("400 invalid_scope");
    const narrow = await forOther("read:transactions:2026");
    expect(oauthErrorOf(await exchange(other, { subject_token: narrow, scope: "read:transactions" }))).toBe(
      "400 invalid_scope",
    );
    const fits = await exchange(other, { subject_token: narrow, scope: "read:transactions:2026" });
    expect(jsonOf(fits).scope).toBe("read:transactions:2026");
  });

  it("takes no actor but the client", async () => {
    const subject_token = await forOther("read:transactions");
    const actor = async (instance: TestInstance) => ({
      actor_token: await jwtOf(place.server, instance, place.issuer),
      actor_token_type: JWT,
    });
    expect((await exchange(other, { subject_token, ...(await actor(other)) })).status).toBe(200);
    expect(oauthErrorOf(await exchange(other, { subject_token, ...(await actor(agent)) }))).toBe(
      "400 invalid_request",
    );
    expect(oauthErrorOf(await exchange(other, { subject_token, actor_token: "x" }))).toBe(
      "400 invalid_request",
    );
  });

  it("keeps the actors in order and lets the present one alone be exchanged by its own key", async () => {
    const first = await forOther("read:transactions");
    const child = await spawn(place.server, agent, { name: "third-party", scope: ["read:transactions"] });
    const second = await exchange(other, { subject_token: first, resource: idOf(child) });
    const third = await exchange(child, { subject_token: String(jsonOf(second).access_token) });
    const token = String(jsonOf(third).access_token);
    expect(claimsOf(token)).toMatchObject({
      sub: idOf(agent),
      act: { sub: idOf(child), act: { sub: idOf(other) } },
    });
    const narrower = await exchange(child, { subject_token: token, scope: "read:transactions:2026" });
    expect(claimsOf(String(jsonOf(narrower).access_token)).act).toEqual(claimsOf(token).act);
    const bound = await tokenOf(place.server, child, { key: createTestSigner() });
    expect(oauthErrorOf(await exchange(child, { subject_token: bound }))).toBe("400 invalid_request");
  });

  it("ends with the token that it came from, and with everybody whom it names", async () => {
    const doomed = await enrolAgent(place.server, owner, { name: "doomed" });
    const given = await tokenOf(place.server, doomed, { resource: idOf(other), scope: "read:transactions" });
    const answer = await exchange(other, { subject_token: given });
    const token = String(jsonOf(answer).access_token);
    const aud = await serverIdOf(place.server);
    const body = JSON.stringify({ target: { kind: "instance", id: instanceIdOfAgent(doomed) } });
    const stop = { method: "POST", target: "/v1/revocations", body, action: "revoke:instance", aud };
    expect((await send(place.server.url, signedRequest(doomed, stop), doomed.tls)).status).toBe(200);
    const form = { client_id: idOf(other), token };
    const known = await postForm(place.server, "/oauth/introspect", { form, tls: other.tls });
    expect(jsonOf(known)).toEqual({ active: false });
    expect(oauthErrorOf(await exchange(other, { subject_token: given }))).toBe("400 invalid_request");
  });
});

describe("introspection and revocation", () => {
  const about = (target: string, instance: TestInstance, token: string) =>
    postForm(place.server, `/oauth/${target}`, {
      form: { client_id: idOf(instance), token },
      tls: instance.tls,
    });

  it("tell nothing of another's token, and void none", async () => {
    const token = await tokenOf(place.server, agent);
    expect(jsonOf(await about("introspect", other, token))).toEqual({ active: false });
    expect(oauthErrorOf(await about("revoke", other, token))).toBe("400 unauthorized_client");
    expect(jsonOf(await about("introspect", agent, token)).active).toBe(true);
  });

  it("void once, however many ask at the same time, and tell each that it is done", async () => {
    const token = await tokenOf(place.server, agent);
    const answers = await Promise.all(Array.from({ length: 8 }, () => about("revoke", agent, token)));
    expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 200));
    expect(jsonOf(await about("introspect", agent, token))).toEqual({ active: false });
  });

  it("void by jti: the other spelling of a revoked token is revoked too, and so is its place in the list", async () => {
    const token = await tokenOf(place.server, agent);
    const listed = async () => {
      const { uri, idx } = Object(claimsOf(token).status).status_list;
      const list = (await send(place.web, { target: new URL(uri).pathname })).text;
      const bits = inflateSync(Buffer.from(Object(claimsOf(list).status_list).lst, "base64url"));
      return ((bits[idx >> 3] ?? 0) >> (idx & 7)) & 1;
    };
    expect(await listed()).toBe(0);
    expect((await about("revoke", agent, token)).status).toBe(200);
    expect((await about("revoke", agent, token)).status).toBe(200);
    expect((await about("revoke", agent, "no token at all")).status).toBe(200);
    expect(jsonOf(await about("introspect", agent, token))).toEqual({ active: false });
    expect(await listed()).toBe(1);
  });
});
