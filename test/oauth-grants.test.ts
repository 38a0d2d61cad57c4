/** Grants across authorization servers: those of an identity provider that count here, and ours that count elsewhere. */
import { randomUUID } from "node:crypto";
import { createRemoteJWKSet, customFetch as joseFetch, jwtVerify } from "jose";
import * as oauth from "oauth4webapi";
import * as client from "openid-client";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createOwner, enrolAgent, type TestInstance, type TestOwner } from "./support/actors.ts";
import { jsonOf, type RawAnswer } from "./support/http.ts";
import {
  type GrantClaims,
  ID_JAG,
  ID_JAG_TYPE,
  type IdentityProvider,
  JWT_BEARER,
  startIdentityProvider,
} from "./support/identity-provider.ts";
import {
  ACCESS_TOKEN,
  claimsOf,
  createTestSigner,
  fetchOver,
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
import { eventsOf } from "./support/refusals.ts";

const TOKEN = "/oauth/token";
const ALICE = "alice@acme.example";
const OWNER = "owner-of-alice";
const OTHER = "owner-of-bob";
const CHAT = "https://chat.example";
const CHAT_API = "https://api.chat.example";

let place: OAuthServer;
let idp: IdentityProvider;
let owner: TestOwner;
let agent: TestInstance;
let stranger: TestInstance;
let as: oauth.AuthorizationServer;

beforeAll(async () => {
  idp = await startIdentityProvider();
  const keys = { jwks: { url: idp.keysUrl, allowPrivate: true } };
  const owners = { [ALICE]: OWNER, bob: OTHER };
  place = await startOAuthServer({
    oauth: {
      grantIssuers: [{ issuer: idp.issuer, keys, owners }],
      grantAudiences: [
        {
          issuer: CHAT,
          resources: [CHAT_API],
          scopes: {
            "chat.read": ["read:transactions"],
            "chat.write": ["write:reports", "read:transactions"],
          },
        },
        {
          issuer: "https://named.example",
          resources: [CHAT_API],
          clientId: "our-agents",
          scopes: { r: ["read:mail"] },
        },
      ],
    },
  });
  owner = await createOwner(place.server, OWNER);
  const other = await createOwner(place.server, OTHER);
  agent = await enrolAgent(place.server, owner);
  stranger = await enrolAgent(place.server, other, { name: "stranger" });
  const issuer = new URL(place.issuer);
  const options = { algorithm: "oauth2", [oauth.customFetch]: fetchOver() } as const;
  as = await oauth.processDiscoveryResponse(issuer, await oauth.discoveryRequest(issuer, options));
});
afterAll(async () => {
  await place.close();
  idp.close();
});

const idOf = (instance: TestInstance) => instance.answer.spiffe_id;
const grantFor = (changes: GrantClaims = {}, header: GrantClaims = {}) =>
  idp.grant(
    {
      sub: ALICE,
      aud: place.issuer,
      client_id: idOf(agent),
      resource: RESOURCE,
      scope: "read:transactions",
      ...changes,
    },
    header,
  );

/** Shows a grant over the instance's certificate. */
async function show(
  assertion: string,
  changes: Readonly<Record<string, string>> = {},
  by = agent,
  headers: Readonly<Record<string, string>> = {},
): Promise<RawAnswer> {
  const form = { grant_type: JWT_BEARER, client_id: idOf(by), resource: RESOURCE, assertion, ...changes };
  return postForm(place.server, TOKEN, { form, tls: by.tls, headers });
}

async function expectRefused(
  answer: Promise<RawAnswer> | RawAnswer,
  code = "assertion_refused",
): Promise<void> {
  const { status, text } = await answer;
  expect([status, JSON.parse(text).error]).toEqual([400, "invalid_grant"]);
  expect((await eventsOf(place.server, "refuse"))[0]?.reasons).toEqual([code]);
}

describe("a grant of a configured identity provider", () => {
  it("JAG-1 makes a token in the agent's own name, within the grant, and says in the ledger for whom", async () => {
    const answer = await show(await grantFor());
    expect(jsonOf(answer)).toMatchObject({ scope: "read:transactions" });
    const claims = claimsOf(String(jsonOf(answer).access_token));
    expect(claims).toMatchObject({ sub: idOf(agent), client_id: idOf(agent), aud: RESOURCE });
    expect(claims.act).toBeUndefined();
    const [event] = await eventsOf(place.server, "token");
    expect(event).toMatchObject({ agent_identity: idOf(agent), outcome: "success" });
  });

  it("JAG-2 is of its own type, by a configured issuer and that issuer's key", async () => {
    await expectRefused(show(await grantFor({ iss: "https://idp.elsewhere.test" })));
    await expectRefused(show(await grantFor({ iss: place.issuer })));
    const other = await startIdentityProvider();
    const forged = await other.grant({
      sub: ALICE,
      aud: place.issuer,
      client_id: idOf(agent),
      resource: RESOURCE,
      scope: "read:transactions",
    });
    other.close();
    await expectRefused(show(forged));
    // Of another type it is read as a JWT-SVID, which it is not either.
    for (const typ of ["JWT", "at+jwt", undefined]) {
      expect(oauthErrorOf(await show(await grantFor({}, { typ })))).toBe("401 invalid_client");
    }
    await expectRefused(show(await grantFor({}, { kid: "other" })));
    await expectRefused(show(await grantFor({}, { jku: "https://evil.test" })));
  });

  it("JAG-3 is for this server alone", async () => {
    await expectRefused(show(await grantFor({ aud: place.web })));
    await expectRefused(show(await grantFor({ aud: [place.issuer, CHAT] })));
    await expectRefused(show(await grantFor({ aud: undefined })));
    expect((await show(await grantFor({ aud: [place.issuer] }))).status).toBe(200);
  });

  it("JAG-4 is for the client that shows it", async () => {
    await expectRefused(show(await grantFor({ client_id: idOf(stranger) })));
    await expectRefused(show(await grantFor({ client_id: undefined })));
    await expectRefused(show(await grantFor(), {}, stranger));
  });

  it("JAG-5 is for the resource that is asked for, and for one", async () => {
    await expectRefused(show(await grantFor(), { resource: `${RESOURCE}/more` }));
    await expectRefused(show(await grantFor({ resource: undefined })));
    await expectRefused(show(await grantFor({ resource: [RESOURCE, CHAT_API] })));
    expect((await show(await grantFor({ resource: [RESOURCE] }))).status).toBe(200);
  });

  it("JAG-6 has a scope, which is never widened: not by the request, and not by the user", async () => {
    const narrow = () => grantFor({ scope: "read:transactions:2026" });
    expect(jsonOf(await show(await narrow())).scope).toBe("read:transactions:2026");
    expect(oauthErrorOf(await show(await narrow(), { scope: "read:transactions" }))).toBe(
      "400 invalid_scope",
    );
    expect(oauthErrorOf(await show(await grantFor({ scope: "read:mail" })))).toBe("400 invalid_scope");
    expect(oauthErrorOf(await show(await grantFor({ scope: "anything" })))).toBe("400 invalid_scope");
    await expectRefused(show(await grantFor({ scope: undefined })));
  });

  it("JAG-7 counts once", async () => {
    const assertion = await grantFor();
    expect((await show(assertion)).status).toBe(200);
    await expectRefused(show(assertion), "assertion_replayed");
    const jti = randomUUID();
    expect((await show(await grantFor({ jti }))).status).toBe(200);
    // The same name under another signature is the same grant.
    await expectRefused(show(await grantFor({ jti })), "assertion_replayed");
    await expectRefused(show(await grantFor({ jti: undefined })));
    await expectRefused(show(await grantFor({ jti: "" })));
  });

  it("JAG-8 is of its time, and short", async () => {
    const now = Math.floor(Date.now() / 1000);
    await expectRefused(show(await grantFor({ iat: now - 301, exp: now - 1 })));
    await expectRefused(show(await grantFor({ iat: now + 60, exp: now + 120 })));
    await expectRefused(show(await grantFor({ exp: now + 3600 })));
    await expectRefused(show(await grantFor({ exp: undefined })));
    const answer = await show(await grantFor({ iat: now - 500, exp: now + 60 }));
    expect(Number(jsonOf(answer).expires_in)).toBeLessThanOrEqual(60);
  });

  it("JAG-9 speaks for a user whom the operator knows, and for agents of that user's owner alone", async () => {
    await expectRefused(show(await grantFor({ sub: "mallory" })));
    await expectRefused(show(await grantFor({ sub: "__proto__" })));
    await expectRefused(show(await grantFor({ sub: undefined })));
    await expectRefused(show(await grantFor({ sub: "bob" })));
    const own = await grantFor({ sub: "bob", client_id: idOf(stranger) });
    expect((await show(own, {}, stranger)).status).toBe(200);
  });

  it("JAG-10 that names a key is worth something to its holder alone", async () => {
    const key = createTestSigner();
    const headers = await proofFor(place.server, key);
    const probe = await show(await grantFor(), {}, agent, headers);
    const { jkt } = Object(claimsOf(String(jsonOf(probe).access_token)).cnf);
    const bound = () => grantFor({ cnf: { jkt } });
    expect((await show(await bound(), {}, agent, await proofFor(place.server, key))).status).toBe(200);
    await expectRefused(show(await bound(), {}, agent, await proofFor(place.server, createTestSigner())));
    await expectRefused(show(await bound()));
    await expectRefused(
      show(await grantFor({ cnf: { jkt, jwk: {} } }), {}, agent, await proofFor(place.server, key)),
    );
  });

  it("takes no word of who the client is: without a proof of that it is nothing", async () => {
    const form = {
      grant_type: JWT_BEARER,
      client_id: idOf(agent),
      resource: RESOURCE,
      assertion: await grantFor(),
    };
    expect(oauthErrorOf(await postForm(place.server, TOKEN, { form }))).toBe("401 invalid_client");
  });

  it("is taken from oauth4webapi and openid-client, which announce it by the metadata", async () => {
    expect(as).toMatchObject({
      authorization_grant_profiles_supported: ["urn:ietf:params:oauth:grant-profile:id-jag"],
      identity_chaining_requested_token_types_supported: [ID_JAG_TYPE],
    });
    const who = { client_id: idOf(agent), use_mtls_endpoint_aliases: true };
    const custom = fetchOver(agent.tls);
    const answer = await oauth.genericTokenEndpointRequest(
      as,
      who,
      oauth.TlsClientAuth(),
      JWT_BEARER,
      { assertion: await grantFor(), resource: RESOURCE },
      { [oauth.customFetch]: custom },
    );
    const token = await oauth.processGenericTokenEndpointResponse(as, who, answer);
    expect(token.scope).toBe("read:transactions");
    const config = await client.discovery(
      new URL(place.issuer),
      idOf(agent),
      { use_mtls_endpoint_aliases: true },
      client.TlsClientAuth(),
      { algorithm: "oauth2", [client.customFetch]: custom },
    );
    const again = await client.genericGrantRequest(config, JWT_BEARER, {
      assertion: await grantFor(),
      resource: RESOURCE,
    });
    expect(claimsOf(again.access_token).sub).toBe(idOf(agent));
  });
});

describe("the JWT bearer grant with a JWT-SVID", () => {
  const ask = async (changes: Readonly<Record<string, string>>, headers?: Readonly<Record<string, string>>) =>
    postForm(place.server, TOKEN, {
      form: { grant_type: JWT_BEARER, resource: RESOURCE, scope: "read:transactions", ...changes },
      headers: headers ?? (await proofFor(place.server, createTestSigner())),
    });

  it("says who asks, and gives that agent a token of its own", async () => {
    const assertion = await jwtOf(place.server, agent, place.issuer);
    const answer = await ask({ assertion });
    expect(claimsOf(String(jsonOf(answer).access_token))).toMatchObject({
      sub: idOf(agent),
      scope: "read:transactions",
    });
    // As with a client assertion: a copy is worth nothing with another key, and nothing without any.
    expect(oauthErrorOf(await ask({ assertion }))).toBe("401 invalid_client");
    const fresh = await jwtOf(place.server, agent, place.issuer);
    expect(oauthErrorOf(await ask({ assertion: fresh }, {}))).toBe("400 invalid_request");
  });

  it("is for this issuer, and no second word beside another proof", async () => {
    const elsewhere = await jwtOf(place.server, agent, RESOURCE);
    expect(oauthErrorOf(await ask({ assertion: elsewhere }))).toBe("401 invalid_client");
    const both = {
      assertion: await jwtOf(place.server, stranger, place.issuer),
      client_assertion_type: JWT_SPIFFE,
      client_assertion: await jwtOf(place.server, agent, place.issuer),
    };
    await expectRefused(ask(both));
    expect(oauthErrorOf(await ask({}))).toBe("401 invalid_client");
  });
});

describe("a grant of ours", () => {
  const keys = () => createRemoteJWKSet(new URL(`${place.web}/oauth/jwks`), { [joseFetch]: fetchOver() });
  const exchange = async (changes: Readonly<Record<string, string | undefined>> = {}, by = agent) => {
    const form = Object.entries({
      grant_type: TOKEN_EXCHANGE,
      requested_token_type: ID_JAG_TYPE,
      client_id: idOf(by),
      audience: CHAT,
      resource: CHAT_API,
      scope: "chat.read",
      subject_token: await jwtOf(place.server, by, idOf(by)),
      subject_token_type: JWT,
      ...changes,
    }).flatMap(([name, value]) => (value === undefined ? [] : [[name, value] as const]));
    return postForm(place.server, TOKEN, { form: Object.fromEntries(form), tls: by.tls });
  };

  it("JAG-11 says who may have what of whom, to one server, under our keys", async () => {
    const answer = await exchange();
    expect(jsonOf(answer)).toMatchObject({
      issued_token_type: ID_JAG_TYPE,
      token_type: "N_A",
      scope: "chat.read",
    });
    const grant = String(jsonOf(answer).access_token);
    const expected = { issuer: place.issuer, audience: CHAT, typ: ID_JAG, algorithms: ["ES256"] };
    const { payload } = await jwtVerify(grant, keys(), expected);
    expect(payload).toMatchObject({
      sub: idOf(agent),
      client_id: idOf(agent),
      resource: CHAT_API,
      scope: "chat.read",
      cnf: { "x5t#S256": agent.svidSha256 },
    });
    expect(Number(payload.exp) - Number(payload.iat)).toBeLessThanOrEqual(300);
    expect(payload.act).toBeUndefined();
    // It is no access token, here or by the library.
    const form = { client_id: idOf(agent), token: grant };
    const known = await postForm(place.server, "/oauth/introspect", { form, tls: agent.tls });
    expect(jsonOf(known)).toEqual({ active: false });
    await expectRefused(show(grant));
  });

  it("is exchanged for by oauth4webapi", async () => {
    const who = { client_id: idOf(agent), use_mtls_endpoint_aliases: true };
    const answer = await oauth.genericTokenEndpointRequest(
      as,
      who,
      oauth.TlsClientAuth(),
      TOKEN_EXCHANGE,
      {
        requested_token_type: ID_JAG_TYPE,
        audience: CHAT,
        resource: CHAT_API,
        scope: "chat.read",
        subject_token: await jwtOf(place.server, agent, idOf(agent)),
        subject_token_type: JWT,
      },
      { [oauth.customFetch]: fetchOver(agent.tls) },
    );
    const given = await oauth.processGenericTokenEndpointResponse(as, who, answer, {
      recognizedTokenTypes: { n_a: () => undefined },
    });
    expect(given).toMatchObject({ token_type: "n_a", issued_token_type: ID_JAG_TYPE });
    const keySet = keys();
    const { payload } = await jwtVerify(given.access_token, keySet, {
      issuer: place.issuer,
      audience: CHAT,
      typ: ID_JAG,
    });
    expect(payload.scope).toBe("chat.read");
  });

  it("JAG-12 is for a server and a resource that the operator named, in words that stand for a scope", async () => {
    expect(oauthErrorOf(await exchange({ audience: "https://other.example" }))).toBe("400 invalid_target");
    expect(oauthErrorOf(await exchange({ audience: undefined }))).toBe("400 invalid_target");
    expect(oauthErrorOf(await exchange({ resource: "https://other.example" }))).toBe("400 invalid_target");
    expect(oauthErrorOf(await exchange({ resource: undefined }))).toBe("400 invalid_target");
    expect(oauthErrorOf(await exchange({ scope: "chat.admin" }))).toBe("400 invalid_scope");
    expect(oauthErrorOf(await exchange({ scope: undefined }))).toBe("400 invalid_scope");
    expect((await exchange({ scope: "chat.write chat.read" })).status).toBe(200);
  });

  it("JAG-13 is only for what each link of the client, and of whoever it acts for, is covered by", async () => {
    const reader = await enrolAgent(place.server, owner, { name: "reader", scope: ["read:transactions"] });
    expect((await exchange({}, reader)).status).toBe(200);
    expect(oauthErrorOf(await exchange({ scope: "chat.write" }, reader))).toBe("400 invalid_scope");
    const given = await tokenOf(place.server, agent, { resource: idOf(reader), scope: "read:transactions" });
    const acting = await exchange({ subject_token: given, subject_token_type: ACCESS_TOKEN }, reader);
    expect(claimsOf(String(jsonOf(acting).access_token))).toMatchObject({
      sub: idOf(agent),
      client_id: idOf(reader),
    });
    const narrow = await tokenOf(place.server, agent, {
      resource: idOf(reader),
      scope: "read:transactions:1",
    });
    const wider = await exchange({ subject_token: narrow, subject_token_type: ACCESS_TOKEN }, reader);
    expect(oauthErrorOf(wider)).toBe("400 invalid_scope");
  });

  it("names the client as the server knows it, and no actor", async () => {
    const mail = await enrolAgent(place.server, owner, { name: "mail", scope: ["read:mail"] });
    const named = await exchange({ audience: "https://named.example", scope: "r" }, mail);
    expect(claimsOf(String(jsonOf(named).access_token)).client_id).toBe("our-agents");
    const actor = { actor_token: await jwtOf(place.server, stranger, place.issuer), actor_token_type: JWT };
    expect(oauthErrorOf(await exchange(actor))).toBe("400 invalid_request");
    const theirs = await jwtOf(place.server, stranger, idOf(stranger));
    expect(oauthErrorOf(await exchange({ subject_token: theirs }))).toBe("400 invalid_request");
  });

  it("leaves an event with what stands behind its words, and nothing of the grant itself", async () => {
    const grant = String(jsonOf(await exchange()).access_token);
    const [event] = await eventsOf(place.server, "token");
    expect(event).toMatchObject({ agent_identity: idOf(agent), outcome: "success" });
    expect(JSON.stringify(event)).not.toContain(grant.split(".")[2]);
  });
});

describe("an issuer that does not answer", () => {
  it("refuses its grants for now, and tells nobody else's", async () => {
    const silent = await startIdentityProvider();
    silent.answer(302);
    const keys = { jwks: { url: silent.keysUrl, allowPrivate: true } };
    const off = await startOAuthServer({
      oauth: { grantIssuers: [{ issuer: silent.issuer, keys, owners: { [ALICE]: "x" } }] },
    });
    try {
      const single = await enrolAgent(off.server, await createOwner(off.server));
      const claims = {
        sub: ALICE,
        aud: off.issuer,
        client_id: idOf(single),
        resource: RESOURCE,
        scope: "read:transactions",
      };
      const form = {
        grant_type: JWT_BEARER,
        client_id: idOf(single),
        resource: RESOURCE,
        assertion: await silent.grant(claims),
      };
      const answer = await postForm(off.server, TOKEN, { form, tls: single.tls });
      expect([answer.status, jsonOf(answer).error]).toEqual([503, "temporarily_unavailable"]);
      expect(String(jsonOf(answer).error_description)).toContain("assertion_issuer_unavailable");
    } finally {
      silent.close();
      await off.close();
    }
  });
});
