/** JWT-SVIDs, honest and bent, and the service that takes them. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { jwtSvidAnswer } from "@trustwarden/core/api/identity.ts";
import { encodeBase64url, encodeUtf8 } from "@trustwarden/core/bytes.ts";
import { createSoftwareSigner } from "../../server/signer/software.ts";
import type { TestInstance } from "../../test/support/actors.ts";
import { openAuthority } from "../../test/support/authority-keys.ts";
import { type RawAnswer, send, sendAdmin } from "../../test/support/http.ts";
import { createTestSigner } from "../../test/support/keys.ts";
import { TRUST_DOMAIN } from "../../test/support/server.ts";
import { expectSame } from "../scenario.ts";
import { call, expectRefusal, UNPROVEN } from "./client.ts";
import { callAsAgent } from "./visits.ts";
import type { World } from "./world.ts";

/** Who the service says it is. */
export const AUDIENCE = "https://federated.example.test";

/** Signs the input of a compact JWS. */
export type TokenSigner = ReturnType<typeof createTestSigner>["sign"];

/** A service that takes tokens, and what is needed to bend them. */
export interface TokenScene {
  readonly agent: TestInstance;
  readonly url: string;
  /** An honest token of the agent. */
  readonly token: string;
  readonly kid: string;
  /** The server's own key, as a bug in an issuer would use it. */
  readonly issuer: TokenSigner;
  /** A key of the attacker's. */
  readonly stranger: TokenSigner;
  /** The server's public JWT key, PEM. */
  readonly publicPem: string;
  readonly from: string | undefined;
}

/** An agent with a token, and the service. */
export async function prepareTokens(world: World): Promise<TokenScene> {
  const agent = await world.enrol(["read:transactions"]);
  const bundle = await send(world.server.url, { target: "/v1/bundle" });
  const file = join(world.home.dataDir, "..", "bundle.json");
  writeFileSync(file, bundle.text);
  const child = await world.launch({
    args: ["attacks/support/jwt-service.ts", file, TRUST_DOMAIN, AUDIENCE],
  });
  const token = await issueToken(world, agent, AUDIENCE);
  const [header = ""] = token.split(".");
  const { kid } = JSON.parse(Buffer.from(header, "base64url").toString("utf8"));
  const issuer = createSoftwareSigner((await openAuthority(world.home)).pkcs8.jwt);
  return {
    agent,
    url: String(child.ready.url),
    token,
    kid,
    issuer: (data) => issuer.sign(data),
    stranger: createTestSigner().sign,
    publicPem: issuer.publicKey.export({ type: "spki", format: "pem" }).toString(),
    from: world.source(),
  };
}

/** A token that the server issues. */
export async function issueToken(world: World, agent: TestInstance, audience: string): Promise<string> {
  const body = JSON.stringify({ audience });
  const answer = await callAsAgent(world, agent, {
    method: "POST",
    target: "/v1/jwt-svids",
    body,
    action: "issue:jwt-svid",
  });
  expectSame(answer.status, 200, "a token is issued");
  return jwtSvidAnswer.parse(JSON.parse(answer.text)).svid;
}

/** Claims of an honest token, with anything replaced; `undefined` leaves a claim out. */
export function claimsOf(agent: TestInstance, claims: Readonly<Record<string, unknown>> = {}): object {
  const now = Math.floor(Date.now() / 1000);
  return {
    sub: agent.answer.spiffe_id,
    aud: AUDIENCE,
    iss: `https://${TRUST_DOMAIN}`,
    jti: "01K0",
    iat: now,
    exp: now + 300,
    ...claims,
  };
}

/** A compact JWS of any header and payload; texts are taken as they are. */
export function signToken(header: object | string, payload: object | string, sign: TokenSigner): string {
  const input = [header, payload].map((part) =>
    encodeBase64url(encodeUtf8(typeof part === "string" ? part : JSON.stringify(part))),
  );
  return [...input, encodeBase64url(sign(encodeUtf8(input.join("."))))].join(".");
}

/** Shows a token to the service that takes tokens. */
export function showToken(scene: TokenScene, token: string): Promise<RawAnswer> {
  return showPlain(scene.url, token);
}

async function showPlain(url: string, token: string): Promise<RawAnswer> {
  const response = await fetch(url, { headers: { authorization: `Bearer ${token}` } });
  const bytes = Buffer.from(await response.arrayBuffer());
  return { status: response.status, headers: {}, text: bytes.toString("utf8"), bytes, localPort: undefined };
}

/** @throws Breach when the service takes the token. */
export async function expectTokenRefused(scene: TokenScene, token: string, what: string): Promise<void> {
  const { status, text } = await showToken(scene, token);
  expectSame([status, status === 200 ? text : ""], [401, ""], what);
}

/** @throws Breach when a guarded route of the server answers to a bearer. */
export async function expectNoBearer(world: World, scene: TokenScene, token: string): Promise<void> {
  const headers = { authorization: `Bearer ${token}` };
  const body = JSON.stringify({ target: { kind: "owner", id: scene.agent.answer.owner_id } });
  const routes = [
    { target: "/v1/events" },
    { target: `/v1/agents/${scene.agent.answer.agent_id}` },
    { method: "POST", target: "/v1/revocations", body },
  ];
  for (const route of routes) {
    const answer = await call(world.server.url, { ...route, headers }, { from: scene.from });
    expectRefusal(answer, UNPROVEN, `a bearer at ${route.target}`);
    const asAgent = await call(
      world.server.url,
      { ...route, headers },
      { from: scene.from, tls: scene.agent.tls },
    );
    expectRefusal(asAgent, UNPROVEN, `a bearer beside an SVID at ${route.target}`);
  }
}

/** Whether the operator of this world can still be reached: the control of a server that refuses everything. */
export async function readStatus(world: World): Promise<number> {
  return (await sendAdmin(world.server.adminSocket, { target: "/v1/status" })).status;
}
