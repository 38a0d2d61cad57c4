/** The gateway's choke point, with a plain HTTP service behind it: what gets through, what does not, and what is kept. */

import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { Agent, request as tlsRequest } from "node:https";
import type { EventView } from "@trustwarden/core/api/ledger.ts";
import { parseUtf8 } from "@trustwarden/core/bytes.ts";
import { parseReceiptHeader } from "trustwarden";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import {
  createOwner,
  enrolAgent,
  enrolVerifier,
  serverIdOf,
  signedRequest,
  type TestInstance,
  type TestOwner,
} from "./support/actors.ts";
import { codeOf, jsonOf, type RawAnswer, type RawRequest, send, sendAdmin } from "./support/http.ts";
import { committedOf, openPayload, readPayload } from "./support/payloads.ts";
import { eventsOf } from "./support/refusals.ts";
import { falseSeen, latestSeen, type Seen } from "./support/seen.ts";
import { startTestServer, type TestServer } from "./support/server.ts";

const ROUTES = [
  { method: "GET", path: "/items/{id}", action: "read:items:{id}", resource: "shop://items/{id}" },
  { method: "GET", path: "/stream", action: "read:stream", resource: "shop://stream" },
  { method: "GET", path: "/redirect", action: "read:stream", resource: "shop://redirect" },
  { method: "POST", path: "/items", action: "write:items", resource: "shop://items" },
  { method: "DELETE", path: "/items/{id}", action: "delete:items:{id}", resource: "shop://items/{id}" },
];

let server: TestServer;
let gatewayUrl: string;
let aud: string;
let owner: TestOwner;
let agent: TestInstance;
let upstream: Server;
let seen: { method: string; url: string; headers: IncomingMessage["headers"]; body: string }[];

beforeAll(async () => {
  server = await startTestServer({ gateway: { port: 0 } });
  gatewayUrl = server.gatewayUrl ?? "";
  aud = await serverIdOf(server);
  owner = await createOwner(server);
  const scope = ["read:items", "read:stream", "write:items"];
  agent = await enrolAgent(server, owner, { scope });
  seen = [];
  upstream = createServer((request, response) => void answer(request, response));
  await new Promise<void>((resolve) => upstream.listen(0, "127.0.0.1", resolve));
  const registered = await register("shop", { routes: ROUTES });
  expect(registered.status).toBe(200);
});
afterAll(async () => {
  await server.close();
  upstream.closeAllConnections();
  upstream.close();
  server.home.remove();
});

async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  let body = "";
  for await (const part of request) body += parseUtf8(part);
  seen.push({ method: request.method ?? "", url: request.url ?? "", headers: request.headers, body });
  if (request.url === "/base/redirect")
    return void response.writeHead(302, { location: "http://127.0.0.1:1/" }).end();
  if (request.url !== "/base/stream") {
    response.writeHead(200, { "content-type": "text/plain", "set-cookie": "a=b", "x-shop": "1" });
    return void response.end(`${request.method} ${request.url}`);
  }
  response.writeHead(200, { "content-type": "text/event-stream" });
  const timer = setInterval(() => response.write("data: tick\n\n"), 20);
  response.once("close", () => clearInterval(timer));
}

function register(name: string, settings: object, changes: object = {}): Promise<RawAnswer> {
  const address = upstream.address();
  const port = typeof address === "object" ? address?.port : 0;
  const body = JSON.stringify({
    name,
    kind: "http",
    url: `http://127.0.0.1:${port}/base`,
    allow_private: true,
    settings,
    ...changes,
  });
  return sendAdmin(server.adminSocket, { method: "POST", target: "/v1/upstreams", body });
}

function signed(request: RawRequest & { action: string; resource: string }, by = agent): RawRequest {
  const { action, resource } = request;
  return signedRequest(by, { ...request, aud, intent: { action, resource } });
}

const readItem = (id: string) => ({
  target: `/shop/items/${id}`,
  action: `read:items:${id}`,
  resource: `shop://items/${id}`,
});

/** What is recorded of a call is there a moment after its answer. */
const SOON = { timeout: 10_000 } as const;

