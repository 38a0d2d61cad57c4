/** What becomes a two-way connection at the gateway: WebSockets to upstreams, and tunnels to places outside. */
import { createServer as createHttpServer } from "node:http";
import { Agent, request as tlsRequest } from "node:https";
import { createServer as createTcpServer, type Server } from "node:net";
import type { Duplex } from "node:stream";
import type { EventView } from "@trustwarden/core/api/ledger.ts";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  createOwner,
  enrolAgent,
  serverIdOf,
  signedRequest,
  type TestInstance,
  type TestOwner,
} from "./support/actors.ts";
import { codeOf, type RawAnswer, sendAdmin } from "./support/http.ts";
import { eventsOf } from "./support/refusals.ts";
import { startTestServer, type TestServer } from "./support/server.ts";

const SECRET = "sk-upstream-4815162342";
const CANARY = "canary-2342-tunnel";
const ROUTES = [{ method: "GET", path: "/chat", action: "read:chat", resource: "shop://chat" }];

let server: TestServer;
let aud: string;
let owner: TestOwner;
let agent: TestInstance;
let echo: Server;
let web: Server;
let echoPort: number;
let shop: { readonly url: string };

beforeAll(async () => {
  server = await startTestServer({ gateway: { port: 0 } });
  aud = await serverIdOf(server);
  owner = await createOwner(server);
  echo = createTcpServer((socket) => socket.on("error", () => socket.destroy()).pipe(socket));
  const http = createHttpServer((_request, response) => response.writeHead(404).end());
  http.on("upgrade", (request, socket: Duplex) => {
    socket.on("error", () => socket.destroy());
    const { authorization = "none" } = request.headers;
    const extensions = request.headers["sec-websocket-extensions"] ?? "none";
    socket.write(
      `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: yes\r\nX-Asked: ${extensions}\r\nX-Echo: ${authorization}\r\n\r\n`,
    );
    if (authorization !== "none") socket.write(`you are ${authorization}, I see;`);
    socket.pipe(socket);
  });
  web = http;
  echoPort = await listen(echo);
  const webPort = await listen(web);
  agent = await enrolAgent(server, owner, { scope: ["read:chat", "connect:net:127.0.0.1/**"] });
  shop = { url: `http://127.0.0.1:${webPort}` };
  await register({ name: "shop", kind: "http", ...shop, settings: { routes: ROUTES } });
});
afterAll(async () => {
  await server.close();
  echo.close();
  web.close();
  server.home.remove();
});

function listen(listening: Server): Promise<number> {
  const { promise, resolve } = Promise.withResolvers<number>();
  listening.listen(0, "127.0.0.1", () => {
    const address = listening.address();
    resolve(typeof address === "object" ? (address?.port ?? 0) : 0);
  });
  return promise;
}

function register(upstream: object): Promise<RawAnswer> {
  const body = JSON.stringify({ allow_private: true, ...upstream });
  return sendAdmin(server.adminSocket, { method: "POST", target: "/v1/upstreams", body });
}

const allowPlaces = (...places: readonly string[]) =>
  register({ name: "egress", kind: "egress", url: "egress:", settings: { places } });

interface Tunnel {
  readonly status: number;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly socket: Duplex;
  readonly closed: Promise<void>;
}

