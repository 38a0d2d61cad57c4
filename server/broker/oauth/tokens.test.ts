/** Tokens for upstreams: the requests that standards ask for, kept until near their end, per agent where they are its. */
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import type { JsonObject } from "@trustwarden/core/json.ts";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { expectCode, expectRejection } from "../../../test/support/expect-code.ts";
import { createSafeFetch } from "../../attest/safe-fetch.ts";
import { createPrivateKeyPkcs8, createSoftwareSigner } from "../../signer/software.ts";
import { formatTokenRequest, hasClientSecret, needsAgent, parseTokenSource } from "./token-source.ts";
import { UpstreamTokens } from "./tokens.ts";

const ENDPOINT = "https://as.example.test/token";
const CLIENT = { client_id: "shop", client_auth: "secret_basic" };
const sourceOf = (overrides: JsonObject = {}) =>
  parseTokenSource({ token_endpoint: ENDPOINT, grant: "client_credentials", ...CLIENT, ...overrides });
const credentials = { clientSecret: "s3cret/with+signs", jwtSvid: "a.jwt.svid", refreshToken: "" };

describe("a token request", () => {
  it("is client credentials with basic authentication, its parts encoded as RFC 6749 §2.3.1 asks", () => {
    const { headers, body } = formatTokenRequest(
      sourceOf({ parameters: { scope: "a b", resource: "https://api.test" } }),
      credentials,
    );
    expect(headers.authorization).toBe(
      `Basic ${Buffer.from("shop:s3cret%2Fwith%2Bsigns").toString("base64")}`,
    );
    expect(Object.fromEntries(new URLSearchParams(body))).toEqual({
      grant_type: "client_credentials",
      scope: "a b",
      resource: "https://api.test",
    });
  });

  it("is client credentials with the secret in the body, or with the agent's JWT-SVID as the assertion", () => {
    const post = formatTokenRequest(sourceOf({ client_auth: "secret_post" }), credentials);
    expect(Object.fromEntries(new URLSearchParams(post.body))).toMatchObject({
      client_id: "shop",
      client_secret: credentials.clientSecret,
    });
    const jwt = formatTokenRequest(sourceOf({ client_auth: "jwt_svid" }), credentials);
    expect(Object.fromEntries(new URLSearchParams(jwt.body))).toMatchObject({
      client_assertion_type: "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
      client_assertion: "a.jwt.svid",
    });
    expect(jwt.body + JSON.stringify(jwt.headers)).not.toContain("s3cret");
    const spiffe = formatTokenRequest(sourceOf({ client_auth: "spiffe_jwt" }), credentials);
    expect(new URLSearchParams(spiffe.body).get("client_assertion_type")).toContain(":jwt-spiffe");
  });

  it("is a token exchange or a JWT-bearer grant of the agent's JWT-SVID, as form or JSON", () => {
    const exchange = formatTokenRequest(
      sourceOf({
        grant: "token_exchange",
        client_auth: "none",
        client_id: "x",
        parameters: { audience: "api" },
      }),
      credentials,
    );
    expect(Object.fromEntries(new URLSearchParams(exchange.body))).toEqual({
      grant_type: "urn:ietf:params:oauth:grant-type:token-exchange",
      subject_token: "a.jwt.svid",
      subject_token_type: "urn:ietf:params:oauth:token-type:jwt",
      client_id: "x",
      audience: "api",
    });
    const bearer = formatTokenRequest(
      sourceOf({
        grant: "jwt_bearer",
        client_auth: "none",
        body: "json",
        parameters: { federation_rule_id: "fdrl_1" },
      }),
      credentials,
    );
    expect(bearer.headers["content-type"]).toBe("application/json");
    expect(JSON.parse(bearer.body)).toMatchObject({
      grant_type: "urn:ietf:params:oauth:grant-type:jwt-bearer",
      assertion: "a.jwt.svid",
      federation_rule_id: "fdrl_1",
    });
  });

  it("is a refresh of a person's login, by the client that the person logged in to", () => {
    const { headers, body } = formatTokenRequest(
      sourceOf({ grant: "login", client_auth: "none", client_id: "https://client.test/doc" }),
      { ...credentials, refreshToken: "refresh-token-0" },
    );
    expect(headers.authorization).toBeUndefined();
    expect(Object.fromEntries(new URLSearchParams(body))).toEqual({
      grant_type: "refresh_token",
      refresh_token: "refresh-token-0",
      client_id: "https://client.test/doc",
    });
  });

  it.each([
    ["no endpoint", { token_endpoint: "as.example.test" }],
    ["credentials in the endpoint", { token_endpoint: "https://u:p@as.example.test/token" }],
    ["an unknown grant", { grant: "password" }],
    ["nobody who asks", { client_auth: "none" }],
    ["a secret without a client", { client_id: undefined }],
    ["a login to no client", { grant: "login", client_auth: "none", client_id: undefined }],
    ["a login to an agent", { grant: "login", client_auth: "jwt_svid" }],
    ["a parameter that is the login", { parameters: { refresh_token: "refresh-token-0" } }],
    ["a parameter of ours", { parameters: { grant_type: "x" } }],
    ["a parameter that is no text", { parameters: { scope: 1 } }],
    ["a member that nobody asked for", { extra: 1 }],
  ])("is refused with %s", (_, overrides) => {
    const { client_id: clientId = "shop", ...rest } = { client_id: "shop", ...overrides };
    const json = {
      token_endpoint: ENDPOINT,
      grant: "client_credentials",
      client_auth: "secret_basic",
      ...rest,
    };
    const isWithout = "client_id" in overrides;
    expectCode(
      () => parseTokenSource(isWithout ? json : { ...json, client_id: clientId }),
      "secret_malformed",
    );
  });

  it("knows whether it has a client's secret, and whether it is the agent's", () => {
    expect([hasClientSecret(sourceOf()), needsAgent(sourceOf())]).toEqual([true, false]);
    const jwt = sourceOf({ client_auth: "jwt_svid" });
    expect([hasClientSecret(jwt), needsAgent(jwt)]).toEqual([false, true]);
    expect(needsAgent(sourceOf({ client_auth: "spiffe_jwt" }))).toBe(true);
  });
});