describe("a call through the gateway", () => {
  it("reaches the upstream with a clean head, comes back with a receipt, and leaves intent, decision and outcome", async () => {
    seen = [];
    const headers = { "x-forwarded-for": "127.0.0.1", cookie: "a=b", "x-api-key": "k", "x-trace": "t" };
    const got = await send(gatewayUrl, signed({ ...readItem("7"), headers }), agent.tls);
    expect([got.status, got.text]).toEqual([200, "GET /base/items/7"]);
    expect(got.headers["trustwarden-receipt"]).toBeTypeOf("string");
    expect(got.headers["x-shop"]).toBe("1");
    expect(got.headers["set-cookie"]).toBeUndefined();
    const sent = seen[0]?.headers ?? {};
    expect(sent["x-trace"]).toBe("t");
    for (const name of ["x-forwarded-for", "cookie", "x-api-key", "trustwarden-intent", "trustwarden-salt"])
      expect([name, sent[name]]).toEqual([name, undefined]);
    await expect
      .poll(() => lastCall(`read:items:7`), SOON)
      .toMatchObject({ enforcement: "gateway", outcome: "success" });
  });

  it("is kept where the operator says so, opens what the ledger is committed to, and can be erased", async () => {
    expect((await register("kept", { routes: ROUTES, disclose: "full" })).status).toBe(200);
    const item = { method: "POST", target: "/kept/items", action: "write:items", resource: "shop://items" };
    const got = await send(gatewayUrl, signed({ ...item, body: "7 Elm Street" }), agent.tls);
    const eventId = parseReceiptHeader(String(got.headers["trustwarden-receipt"])).event_id;
    const kept = { request: "7 Elm Street", answer: "POST /base/items", isCommitted: true };
    // Kept, and committed to in the outcome, when the answer has gone out.
    await vi.waitFor(async () => expect(await openPayload(server, eventId)).toEqual(kept), SOON);
    const erasure = { method: "POST", target: `/v1/payloads/${eventId}/erasure`, body: `{"reason":"asked"}` };
    expect((await sendAdmin(server.adminSocket, erasure)).status).toBe(200);
    expect(codeOf(await readPayload(server, eventId))).toBe("not_found");
    const shop = { ...item, target: "/shop/items" };
    const other = await send(gatewayUrl, signed({ ...shop, body: "8 Elm Street" }), agent.tls);
    const unkept = parseReceiptHeader(String(other.headers["trustwarden-receipt"])).event_id;
    await vi.waitFor(async () => expect((await committedOf(server, unkept)).answer).toHaveLength(43), SOON);
    expect(codeOf(await readPayload(server, unkept))).toBe("not_found");
  });

  it.each(["some", true, null])(
    "is not kept by an upstream that says %j of it: there is none",
    async (disclose) => {
      expect(codeOf(await register("odd", { routes: ROUTES, disclose }))).toBe("upstream_malformed");
    },
  );

  it("is refused without an intent, with a bearer token, and by anybody who is no agent", async () => {
    seen = [];
    const { target } = readItem("8");
    expect(codeOf(await send(gatewayUrl, { target }))).toBe("principal_refused");
    expect(codeOf(await send(gatewayUrl, { target }, agent.tls))).toBe("principal_refused");
    const bearer = signed({ ...readItem("8"), headers: { authorization: "Bearer x" } });
    expect(codeOf(await send(gatewayUrl, bearer, agent.tls))).toBe("principal_refused");
    const verifier = await enrolVerifier(server, "v1");
    expect(codeOf(await send(gatewayUrl, { target }, verifier.tls))).toBe("principal_refused");
    expect(seen).toEqual([]);
  });

  it("is refused when the intent says anything else than the request means", async () => {
    seen = [];
    const asDelete = signed({ ...readItem("9"), method: "DELETE" });
    expect(codeOf(await send(gatewayUrl, asDelete, agent.tls))).toBe("principal_refused");
    const other = signed({ ...readItem("9"), resource: "shop://items/10" });
    expect(codeOf(await send(gatewayUrl, other, agent.tls))).toBe("principal_refused");
    const { headers = {} } = signed(readItem("9"));
    const moved = { target: "/shop/items/10", headers };
    expect(codeOf(await send(gatewayUrl, moved, agent.tls))).toBe("principal_refused");
    expect(seen).toEqual([]);
  });

  it("does not reach the upstream when its intent is too large for the ledger, a read included", async () => {
    seen = [];
    const { target, action, resource } = readItem("13");
    const job = "\u0001".repeat(2048);
    const request = signedRequest(agent, { target, aud, action, intent: { resource, job } });
    expect(codeOf(await send(gatewayUrl, request, agent.tls))).toBe("entry_too_large");
    expect(seen).toEqual([]);
    const fits = signedRequest(agent, { target, aud, action, intent: { resource, job: "a".repeat(2048) } });
    expect((await send(gatewayUrl, fits, agent.tls)).status).toBe(200);
  });

  it("is refused when its intent names a tree that the ledger never showed, and taken with the newest (41)", async () => {
    seen = [];
    const { target, action, resource } = readItem("14");
    const call = (claimed: Seen) =>
      send(
        gatewayUrl,
        signedRequest(agent, { target, aud, action, intent: { resource, seen: claimed } }),
        agent.tls,
      );
    const latest = await latestSeen(server);
    for (const claimed of Object.values(falseSeen(latest))) {
      const refused = await call(claimed);
      expect([refused.status, codeOf(refused)]).toEqual([409, "checkpoint_unpublished"]);
    }
    expect(seen).toEqual([]);
    expect((await call(latest)).status).toBe(200);
  });

  it("acts once on one intent", async () => {
    const request = signed(readItem("11"));
    expect((await send(gatewayUrl, request, agent.tls)).status).toBe(200);
    expect(codeOf(await send(gatewayUrl, request, agent.tls))).toBe("principal_refused");
  });

  it("is denied outside the scope, with the receipt of the deny", async () => {
    seen = [];
    const request = {
      method: "DELETE",
      target: "/shop/items/1",
      action: "delete:items:1",
      resource: "shop://items/1",
    };
    const got = await send(gatewayUrl, signed(request), agent.tls);
    expect([got.status, codeOf(got)]).toEqual([403, "denied"]);
    expect(got.headers["trustwarden-receipt"]).toBeTypeOf("string");
    expect(seen).toEqual([]);
    expect(await lastCall("delete:items:1")).toMatchObject({ outcome: "denied" });
  });

  it("has one reading of its path, or is refused", async () => {
    seen = [];
    for (const target of [
      "/shop//items/1",
      "/shop/a/../items/1",
      "/shop/items/%31",
      "/shop/items/1;x",
      "/shop\\items",
    ]) {
      const { headers = {} } = signed(readItem("1"));
      expect([target, codeOf(await send(gatewayUrl, { target, headers }, agent.tls))]).toEqual([
        target,
        "request_malformed",
      ]);
    }
    expect(seen).toEqual([]);
  });

  it("goes to registered upstreams alone, and to the routes of their table", async () => {
    const unknown = signed({
      target: "/nowhere/items/1",
      action: "read:items:1",
      resource: "shop://items/1",
    });
    expect(codeOf(await send(gatewayUrl, unknown, agent.tls))).toBe("upstream_unknown");
    const unrouted = signed({ target: "/shop/other", action: "read:items:1", resource: "shop://items/1" });
    expect(codeOf(await send(gatewayUrl, unrouted, agent.tls))).toBe("route_unknown");
  });

  it("follows no redirect of the upstream", async () => {
    const request = { target: "/shop/redirect", action: "read:stream", resource: "shop://redirect" };
    const got = await send(gatewayUrl, signed(request), agent.tls);
    expect(got.status).toBe(302);
  });

  it("carries a body that the intent is bound to, durable before the upstream hears of it", async () => {
    seen = [];
    const request = {
      method: "POST",
      target: "/shop/items",
      body: '{"n":1}',
      action: "write:items",
      resource: "shop://items",
    };
    const made = signed(request);
    expect((await send(gatewayUrl, { ...made, body: '{"n":2}' }, agent.tls)).status).toBe(401);
    const again = signed(request);
    expect((await send(gatewayUrl, again, agent.tls)).status).toBe(200);
    expect(seen.map(({ body }) => body)).toEqual(['{"n":1}']);
  });

  it("says so when the upstream cannot be reached, and that nothing came of it", async () => {
    await register("gone", { routes: ROUTES }, { url: "http://127.0.0.1:1" });
    const request = { ...readItem("12"), target: "/gone/items/12" };
    const got = await send(gatewayUrl, signed(request), agent.tls);
    expect([got.status, codeOf(got)]).toEqual([502, "upstream_unreachable"]);
    await expect.poll(() => lastCall("read:items:12"), SOON).toMatchObject({ outcome: "failure" });
  });
});