/** Opens a two-way connection, or gives the status that it was refused with. */
function open(
  method: "GET" | "CONNECT",
  target: string,
  signed: { action: string; resource: string },
  by = agent,
) {
  const { headers } = signedRequest(by, {
    method,
    target,
    aud,
    action: signed.action,
    intent: { ...signed },
  });
  const { hostname, port } = new URL(server.gatewayUrl ?? "");
  const tls = new Agent({ rejectUnauthorized: false, maxCachedSessions: 0, ...by.tls });
  const upgrade =
    method === "GET"
      ? {
          connection: "Upgrade",
          upgrade: "websocket",
          "sec-websocket-key": "x",
          "sec-websocket-extensions": "permessage-deflate",
        }
      : {};
  const { promise, resolve, reject } = Promise.withResolvers<Tunnel>();
  const outgoing = tlsRequest({
    host: hostname,
    port,
    agent: tls,
    method,
    path: target,
    headers: { ...headers, ...upgrade },
  });
  const onOpen = (message: { statusCode?: number | undefined; headers: object }, socket: Duplex): void => {
    const closed = new Promise<void>((done) => socket.once("close", () => done()));
    socket.on("error", () => undefined);
    resolve({ status: message.statusCode ?? 0, headers: { ...message.headers }, socket, closed });
  };
  outgoing.on("upgrade", onOpen);
  outgoing.on("connect", onOpen);
  outgoing.on("response", (message) => onOpen(message, message.socket));
  outgoing.on("error", reject);
  outgoing.end();
  return promise;
}

const chat = (by?: TestInstance) =>
  open("GET", "/shop/chat", { action: "read:chat", resource: "shop://chat" }, by);
const tunnel = (place: string, by?: TestInstance) =>
  open(
    "CONNECT",
    place,
    { action: `connect:net:${place.replace(":", "/")}`, resource: `tcp://${place}` },
    by,
  );

async function echoed(socket: Duplex, text: string): Promise<string> {
  const got = new Promise<string>((resolve) =>
    socket.once("data", (part: Buffer) => resolve(part.toString())),
  );
  socket.write(text);
  return await got;
}

async function lastCall(action: string): Promise<EventView | undefined> {
  return (await eventsOf(server, "action")).find((event) => event.action === action);
}

describe("a WebSocket through the gateway", () => {
  it("is opened with a receipt, carries bytes both ways, and ends with an outcome", async () => {
    const { status, headers, socket, closed } = await chat();
    expect([status, headers["sec-websocket-accept"], headers["x-asked"]]).toEqual([101, "yes", "none"]);
    expect(headers["trustwarden-receipt"]).toBeTypeOf("string");
    expect(await echoed(socket, "hello")).toBe("hello");
    socket.end();
    await closed;
    await expect
      .poll(() => lastCall("read:chat"))
      .toMatchObject({ outcome: "success", enforcement: "gateway" });
  });

  it("is refused outside the scope before anything is dialled", async () => {
    const other = await enrolAgent(server, owner, { name: "other", scope: ["read:else"] });
    expect((await chat(other)).status).toBe(403);
  });

  it("takes the upstream's secret along, and the agent never sees it come back", async () => {
    const { url } = shop;
    const scope = { upstreams: [{ name: "guarded", origin: url }], agents: ["agent:**"] };
    const injection = { as: "header", name: "authorization", template: "Bearer {secret}" };
    const put = { name: "chat-key", value: SECRET, injection, ...scope };
    const body = JSON.stringify(put);
    expect(
      (await sendAdmin(server.adminSocket, { method: "POST", target: "/v1/secrets", body })).status,
    ).toBe(200);
    await register({ name: "guarded", kind: "http", url, settings: { routes: ROUTES }, secret: "chat-key" });
    const { socket, headers } = await open("GET", "/guarded/chat", {
      action: "read:chat",
      resource: "shop://chat",
    });
    const greeting = await new Promise<string>((resolve) =>
      socket.once("data", (part: Buffer) => resolve(part.toString())),
    );
    expect(greeting).toMatch(/^you are Bearer \*+, I see;$/);
    expect(headers["x-echo"]).toMatch(/^Bearer \*+$/);
    socket.destroy();
  });

  it("ends when the secret is taken away, and that is no success", async () => {
    const { socket, closed } = await open("GET", "/guarded/chat", {
      action: "read:chat",
      resource: "shop://chat",
    });
    socket.resume();
    const disabling = {
      method: "POST",
      target: "/v1/secrets/chat-key/disabling",
      body: '{"reason":"drill"}',
    };
    expect((await sendAdmin(server.adminSocket, disabling)).status).toBe(200);
    await closed;
    await expect.poll(() => lastCall("read:chat")).toMatchObject({ outcome: "failure" });
  });

  it("carries no planted string, neither in its target nor back", async () => {
    const body = JSON.stringify({ name: "planted", kind: "canary", value: CANARY });
    expect(
      (await sendAdmin(server.adminSocket, { method: "POST", target: "/v1/secrets", body })).status,
    ).toBe(200);
    const asked = await open("GET", `/shop/chat?q=${CANARY}`, {
      action: "read:chat",
      resource: "shop://chat",
    });
    expect(asked.status).toBe(403);
    const { socket, closed } = await chat();
    socket.write(CANARY);
    await closed;
    await expect.poll(() => lastCall("read:chat")).toMatchObject({ outcome: "failure" });
    const alarms = await eventsOf(server, "alarm");
    expect(alarms.filter(({ reasons }) => reasons.includes("canary_found"))).toHaveLength(2);
  });

  it("is cut when its agent is revoked", async () => {
    const doomed = await enrolAgent(server, owner, { name: "doomed", scope: ["read:chat"] });
    const { socket, closed } = await chat(doomed);
    expect(await echoed(socket, "hello")).toBe("hello");
    const body = JSON.stringify({
      target: { kind: "instance", id: doomed.answer.instance_id },
      reason: "test",
    });
    await sendAdmin(server.adminSocket, { method: "POST", target: "/v1/revocations", body });
    await closed;
    await expect.poll(() => lastCall("read:chat")).toMatchObject({ outcome: "aborted" });
  });
});