describe("tokens", () => {
  let endpoint: string;
  let asked: string[];
  let answer: { status: number; body: unknown };
  let nowMs: number;
  const server = createServer((request, response) => {
    void readBody(request).then((body) => {
      asked.push(body);
      response.writeHead(answer.status).end(JSON.stringify(answer.body));
    });
  });

  beforeAll(async () => {
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as AddressInfo; // cast: a TCP server that listens has a port
    endpoint = `http://127.0.0.1:${port}/token`;
  });
  afterAll(() => server.close());
  beforeEach(() => {
    asked = [];
    nowMs = 0;
    answer = {
      status: 200,
      body: { access_token: "token-of-the-upstream", token_type: "Bearer", expires_in: 100 },
    };
  });

  async function readBody(request: IncomingMessage): Promise<string> {
    let body = "";
    for await (const part of request) body += String(part);
    return body;
  }

  const tokensOf = () =>
    new UpstreamTokens({
      nowMs: () => Date.now(),
      openFetch: createSafeFetch,
      createKey: () => createSoftwareSigner(createPrivateKeyPkcs8("ES256")),
      issueJwt: async (instanceId, audience) => `svid.${instanceId}.${audience}`,
      monoMs: () => nowMs,
    });
  const useOf = (
    overrides: JsonObject = {},
    more: { readonly instanceId?: string; readonly revision?: number } = {},
  ) => ({
    secretId: "sec_1",
    revision: 1,
    instanceId: "inst-1",
    clientSecret: "s3cret-of-us",
    source: sourceOf({ token_endpoint: endpoint, allow_private: true, ...overrides }),
    ...more,
  });

  it("are asked for once and used until four fifths of their life are over", async () => {
    const tokens = tokensOf();
    const [first, second] = await Promise.all([
      tokens.get(useOf()),
      tokens.get(useOf({}, { instanceId: "inst-2" })),
    ]);
    expect([first.token, second]).toEqual(["token-of-the-upstream", first]);
    nowMs = 79_999;
    await tokens.get(useOf());
    expect(asked).toHaveLength(1);
    nowMs = 80_000;
    await Promise.all([tokens.get(useOf()), tokens.get(useOf())]);
    expect(asked).toHaveLength(2);
  });

  it("are asked for anew when the secret was changed, or forgotten", async () => {
    const tokens = tokensOf();
    await tokens.get(useOf());
    await tokens.get(useOf({}, { revision: 2 }));
    tokens.forget("sec_1");
    await tokens.get(useOf({}, { revision: 2 }));
    expect(asked).toHaveLength(3);
  });

  it("are each agent's own where the agent's JWT-SVID is what they are for", async () => {
    const tokens = tokensOf();
    const grant = { grant: "token_exchange", client_auth: "none", audience: "https://sts.test" };
    for (const instanceId of ["inst-1", "inst-2", "inst-1"]) await tokens.get(useOf(grant, { instanceId }));
    expect(asked.map((body) => new URLSearchParams(body).get("subject_token"))).toEqual([
      "svid.inst-1.https://sts.test",
      "svid.inst-2.https://sts.test",
    ]);
  });

  it.each([
    ["a refusal", { status: 400, body: { error: "invalid_client" } }],
    ["no token", { status: 200, body: { token_type: "Bearer" } }],
    [
      "a token of another type",
      { status: 200, body: { access_token: "token-of-the-upstream", token_type: "DPoP" } },
    ],
    [
      "a token with a line end",
      { status: 200, body: { access_token: "token-of\r\nthe", token_type: "Bearer" } },
    ],
    [
      "a life that is none",
      { status: 200, body: { access_token: "token-of-the-upstream", token_type: "Bearer", expires_in: -1 } },
    ],
    ["no JSON object", { status: 200, body: "token" }],
  ])("are refused for %s, and the next call asks again", async (_, refused) => {
    const tokens = tokensOf();
    const good = answer;
    answer = refused;
    await expectRejection(tokens.get(useOf()), "secret_unavailable");
    answer = good;
    expect((await tokens.get(useOf())).token).toBe("token-of-the-upstream");
  });

  it("are asked for at no address that the operator did not allow", async () => {
    await expectRejection(tokensOf().get(useOf({ allow_private: false })), "secret_unavailable");
    expect(asked).toEqual([]);
  });
});