describe("an open stream", () => {
  it("is cut within a second of the revocation, and its outcome says that it was broken off", async () => {
    const doomed = await enrolAgent(server, owner, { name: "doomed", scope: ["read:stream"] });
    const stream = await openStream(doomed);
    const startedMs = performance.now();
    const id = doomed.answer.instance_id;
    const body = JSON.stringify({ target: { kind: "instance", id }, reason: "test" });
    await sendAdmin(server.adminSocket, { method: "POST", target: "/v1/revocations", body });
    await stream.closed;
    expect(performance.now() - startedMs).toBeLessThan(1000);
    await expect.poll(async () => await lastCall("read:stream")).toMatchObject({ outcome: "aborted" });
  });

  it("is cut when its scope is narrowed away, and not when somebody else's is", async () => {
    const narrowed = await enrolAgent(server, owner, { name: "narrowed", scope: ["read:stream", "read:x"] });
    const stream = await openStream(narrowed);
    const other = await openStream(agent);
    const body = JSON.stringify({ instance_id: narrowed.answer.instance_id, scope: ["read:x"] });
    await sendAdmin(server.adminSocket, { method: "POST", target: "/v1/narrowings", body });
    await stream.closed;
    expect(other.isOpen()).toBe(true);
    other.destroy();
  });

  it("goes on when another upstream is registered, replaced or taken away", async () => {
    const stream = await openStream(agent);
    await register("other", { routes: ROUTES });
    await register("other", { routes: ROUTES.slice(1) });
    const removal = { method: "POST", target: "/v1/upstreams/other/removal", body: "{}" };
    expect(jsonOf(await sendAdmin(server.adminSocket, removal))).toEqual({ name: "other", calls_cut: 0 });
    expect(await stream.next()).toContain("tick");
    stream.destroy();
  });

  it("is cut when its upstream is taken away", async () => {
    await register("brief", { routes: ROUTES });
    const stream = await openStream(agent, "brief");
    const removal = { method: "POST", target: "/v1/upstreams/brief/removal", body: "{}" };
    expect(jsonOf(await sendAdmin(server.adminSocket, removal))).toEqual({ name: "brief", calls_cut: 1 });
    await stream.closed;
  });

  it("that the caller leaves is recorded as broken off", async () => {
    const leaver = await enrolAgent(server, owner, { name: "leaver", scope: ["read:stream"] });
    const stream = await openStream(leaver);
    stream.destroy();
    await expect
      .poll(async () => await lastCall("read:stream", leaver))
      .toMatchObject({ outcome: "aborted" });
  });
});