describe("a tunnel to a place outside", () => {
  it("is refused while the operator named no place, and the place is in the record", async () => {
    expect((await tunnel(`127.0.0.1:${echoPort}`)).status).toBe(404);
    await allowPlaces("elsewhere.test:443");
    expect((await tunnel(`127.0.0.1:${echoPort}`)).status).toBe(404);
    const [refused] = await eventsOf(server, "refuse");
    expect(refused?.reasons).toEqual(["route_unknown"]);
  });

  it("leads to a named place that the scope covers, and nowhere else", async () => {
    await allowPlaces(`127.0.0.1:${echoPort}`);
    const { status, socket, closed } = await tunnel(`127.0.0.1:${echoPort}`);
    expect(status).toBe(200);
    expect(await echoed(socket, "through")).toBe("through");
    socket.destroy();
    await closed;
    const action = `connect:net:127.0.0.1/${echoPort}`;
    await expect.poll(() => lastCall(action)).toMatchObject({ outcome: "success", class: "B" });
    const narrow = await enrolAgent(server, owner, { name: "narrow", scope: ["connect:net:else.test/443"] });
    expect((await tunnel(`127.0.0.1:${echoPort}`, narrow)).status).toBe(403);
  });

  it("does not lead into the private network unless the operator said so of tunnels", async () => {
    const settings = { places: [`127.0.0.1:${echoPort}`] };
    await register({ name: "egress", kind: "egress", url: "egress:", settings, allow_private: false });
    expect((await tunnel(`127.0.0.1:${echoPort}`)).status).toBe(502);
  });

  it("has one spelling of its place", async () => {
    for (const place of [
      "LOCALHOST:443",
      "127.0.0.1:0443",
      "[::1]:443",
      "a..b:443",
      "127.0.0.1:70000",
      "a.test.:443",
    ]) {
      expect([place, (await tunnel(place)).status]).toEqual([place, 400]);
    }
  });

  it("is registered with places and nothing else", async () => {
    const settings = { places: ["a.test:443"] };
    for (const bad of [
      { url: "https://a.test" },
      { secret: "x" },
      { settings: { places: ["a.test"] } },
      { settings: { places: ["*:443"] } },
      { settings: {} },
      { settings: { places: [], more: 1 } },
    ]) {
      const answer = await register({ name: "egress", kind: "egress", url: "egress:", settings, ...bad });
      expect([JSON.stringify(bad), codeOf(answer)]).toEqual([JSON.stringify(bad), "upstream_malformed"]);
    }
  });
});
