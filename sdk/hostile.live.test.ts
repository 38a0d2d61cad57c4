/** Hostile peers of the SDK, with real identities: visitors that leave, services that answer nonsense, nosy loggers. */
import { createServer } from "node:https";
import type { AddressInfo, Socket } from "node:net";
import { inspect } from "node:util";
import { gzipSync } from "node:zlib";
import { eventPage } from "@trustwarden/core/api/ledger.ts";
import { ROUTES_PATH } from "@trustwarden/core/route-table.ts";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { AgentIdentity } from "./agent-identity.ts";
import { type LiveServer, startLiveServer } from "./live.test.support.ts";
import { type GuardAgents, verifyAgent } from "./verify-agent.ts";

const ROUTES = [
  { method: "GET", path: "/rows", action: "read:rows", resource: "postgres://db/rows" },
  { method: "GET", path: "/left", action: "read:left", resource: "postgres://db/left" },
];
const KEY = /PRIVATE KEY/;

let live: LiveServer;
let guardAgents: GuardAgents;
let agent: AgentIdentity;
const sockets = new Set<Socket>();
/** What the service's own code was called for, and what a logger in it would have written. */
const handled: string[] = [];
const logged: string[] = [];
/** How the next answer of the hostile service looks, raw. */
let raw = "";
/** Whether it goes on with more of it for as long as somebody listens, and how often nobody did any more. */
let isEndless = false;
let left = 0;

const listenOn = async (server: ReturnType<typeof createServer>): Promise<string> => {
  server.on("secureConnection", (socket) => sockets.add(socket));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = Object(server.address()) as AddressInfo; // the one cast: a TCP server's address
  closing.push(() => server.close());
  return `https://127.0.0.1:${port}`;
};
const closing: (() => void)[] = [];
let honest: string;
let hostile: string;

beforeAll(async () => {
  live = await startLiveServer();
  guardAgents = await verifyAgent({ routes: ROUTES, ticket: await live.verifierTicket("finance") });
  const handler = guardAgents.handler((request, response, visit) => {
    handled.push(visit.action);
    logged.push(inspect(request, { depth: 6, showHidden: true }), inspect(response, { depth: 6 }));
    response.end("[]");
  });
  const server = createServer(guardAgents.tlsOptions(), (request, response) => {
    if (request.url === "/left") request.once("end", () => request.socket.destroy());
    handler.call(server, request, response);
  });
  honest = await listenOn(server);
  hostile = await listenOn(
    createServer(guardAgents.tlsOptions(), (request, response) => {
      if (request.url === ROUTES_PATH) handler(request, response);
      else if (!isEndless) request.socket.end(raw, "latin1");
      else pourInto(request.socket);
    }),
  );
  agent = await AgentIdentity.create({
    name: "payment-agent",
    ticket: live.ticket({ name: "payment-agent", scope: ["read:rows", "read:left"] }),
  });
});

afterAll(async () => {
  for (const socket of sockets) socket.destroy();
  for (const close of closing) close();
  await agent?.close();
  await guardAgents?.close();
  await live?.close();
});

describe("a logger in a service", () => {
  it("sees no private key in the request, the response or the server that it holds", async () => {
    expect((await agent.fetch(`${honest}/rows`)).status).toBe(200);
    expect(logged).toHaveLength(2);
    for (const text of logged) expect(text).not.toMatch(KEY);
    const own = guardAgents.createServer(() => undefined);
    expect(inspect(own, { depth: 6, showHidden: true })).not.toMatch(KEY);
    await guardAgents.renew();
    expect(inspect(own, { depth: 6, showHidden: true })).not.toMatch(KEY);
    expect((await agent.fetch(`${honest}/rows`)).status).toBe(200);
  });

  it("sees none in an identity, a guard or what they hold", () => {
    for (const value of [agent, guardAgents, guardAgents.tlsOptions()]) {
      expect(inspect(value, { depth: 8, showHidden: true })).not.toMatch(KEY);
      expect(JSON.stringify(value)).not.toMatch(KEY);
    }
  });
});

function pourInto(socket: Socket): void {
  const part = `4000\r\n${"x".repeat(0x4000)}\r\n`;
  const pour = () => {
    while (socket.writable && socket.write(part, "latin1"));
  };
  socket.on("drain", pour).once("close", () => {
    left += 1;
  });
  socket.write(raw, "latin1", pour);
}

describe("a visitor that leaves while it is decided about", () => {
  it("gets nothing done, and the ledger says that it broke off", async () => {
    await expect(agent.fetch(`${honest}/left`)).rejects.toMatchObject({ code: "server_unreachable" });
    const find = async () => {
      const answer = await agent.fetch(`${live.url}/v1/events?action=read:left`);
      return eventPage.parse(await answer.json()).events[0]?.outcome;
    };
    await expect.poll(find, { timeout: 5000 }).toBe("aborted");
    expect(handled).not.toContain("read:left");
  });
});

describe("a service that answers nonsense", () => {
  it.each([
    [
      "an upgrade that nobody asked for",
      "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n",
    ],
    ["a status that is none", "HTTP/1.1 999 Nine\r\nContent-Length: 0\r\n\r\n"],
    ["a status beyond the web's", "HTTP/1.1 600 Six\r\nContent-Length: 0\r\n\r\n"],
    ["nothing", ""],
    ["bytes that are no HTTP", "\0\0\0\r\n\r\n"],
  ])("is unreachable for the agent: %s", async (_case, answer) => {
    raw = answer;
    await expect(agent.fetch(`${hostile}/rows`)).rejects.toMatchObject({ code: "server_unreachable" });
  });

  it("cannot pass a success or a redirect without a receipt", async () => {
    for (const status of ["200 OK", "302 Found\r\nLocation: https://127.0.0.1:1/", "304 Not Modified"]) {
      raw = `HTTP/1.1 ${status}\r\nContent-Length: 0\r\n\r\n`;
      await expect(agent.fetch(`${hostile}/rows`)).rejects.toMatchObject({ code: "receipt_invalid" });
    }
  });

  it("is not decoded, whatever coding it names: a bomb needs a decoder", async () => {
    const bomb = gzipSync(Buffer.alloc(1 << 20));
    raw = `HTTP/1.1 500 No\r\nConnection: close\r\nContent-Encoding: gzip\r\nContent-Length: ${bomb.length}\r\n\r\n${bomb.toString("latin1")}`;
    const answer = await agent.fetch(`${hostile}/rows`);
    expect(Buffer.from(await answer.arrayBuffer()).equals(bomb)).toBe(true);
  });

  it("is heard, of an answer without end, as much as the agent reads, until it has enough", async () => {
    raw = "HTTP/1.1 500 No\r\nTransfer-Encoding: chunked\r\n\r\n";
    isEndless = true;
    const stopping = new AbortController();
    const open = async () => agent.fetch(`${hostile}/rows`, { signal: stopping.signal });
    const [read, cancelled] = [await open(), await open()];
    await cancelled.body?.cancel();
    await expect.poll(() => left).toBe(1);
    const whole = read.arrayBuffer();
    stopping.abort(new Error("enough"));
    await expect(whole).rejects.toThrow();
    await expect.poll(() => left).toBe(2);
    isEndless = false;
  });
});
