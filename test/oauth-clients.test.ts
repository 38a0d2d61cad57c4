/**
 * OAuth clients that nobody here wrote against a real server: `oauth4webapi`, `openid-client` and `dpop`; and `jose`
 * alone as the resource server.
 */
import { generateProof } from "dpop";
import { createRemoteJWKSet, customFetch as joseFetch, jwtVerify } from "jose";
import * as oauth from "oauth4webapi";
import * as client from "openid-client";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createOwner, enrolAgent, enrolVerifier, spawn, type TestInstance } from "./support/actors.ts";
import {
  ACCESS_TOKEN,
  claimsOf,
  fetchOver,
  JWT_SPIFFE,
  jwtOf,
  type OAuthServer,
  postForm,
  RESOURCE,
  startOAuthServer,
  TOKEN_EXCHANGE,
  tokenOf,
} from "./support/oauth.ts";

let place: OAuthServer;
let agent: TestInstance;
let helper: TestInstance;
let service: TestInstance;
let as: oauth.AuthorizationServer;

beforeAll(async () => {
  place = await startOAuthServer();
  const owner = await createOwner(place.server);
  agent = await enrolAgent(place.server, owner);
  helper = await spawn(place.server, agent);
  service = await enrolVerifier(place.server);
  const issuer = new URL(place.issuer);
  const options = { algorithm: "oauth2", [oauth.customFetch]: fetchOver() } as const;
  as = await oauth.processDiscoveryResponse(issuer, await oauth.discoveryRequest(issuer, options));
});
afterAll(() => place.close());

const clientOf = (instance: TestInstance, use_mtls_endpoint_aliases = false): oauth.Client => ({
  client_id: instance.answer.spiffe_id,
  use_mtls_endpoint_aliases,
});
const keys = () => createRemoteJWKSet(new URL(String(as.jwks_uri)), { [joseFetch]: fetchOver() });

/** The assertion that the draft describes. */
const jwtSpiffe =
  (instance: TestInstance): oauth.ClientAuth =>
  async (_as, { client_id }, body) => {
    body.set("client_id", client_id);
    body.set("client_assertion_type", JWT_SPIFFE);
    body.set("client_assertion", await jwtOf(place.server, instance, place.issuer));
  };

describe("oauth4webapi", () => {
  it("discovers the server at its issuer, on the web", () => {
    expect(as).toMatchObject({
      issuer: place.issuer,
      token_endpoint: `${place.web}/oauth/token`,
      mtls_endpoint_aliases: { token_endpoint: `${place.server.url}/oauth/token` },
    });
    expect(as.grant_types_supported).toContain("client_credentials");
  });

  it("gets a DPoP-bound token by a JWT-SVID, after the dance for a nonce, and its server proves it", async () => {
    const who = clientOf(agent);
    const pair = await oauth.generateKeyPair("ES256");
    const DPoP = oauth.DPoP(who, pair);
    const ask = async () => {
      const parameters = { resource: RESOURCE, scope: "read:transactions" };
      const options = { DPoP, [oauth.customFetch]: fetchOver() };
      const auth = jwtSpiffe(agent);
      const answer = await oauth.clientCredentialsGrantRequest(as, who, auth, parameters, options);
      return oauth.processClientCredentialsResponse(as, who, answer);
    };
    const first = await ask().catch((error: unknown) => error);
    expect(oauth.isDPoPNonceError(first)).toBe(true);
    const token = await ask();
    expect(token).toMatchObject({ token_type: "dpop", scope: "read:transactions" });
    // Never beyond what it was asked with, which may be a second old.
    expect(token.expires_in).toBeGreaterThan(280);
    expect(token.expires_in).toBeLessThanOrEqual(300);
    // A resource server with the same library, which never saw us: signature, issuer, audience, proof and binding.
    const proof = await generateProof(pair, RESOURCE, "GET", undefined, token.access_token);
    const headers = { authorization: `DPoP ${token.access_token}`, dpop: proof };
    const shown = (url: string) =>
      oauth.validateJwtAccessToken(as, new Request(url, { headers }), RESOURCE, {
        requireDPoP: true,
        [oauth.customFetch]: fetchOver(),
      });
    expect(await shown(RESOURCE)).toMatchObject({ sub: agent.answer.spiffe_id, aud: RESOURCE });
    await expect(shown(`${RESOURCE}/other`)).rejects.toThrow();
  });

  it("gets a token bound to its certificate, asks about it, and revokes it", async () => {
    const who = clientOf(agent, true);
    const options = { [oauth.customFetch]: fetchOver(agent.tls) };
    const auth = oauth.TlsClientAuth();
    const answer = await oauth.clientCredentialsGrantRequest(as, who, auth, { resource: RESOURCE }, options);
    const { access_token } = await oauth.processClientCredentialsResponse(as, who, answer);
    expect(claimsOf(access_token).cnf).toEqual({ "x5t#S256": agent.svidSha256 });
    const ask = async () =>
      oauth.processIntrospectionResponse(
        as,
        who,
        await oauth.introspectionRequest(as, who, auth, access_token, options),
      );
    expect(await ask()).toMatchObject({ active: true, sub: agent.answer.spiffe_id });
    await oauth.processRevocationResponse(
      await oauth.revocationRequest(as, who, auth, access_token, options),
    );
    expect(await ask()).toEqual({ active: false });
  });

  it("exchanges a token that was meant for it: sub is the delegator, act the client", async () => {
    const who = clientOf(helper, true);
    const resource = helper.answer.spiffe_id;
    const subject_token = await tokenOf(place.server, agent, { resource, scope: "read:transactions" });
    const answer = await oauth.genericTokenEndpointRequest(
      as,
      who,
      oauth.TlsClientAuth(),
      TOKEN_EXCHANGE,
      { subject_token, subject_token_type: ACCESS_TOKEN, resource: RESOURCE },
      { [oauth.customFetch]: fetchOver(helper.tls) },
    );
    const token = await oauth.processGenericTokenEndpointResponse(as, who, answer);
    expect(token.issued_token_type).toBe(ACCESS_TOKEN);
    expect(claimsOf(token.access_token)).toMatchObject({
      sub: agent.answer.spiffe_id,
      act: { sub: helper.answer.spiffe_id },
      client_id: helper.answer.spiffe_id,
      scope: "read:transactions",
      cnf: { "x5t#S256": helper.svidSha256 },
    });
  });
});

