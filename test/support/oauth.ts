/** Clients of the OAuth endpoints for tests: raw forms, and the `fetch` that client libraries take. */
import { randomUUID } from "node:crypto";
import { instanceIdOf, parseSpiffeId } from "@trustwarden/core/agentid/spiffe-id.ts";
import { jwtSvidAnswer } from "@trustwarden/core/api/identity.ts";
import { issueDpopProof } from "@trustwarden/core/dpop.ts";
import type { ServerSettings } from "@trustwarden/server/config.ts";
import { parseAnswer, serverIdOf, signedRequest, type TestInstance } from "./actors.ts";
import { freePort } from "./free-port.ts";
import { type ClientTls, jsonOf, type RawAnswer, send } from "./http.ts";
import { createTestSigner } from "./keys.ts";
import { startTestServer, type TestServer } from "./server.ts";
import { createWebCertificate, type WebCertificate } from "./web-certificate.ts";

export const JWT_SPIFFE = "urn:ietf:params:oauth:client-assertion-type:jwt-spiffe";
export const TOKEN_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange";
export const ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token";
export const JWT = "urn:ietf:params:oauth:token-type:jwt";
export const RESOURCE = "https://api.acme.test/reports";

export type TestKey = ReturnType<typeof createTestSigner>;

/** A server with a web listener, whose issuer is there. */
export interface OAuthServer {
  readonly server: TestServer;
  readonly issuer: string;
  readonly web: string;
  readonly certificate: WebCertificate;
  close(): Promise<void>;
}

export async function startOAuthServer(settings: ServerSettings = {}): Promise<OAuthServer> {
  const certificate = createWebCertificate();
  const port = await freePort();
  const web = `https://localhost:${port}`;
  const { certFile, keyFile } = certificate;
  const server = await startTestServer({
    jwtIssuer: web,
    federation: { web: { port, certFile, keyFile } },
    ...settings,
  });
  return {
    server,
    web,
    issuer: `${web}/oauth`,
    certificate,
    close: async () => {
      await server.close();
      server.home.remove();
      certificate.remove();
    },
  };
}

/** `fetch` over a client's certificate; an SVID names no host, so names are not compared. */
export function fetchOver(tls?: ClientTls) {
  return async (
    url: string,
    options: { method?: string; headers?: ConstructorParameters<typeof Headers>[0]; body?: unknown } = {},
  ) => {
    const { origin, pathname, search } = new URL(url);
    const headers = Object.fromEntries(new Headers(options.headers ?? {}));
    const { method = "GET", body } = options;
    const text = body === undefined || body === null ? {} : { body: String(body) };
    const answer = await send(origin, { method, target: `${pathname}${search}`, headers, ...text }, tls);
    const received = Object.entries(answer.headers).flatMap(([name, value]) =>
      typeof value === "string" ? [[name, value] as const] : [],
    );
    return new Response(answer.text, { status: answer.status, headers: Object.fromEntries(received) });
  };
}

/** Posts a form. */
export function postForm(
  server: TestServer,
  target: string,
  options: {
    readonly form: Readonly<Record<string, string>> | string;
    readonly tls?: ClientTls;
    readonly headers?: Readonly<Record<string, string>>;
  },
): Promise<RawAnswer> {
  const { form, tls, headers } = options;
  const body = typeof form === "string" ? form : new URLSearchParams(form).toString();
  const type = { "content-type": "application/x-www-form-urlencoded" };
  return send(server.url, { method: "POST", target, body, headers: { ...type, ...headers } }, tls);
}

/** The OAuth error of an answer. */
export const oauthErrorOf = (answer: RawAnswer) => `${answer.status} ${jsonOf(answer).error}`;

/** A fresh nonce, from any answer of the token endpoint. */
async function dpopNonceOf(server: TestServer): Promise<string> {
  return String((await postForm(server, "/oauth/token", { form: {} })).headers["dpop-nonce"]);
}

/** A DPoP header for the token endpoint, or another URL. */
export async function proofFor(
  server: TestServer,
  key: TestKey,
  overrides: Partial<Parameters<typeof issueDpopProof>[0]> = {},
): Promise<{ readonly dpop: string }> {
  const nonce = await dpopNonceOf(server);
  const url = `${server.url}/oauth/token`;
  const now = Math.floor(Date.now() / 1000);
  return {
    dpop: issueDpopProof({ method: "POST", url, jti: randomUUID(), now, signer: key, nonce, ...overrides }),
  };
}

/** A JWT-SVID of an agent. */
export async function jwtOf(server: TestServer, agent: TestInstance, audience: string): Promise<string> {
  const body = JSON.stringify({ audience });
  const aud = await serverIdOf(server);
  const asked = { method: "POST", target: "/v1/jwt-svids", body, action: "issue:jwt-svid", aud };
  return parseAnswer(jwtSvidAnswer, await send(server.url, signedRequest(agent, asked), agent.tls)).svid;
}

/** An access token by client credentials over the agent's certificate; with a key, bound to that. */
export async function tokenOf(
  server: TestServer,
  agent: TestInstance,
  options: { readonly resource?: string; readonly scope?: string; readonly key?: TestKey } = {},
): Promise<string> {
  const { resource = RESOURCE, scope, key } = options;
  const form = { grant_type: "client_credentials", client_id: agent.answer.spiffe_id, resource };
  const answer = await postForm(server, "/oauth/token", {
    form: scope === undefined ? form : { ...form, scope },
    tls: agent.tls,
    headers: key === undefined ? {} : await proofFor(server, key),
  });
  if (answer.status !== 200) throw new Error(answer.text);
  return String(jsonOf(answer).access_token);
}

/** Claims of a token, unverified. */
export function claimsOf(token: string): Record<string, unknown> {
  return JSON.parse(Buffer.from(token.split(".")[1] ?? "", "base64url").toString());
}

/** Instance id of a test instance. */
export const instanceIdOfAgent = (agent: TestInstance) =>
  instanceIdOf(parseSpiffeId(agent.answer.spiffe_id)) ?? "";

export { createTestSigner };