describe("registering an upstream", () => {
  it.each([
    ["ftp://x.test", "upstream_malformed"],
    ["http://x.test", "upstream_malformed"],
    ["https://u:p@x.test", "upstream_malformed"],
    ["https://x.test/a/../b", "upstream_malformed"],
    ["https://x.test/?q", "upstream_malformed"],
    ["https://X.test", "upstream_malformed"],
  ])("refuses %s", async (url, code) => {
    expect(codeOf(await register("bad", { routes: ROUTES }, { url }))).toBe(code);
  });

  it("refuses names that are no path segment of ours", async () => {
    for (const name of ["", "A", "a.b", "-a", "a/b"])
      expect([name, codeOf(await register(name, {}))]).toEqual([name, "request_malformed"]);
  });

  it("does not connect to an address that only a private network has, unless the operator said so", async () => {
    await register("inside", { routes: ROUTES }, { url: "https://10.0.0.1", allow_private: false });
    const got = await send(gatewayUrl, signed({ ...readItem("13"), target: "/inside/items/13" }), agent.tls);
    expect([got.status, codeOf(got)]).toEqual([502, "upstream_refused"]);
  });

  it("tells agents what they need to plan their calls, and nothing of secrets", async () => {
    const request = signedRequest(agent, { target: "/v1/gateway", action: "read:gateway", aud });
    const got = jsonOf(await send(server.url, request, agent.tls));
    expect(got.url).toBe(gatewayUrl);
    expect(got.upstreams).toContainEqual(
      expect.objectContaining({ name: "shop", kind: "http", settings: { routes: ROUTES } }),
    );
    expect(JSON.stringify(got)).not.toContain("secret");
  });
});

interface OpenStream {
  readonly closed: Promise<void>;
  /** What comes from now on; rejects when the stream is over. */
  next(): Promise<string>;
  isOpen(): boolean;
  destroy(): void;
}

function openStream(by: TestInstance, name = "shop"): Promise<OpenStream> {
  const { target, headers } = signed(
    { target: `/${name}/stream`, action: "read:stream", resource: "shop://stream" },
    by,
  );
  const { hostname, port } = new URL(gatewayUrl);
  const tls = new Agent({ rejectUnauthorized: false, ...by.tls });
  const { promise, resolve, reject } = Promise.withResolvers<OpenStream>();
  const outgoing = tlsRequest({ host: hostname, port, agent: tls, path: target, headers }, (message) => {
    if (message.statusCode !== 200) return reject(new Error(String(message.statusCode)));
    const closed = new Promise<void>((done) => message.once("close", done));
    message.on("error", () => undefined);
    message.once("data", () =>
      resolve({
        closed,
        next: async () =>
          String(
            (
              await Promise.race([
                once(message, "data"),
                closed.then(() => Promise.reject(new Error("over"))),
              ])
            )[0],
          ),
        isOpen: () => !message.closed,
        destroy: () => message.destroy(),
      }),
    );
  });
  outgoing.on("error", reject);
  outgoing.end();
  return promise;
}

/** The latest event of an action, as the ledger shows it. */
async function lastCall(action: string, by?: TestInstance): Promise<EventView | undefined> {
  const events = (await eventsOf(server, "action")).filter((event) => event.action === action);
  return events.find((event) => by === undefined || event.agent_identity === by.answer.spiffe_id);
}