describe("openid-client", () => {
  it("discovers, gets a DPoP-bound token, asks about it and revokes it", async () => {
    const config = await client.discovery(
      new URL(place.issuer),
      agent.answer.spiffe_id,
      { use_mtls_endpoint_aliases: true },
      client.TlsClientAuth(),
      { algorithm: "oauth2", [client.customFetch]: fetchOver(agent.tls) },
    );
    const DPoP = client.getDPoPHandle(config, await client.randomDPoPKeyPair("ES256"));
    const token = await client.clientCredentialsGrant(config, { resource: RESOURCE }, { DPoP });
    expect(token.token_type).toBe("dpop");
    const known = await client.tokenIntrospection(config, token.access_token);
    expect(known).toMatchObject({ active: true, token_type: "DPoP", aud: RESOURCE });
    await client.tokenRevocation(config, token.access_token);
    expect(await client.tokenIntrospection(config, token.access_token)).toEqual({ active: false });
  });

  it("exchanges a JWT-SVID that was made for it", async () => {
    const config = await client.discovery(
      new URL(place.issuer),
      helper.answer.spiffe_id,
      { use_mtls_endpoint_aliases: true },
      client.TlsClientAuth(),
      { algorithm: "oauth2", [client.customFetch]: fetchOver(helper.tls) },
    );
    const token = await client.genericGrantRequest(config, TOKEN_EXCHANGE, {
      subject_token: await jwtOf(place.server, agent, helper.answer.spiffe_id),
      subject_token_type: "urn:ietf:params:oauth:token-type:jwt",
      resource: RESOURCE,
      scope: "read:transactions",
    });
    expect(claimsOf(token.access_token)).toMatchObject({
      sub: agent.answer.spiffe_id,
      act: { sub: helper.answer.spiffe_id },
    });
  });
});

describe("jose, alone", () => {
  it("verifies an access token by our published keys, and takes neither kind of token for the other", async () => {
    const { server, issuer, web } = place;
    const token = await tokenOf(server, agent);
    const expected = { issuer, audience: RESOURCE, typ: "at+jwt", algorithms: ["ES256"] };
    const { payload } = await jwtVerify(token, keys(), expected);
    expect(payload).toMatchObject({ client_id: agent.answer.spiffe_id, aud: RESOURCE });
    await expect(jwtVerify(token, keys(), { ...expected, audience: "https://other.test" })).rejects.toThrow(
      "aud",
    );
    // With no thought of typ or issuer at all: the other's key set has no such key.
    const svid = await jwtOf(server, agent, RESOURCE);
    await expect(jwtVerify(svid, keys())).rejects.toThrow("no applicable key");
    const svidKeys = createRemoteJWKSet(new URL(`${web}/v1/jwks`), { [joseFetch]: fetchOver() });
    await expect(jwtVerify(token, svidKeys)).rejects.toThrow("no applicable key");
    expect((await jwtVerify(svid, svidKeys)).payload.iss).toBe(web);
  });
});

describe("a service", () => {
  it("asks about a token that it was shown", async () => {
    const form = { client_id: service.answer.spiffe_id, token: await tokenOf(place.server, agent) };
    const answer = await postForm(place.server, "/oauth/introspect", { form, tls: service.tls });
    expect(JSON.parse(answer.text)).toMatchObject({ active: true, client_id: agent.answer.spiffe_id });
  });
});
