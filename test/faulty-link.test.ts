/** The link that other tests blame for their faults: what it does to bytes has to be what a network does. */
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { type FaultyLink, openFaultyLink } from "./support/faulty-link.ts";

const PATIENT = { timeout: 60_000, interval: 5 };
const DELAY_MS = 40;
/** What the link says that it takes to send a segment again. */
const RETRANSMIT_MS = 200;
let echo: Server;
/** What the far end saw; of each test its own, since sockets of the one before may still close. */
let far: { readonly arrived: string[]; ended: number };
const peers = new Set<Socket>();
const links: FaultyLink[] = [];

beforeEach(async () => {
  const seen = { arrived: [] as string[], ended: 0 };
  far = seen;
  echo = createServer((socket) => {
    peers.add(socket);
    socket.on("error", () => socket.destroy());
    socket.on("close", () => {
      seen.ended += 1;
    });
    socket.on("data", (bytes) => {
      seen.arrived.push(String(bytes));
      socket.write(bytes);
    });
  });
  echo.listen(0, "127.0.0.1");
  await once(echo, "listening");
});
afterEach(async () => {
  for (const link of links.splice(0)) await link.close();
  for (const peer of peers) peer.destroy();
  peers.clear();
  await new Promise((resolve) => echo.close(resolve));
});

async function open(random?: () => number): Promise<FaultyLink> {
  const { port } = echo.address() as AddressInfo;
  const link = await openFaultyLink(port, random === undefined ? {} : { random });
  links.push(link);
  return link;
}

interface Caller {
  readonly socket: Socket;
  /** All that came back. */
  readonly heard: () => string;
  readonly errors: string[];
}

async function call(link: FaultyLink): Promise<Caller> {
  const socket = connect(link.port, "127.0.0.1");
  peers.add(socket);
  let text = "";
  const errors: string[] = [];
  socket.on("data", (bytes) => {
    text += bytes;
  });
  socket.on("error", (error) => errors.push(String(Object(error).code)));
  await once(socket, "connect");
  return { socket, heard: () => text, errors };
}

async function roundTripMs({ socket, heard }: Caller, said: string): Promise<number> {
  const startedMs = performance.now();
  const before = heard().length;
  socket.write(said);
  await vi.waitUntil(() => heard().length === before + said.length, PATIENT);
  return performance.now() - startedMs;
}

test("what is sent arrives whole and in order, later by the delay of each direction", async () => {
  const link = await open();
  const caller = await call(link);
  const text = "0123456789".repeat(30_000);
  await roundTripMs(caller, text);
  expect(caller.heard()).toBe(text);
  link.weather({ delayMs: DELAY_MS }, "up");
  expect(await roundTripMs(caller, "a")).toBeGreaterThanOrEqual(DELAY_MS - 1);
  link.weather({ delayMs: DELAY_MS });
  expect(await roundTripMs(caller, "b")).toBeGreaterThanOrEqual(2 * DELAY_MS - 1);
  expect(caller.heard()).toBe(`${text}ab`);
});

test("a lost segment stalls what is behind it until it is sent again, and nothing is missing", async () => {
  const draws = [0.01, 0.9];
  const link = await open(() => draws.shift() ?? 0.9);
  link.weather({ loss: 0.02 }, "up");
  const caller = await call(link);
  const startedMs = performance.now();
  caller.socket.setNoDelay(true).write("lost ");
  await vi.waitUntil(() => draws.length === 0, PATIENT);
  caller.socket.write("behind");
  await vi.waitUntil(() => caller.heard() === "lost behind", PATIENT);
  expect(performance.now() - startedMs).toBeGreaterThanOrEqual(RETRANSMIT_MS - 1);
});

test("nothing gets through a parted link, and what was sent arrives when it heals", async () => {
  const link = await open();
  const caller = await call(link);
  await roundTripMs(caller, "before ");
  link.part("down");
  caller.socket.write("answered ");
  await vi.waitUntil(() => far.arrived.join("") === "before answered ", PATIENT);
  link.part();
  caller.socket.write("kept");
  const late = await call(link);
  late.socket.write("late");
  caller.socket.end();
  expect(caller.heard()).toBe("before ");
  expect({ ...far, arrived: far.arrived.join("") }).toEqual({ arrived: "before answered ", ended: 0 });
  link.heal();
  await vi.waitUntil(() => caller.heard() === "before answered kept", PATIENT);
  await vi.waitUntil(() => late.heard() === "late" && far.ended === 1, PATIENT);
});

test("a cut link resets its connections and each new one until it heals", async () => {
  const link = await open();
  const caller = await call(link);
  await roundTripMs(caller, "before");
  link.cut();
  await vi.waitUntil(() => caller.errors.includes("ECONNRESET") && far.ended === 1, PATIENT);
  const refused = connect(link.port, "127.0.0.1").on("error", () => undefined);
  await new Promise((resolve) => refused.once("close", resolve));
  expect(link.connections).toBe(0);
  link.heal();
  const again = await call(link);
  await roundTripMs(again, "after");
  expect(link.connections).toBe(1);
  again.socket.destroy();
  await vi.waitUntil(() => link.connections === 0, PATIENT);
});

test("what is robbed of its answer has arrived", async () => {
  const link = await open();
  link.loseNextAnswer((sent) => sent.includes("pay"));
  const caller = await call(link);
  await roundTripMs(caller, "look ");
  caller.socket.write("pay");
  await vi.waitUntil(() => caller.socket.destroyed, PATIENT);
  expect({ heard: caller.heard(), arrived: far.arrived.join("") }).toEqual({
    heard: "look ",
    arrived: "look pay",
  });
  await roundTripMs(await call(link), "pay");
});
