/** Turns before the handshakes of a relay: who has one, who waits, and who is sent away. */
import { once } from "node:events";
import { createServer, type Server } from "node:https";
import { type AddressInfo, connect, type Socket } from "node:net";
import { connect as connectTls, type TLSSocket } from "node:tls";
import { takeHandshakesByTurns } from "@trustwarden/server/http/handshake-turns.ts";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { createTestDomain } from "../../sdk/tls.test.support.ts";

const own = createTestDomain().issue(["trustwarden", "relay", "rack-7", "inst-R"]);
const PATIENT = { timeout: 60_000, interval: 5 };
/** The head of a TLS record whose rest does not come: a handshake that is under way and goes no further. */
const BEGUN = Buffer.from([22, 3, 1]);
let server: Server;
let nowMs: number;
let begun: number;
const clients = new Set<Socket>();

beforeEach(async () => {
  nowMs = 0;
  begun = 0;
  server = createServer({ key: own.key, cert: own.cert });
  // Counted behind the turns, where the handshake begins.
  server.prependListener("connection", () => {
    begun += 1;
  });
  takeHandshakesByTurns(server, { monotonicMs: () => nowMs, maxAtOnce: 1, maxWaitMs: 100 });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
});
afterEach(async () => {
  for (const client of clients) client.destroy();
  clients.clear();
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

const port = () => (server.address() as AddressInfo).port;

function open(): Socket {
  const socket = connect(port(), "127.0.0.1");
  socket.on("error", () => undefined);
  clients.add(socket);
  return socket;
}

function shakeHands(): TLSSocket {
  const socket = connectTls({ port: port(), host: "127.0.0.1", rejectUnauthorized: false });
  socket.on("error", () => undefined);
  clients.add(socket);
  return socket;
}

test("whoever has said nothing takes no turn", async () => {
  await once(open(), "connect");
  await once(open(), "connect");
  await once(shakeHands(), "secureConnect");
  expect(begun).toBe(1);
});

test("one after the other: the next begins when the one before is through, or gone", async () => {
  const first = open();
  first.write(BEGUN);
  await vi.waitUntil(() => begun === 1, PATIENT);
  const [second, third] = [shakeHands(), shakeHands()];
  await Promise.all([once(second, "connect"), once(third, "connect")]);
  expect(begun).toBe(1);
  const through = Promise.all([once(second, "secureConnect"), once(third, "secureConnect")]);
  first.destroy();
  await through;
  expect(begun).toBe(3);
});

test.each([
  ["the server gives it up", { handshakeTimeout: 50, maxTurnMs: 600_000 }],
  ["its turn is over, whatever the server says", { handshakeTimeout: 600_000, maxTurnMs: 50 }],
])("a handshake that goes no further keeps its place no longer than until %s", async (_, limits) => {
  const { handshakeTimeout, maxTurnMs } = limits;
  const other = createServer({ key: own.key, cert: own.cert, handshakeTimeout });
  takeHandshakesByTurns(other, { monotonicMs: () => 0, maxAtOnce: 1, maxTurnMs });
  other.listen(0, "127.0.0.1");
  await once(other, "listening");
  const address = other.address() as AddressInfo;
  const stuck = connect(address.port, "127.0.0.1");
  stuck.on("error", () => undefined);
  stuck.write(BEGUN);
  clients.add(stuck);
  await once(stuck, "connect");
  const next = connectTls({ port: address.port, host: "127.0.0.1", rejectUnauthorized: false });
  next.on("error", () => undefined);
  clients.add(next);
  await once(next, "secureConnect");
  for (const client of clients) client.destroy();
  await new Promise((resolve) => other.close(resolve));
});

test("sixteen strangers who begin and go no further keep a newcomer out for no longer than their turn", async () => {
  const other = createServer({ key: own.key, cert: own.cert, handshakeTimeout: 600_000 });
  takeHandshakesByTurns(other, { monotonicMs: () => performance.now() });
  other.listen(0, "127.0.0.1");
  await once(other, "listening");
  const address = other.address() as AddressInfo;
  for (let stranger = 0; stranger < 16; stranger += 1) {
    const stuck = connect(address.port, "127.0.0.1");
    stuck.on("error", () => undefined);
    stuck.write(BEGUN);
    clients.add(stuck);
    await once(stuck, "connect");
  }
  const sinceMs = performance.now();
  const next = connectTls({ port: address.port, host: "127.0.0.1", rejectUnauthorized: false });
  next.on("error", () => undefined);
  clients.add(next);
  await once(next, "secureConnect");
  expect(performance.now() - sinceMs).toBeLessThan(2_000);
  for (const client of clients) client.destroy();
  await new Promise((resolve) => other.close(resolve));
});

test("an address at which many wait keeps no other address waiting", async () => {
  const order: string[] = [];
  server.on("secureConnection", (socket: TLSSocket) => void order.push(String(socket.remoteAddress)));
  const first = open();
  first.write(BEGUN);
  await vi.waitUntil(() => begun === 1, PATIENT);
  const crowd = Array.from({ length: 6 }, () => shakeHands());
  await Promise.all(crowd.map((socket) => once(socket, "connect")));
  const elsewhere = connect({ port: port(), host: "127.0.0.1", localAddress: "127.0.0.2" });
  await once(elsewhere, "connect");
  const other = connectTls({ socket: elsewhere, rejectUnauthorized: false });
  other.on("error", () => undefined);
  clients.add(other);
  // Their first bytes are on their way.
  await new Promise((resolve) => setTimeout(resolve, 50));
  first.destroy();
  await Promise.all([...crowd, other].map((socket) => once(socket, "secureConnect")));
  expect(order.indexOf("127.0.0.2")).toBeLessThan(2);
});

test("whoever waited too long is sent away without a handshake", async () => {
  const first = open();
  first.write(BEGUN);
  await vi.waitUntil(() => begun === 1, PATIENT);
  let isWaiting = false;
  server.once("connection", (socket: Socket) => {
    socket.once("readable", () => {
      isWaiting = true;
    });
  });
  const late = open();
  late.write(BEGUN);
  await vi.waitUntil(() => isWaiting, PATIENT);
  nowMs = 101;
  const gone = once(late, "close");
  first.destroy();
  await gone;
  expect(begun).toBe(1);
});
