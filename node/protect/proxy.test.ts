/** The proxy in this process: WebSockets, a service that is gone, and a service that lets nobody but the proxy in. */
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import { Agent, createServer as createTlsServer, request as tlsRequest } from "node:https";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";
import type { TLSSocket } from "node:tls";
import { ticketAnswer } from "@trustwarden/core/api/identity.ts";
import type { Route } from "@trustwarden/core/route-table.ts";
import { type GuardAgents, verifyAgent } from "trustwarden";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  createOwner,
  enrolAgent,
  parseAnswer,
  signedRequest,
  type TestInstance,
} from "../../test/support/actors.ts";
import { codeOf, send, sendAdmin } from "../../test/support/http.ts";
import { startTestServer, type TestServer } from "../../test/support/server.ts";
import { createWebCertificate } from "../../test/support/web-certificate.ts";
import { createProtectServer, parseProtectedUrl } from "./proxy.ts";

const ROUTES: readonly Route[] = [
  { method: "GET", path: "/chat", action: "read:chat", resource: "shop://chat" },
];

let server: TestServer;
let guard: GuardAgents;
let agent: TestInstance;
let backend: Server;
const closing: (() => void)[] = [];

beforeAll(async () => {
  server = await startTestServer();
  const body = JSON.stringify({ name: "chat", ttl_seconds: 3600 });
  const ticket = { method: "POST", target: "/v1/verifier-tickets", body };
  guard = await verifyAgent({
    routes: ROUTES,
    ticket: parseAnswer(ticketAnswer, await sendAdmin(server.adminSocket, ticket)).ticket,
  });
  agent = await enrolAgent(server, await createOwner(server), { scope: ["read:chat"] });
  backend = createServer((_request, response) => response.end("plain"));
  backend.on("upgrade", (request, socket: Duplex) => {
    socket.on("error", () => socket.destroy());
    const who = request.headers["trustwarden-agent"];
    socket.write(
      `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nX-Who: ${who}\r\n\r\n`,
    );
    socket.pipe(socket);
  });
  await listen(backend);
});
afterAll(async () => {
  for (const close of closing) close();
  await guard.close();
  await server.close();
  server.home.remove();
});

async function listen(listening: Server): Promise<number> {
  listening.listen(0, "127.0.0.1");
  await once(listening, "listening");
  closing.push(() => {
    listening.closeAllConnections();
    listening.close();
  });
  const { port } = Object(listening.address()) as AddressInfo; // the one cast: a TCP server's address
  return port;
}

const portOf = (listening: Server) => (Object(listening.address()) as AddressInfo).port; // the one cast, as above

const protect = (url: string, ca?: string) => listen(createProtectServer(guard, { url, ca }));
const visit = (by = agent) =>
  signedRequest(by, {
    target: "/chat",
    aud: guard.id,
    action: "read:chat",
    intent: { resource: "shop://chat" },
  });

function openWebSocket(port: number): Promise<{ status: number; who: unknown; socket: Duplex }> {
  const { target, headers } = visit();
  const { promise, resolve, reject } = Promise.withResolvers<{
    status: number;
    who: unknown;
    socket: Duplex;
  }>();
  const outgoing = tlsRequest({
    host: "127.0.0.1",
    port,
    agent: new Agent({ rejectUnauthorized: false, ...agent.tls }),
    path: target,
    headers: { ...headers, connection: "Upgrade", upgrade: "websocket" },
  });
  outgoing.on("upgrade", (answer, socket: Duplex) => {
    socket.on("error", () => socket.destroy());
    resolve({ status: answer.statusCode ?? 0, who: answer.headers["x-who"], socket });
  });
  outgoing.on("response", ({ statusCode = 0, socket }) =>
    resolve({ status: statusCode, who: undefined, socket }),
  );
  outgoing.on("error", reject);
  outgoing.end();
  return promise;
}

describe("the proxy", () => {
  test("carries a WebSocket both ways, and says who came", async () => {
    const port = await protect(`http://127.0.0.1:${portOf(backend)}`);
    const { status, who, socket } = await openWebSocket(port);
    expect([status, who]).toEqual([101, agent.answer.spiffe_id]);
    socket.write("hello");
    const [echoed] = await once(socket, "data");
    expect(String(echoed)).toBe("hello");
    socket.destroy();
  });

  test("answers 502 for a service that is gone, and for one that takes no upgrade", async () => {
    const port = await protect("http://127.0.0.1:1");
    const answer = await send(`https://127.0.0.1:${port}`, visit(), agent.tls);
    expect([answer.status, codeOf(answer)]).toEqual([502, "upstream_unreachable"]);
    expect((await openWebSocket(port)).status).toBe(502);
  });

  test("shows its own SVID to a service that asks, so that whoever comes past it is turned away", async () => {
    const web = createWebCertificate();
    closing.push(web.remove);
    const strict = createTlsServer(
      {
        key: readFileSync(web.keyFile),
        cert: readFileSync(web.certFile),
        requestCert: true,
        rejectUnauthorized: false,
      },
      (request, response) => {
        const names = (request.socket as TLSSocket).getPeerCertificate().subjectaltname ?? ""; // a TLS server's sockets are TLS
        response.statusCode = names === `URI:${guard.id}` ? 200 : 401;
        response.end(names);
      },
    );
    const strictPort = await listen(strict);
    const port = await protect(`https://localhost:${strictPort}`, web.ca);
    const through = await send(`https://127.0.0.1:${port}`, visit(), agent.tls);
    expect(through.status).toBe(200);
    const past = await send(`https://127.0.0.1:${strictPort}`, visit(), agent.tls);
    expect(past.status).toBe(401);
  });
});

test.each(["ftp://x.test", "http://shop.test", "https://x.test/base", "https://u@x.test", "x"])(
  "%s is no service that it may stand before",
  (url) => expect(() => parseProtectedUrl(url)).toThrow(expect.objectContaining({ code: "usage" })),
);
