/** M1: what no client sends, at each layer: TLS, HTTP/1.1, HTTP/2 and JSON. */
import { once } from "node:events";
import { type ClientHttp2Session, connect as connectHttp2, constants } from "node:http2";
import { connect as connectPlain } from "node:net";
import { type ConnectionOptions, connect as connectTls } from "node:tls";
import { defineScenario, expect, expectSame } from "../scenario.ts";
import { call, callLiving, expectRefusal, MALFORMED, sendRaw, statusOfRaw } from "../support/client.ts";
import { cpuMsOf, memoryOf } from "../support/usage.ts";
import type { World } from "../support/world.ts";

const HOST = "127.0.0.1";
const TIMES = 40;
const MAX_GROWTH_BYTES = 96_000_000;
/** A frame is answered or its connection cut at once; this is for a machine that is much slower. */
const CUT_WITHIN_MS = 30_000;
/** Of an object whose names collide, against one of as many bytes whose names do not. */
const MAX_TIMES_THE_COST = 4;
const COST_MS = 50;
const KEYS = 9000;

const HEAD = `host: ${HOST}\r\n`;
/** Each must be refused or cut off. */
const MALFORMED_REQUESTS: Readonly<Record<string, string>> = {
  "a request of HTTP/2": "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\u0004\0\0\0\0\0",
  "two lengths": `POST /v1/instances HTTP/1.1\r\n${HEAD}content-length: 2\r\ncontent-length: 40\r\n\r\n{}`,
  "a length and chunks": `POST /v1/instances HTTP/1.1\r\n${HEAD}content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n`,
  "a chunk of 2^64": `POST /v1/instances HTTP/1.1\r\n${HEAD}transfer-encoding: chunked\r\n\r\nffffffffffffffff\r\n{}`,
  "a negative length": `POST /v1/instances HTTP/1.1\r\n${HEAD}content-length: -1\r\n\r\n{}`,
  "a bare newline": `GET /healthz HTTP/1.1\n${HEAD}x: y\rz: 1\n\n`,
  "a NUL in a header": `GET /healthz HTTP/1.1\r\n${HEAD}x: a\0b\r\n\r\n`,
  "a folded header": `GET /healthz HTTP/1.1\r\n${HEAD}x: a\r\n b\r\n\r\n`,
  "no host": "GET /healthz HTTP/1.1\r\n\r\n",
  "another protocol": "HELO there\r\n",
  "a version that is none": `GET /healthz HTTP/9.9\r\n${HEAD}\r\n`,
  "a name that is everybody's": `POST /v1/instances HTTP/1.1\r\n${HEAD}__proto__: 1\r\nconstructor: 1\r\ncontent-type: application/json\r\ncontent-length: 42\r\n\r\n{"__proto__":{"a":1},"constructor":{"b":2}}`,
};

const PREFACE = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
const [SETTINGS, RST_STREAM, WINDOW_UPDATE, HEADERS, CONTINUATION, PING] = [4, 3, 8, 1, 9, 6];

function frame(type: number, stream: number, payload: readonly number[], flags = 0): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head.writeUInt8(type, 3);
  head.writeUInt8(flags, 4);
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, Buffer.from(payload)]);
}

const times = (count: number, bytes: Buffer): Buffer =>
  Buffer.concat(Array.from({ length: count }, () => bytes));
const SETTLED = Buffer.concat([PREFACE, frame(SETTINGS, 0, [])]);
const LARGEST = [0x7f, 0xff, 0xff, 0xff];
/** Sequences of frames that break the protocol, each of which must end its connection. */
const BROKEN_FRAMES: Readonly<Record<string, Buffer>> = {
  "a window beyond its end": frame(WINDOW_UPDATE, 0, LARGEST),
  "windows of nothing": frame(WINDOW_UPDATE, 0, [0, 0, 0, 0]),
  "a window of no stream": frame(WINDOW_UPDATE, 7, LARGEST),
  "a window of three bytes": frame(WINDOW_UPDATE, 0, [1, 2, 3]),
  "settings of odd length": frame(SETTINGS, 0, [1, 2, 3]),
  "a window that is no window": frame(SETTINGS, 0, [0, 4, 0xff, 0xff, 0xff, 0xff]),
  "an end of no stream": frame(RST_STREAM, 5, [0, 0, 0, 8]),
  "a head that is no head": frame(HEADERS, 1, [0xff, 0xff, 0xff, 0xff, 0xff], 5),
  "a continuation of nothing": frame(CONTINUATION, 1, [0x82], 4),
  "a frame that is too large": Buffer.from([0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 1]),
  "pings without end": times(20_000, frame(PING, 0, [1, 2, 3, 4, 5, 6, 7, 8])),
};

/** What a TLS library calls its user back about, in forms that no user expects. */
const HELLOS: readonly ConnectionOptions[] = [
  { servername: "a".repeat(250) },
  { servername: "__proto__" },
  { servername: "xn--\u007f..test" },
  { ALPNProtocols: ["h2", "http/1.1", "__proto__"] },
  { ALPNProtocols: ["nobody-speaks-this"] },
  { maxVersion: "TLSv1.2" },
  { pskCallback: () => ({ psk: Buffer.alloc(16), identity: "\0".repeat(100) }), ciphers: "PSK" },
];

const envoyOf = ({ server }: World): string => `https://${HOST}:${server.envoyPort}`;

/** Whether the server ends the connection after these bytes. */
async function isCutAfter(world: World, bytes: Buffer): Promise<boolean> {
  const { port } = new URL(envoyOf(world));
  const socket = connectTls({
    host: HOST,
    port: Number(port),
    rejectUnauthorized: false,
    ALPNProtocols: ["h2"],
  });
  socket.on("error", () => undefined);
  socket.on("data", () => undefined);
  const ended = new Promise((resolve) => socket.once("close", resolve));
  socket.once("secureConnect", () => socket.write(Buffer.concat([SETTLED, bytes])));
  let isLate = false;
  const timer = setTimeout(() => {
    isLate = true;
    socket.destroy();
  }, CUT_WITHIN_MS);
  await ended;
  clearTimeout(timer);
  return !isLate;
}

/** Calls that are broken off in the middle, with the reasons that a peer may give. */
async function breakOff(world: World): Promise<void> {
  const session = connectHttp2(envoyOf(world), { rejectUnauthorized: false });
  session.on("error", () => undefined);
  await Promise.race([once(session, "remoteSettings"), once(session, "close")]);
  const { NGHTTP2_INTERNAL_ERROR, NGHTTP2_PROTOCOL_ERROR, NGHTTP2_FLOW_CONTROL_ERROR } = constants;
  const codes = [NGHTTP2_INTERNAL_ERROR, NGHTTP2_PROTOCOL_ERROR, NGHTTP2_FLOW_CONTROL_ERROR];
  // One is read to its end, the other is answered before it has come.
  for (const path of ["/envoy.service.auth.v3.Authorization/Check", "/grpc.health.v1.Health/Check"])
    for (const code of codes) await breakCall(session, { path, code });
  session.destroy();
}

async function breakCall(
  session: ClientHttp2Session,
  { path, code }: { readonly path: string; readonly code: number },
): Promise<void> {
  if (session.destroyed) return;
  const stream = session.request(formatCall(path));
  stream.on("error", () => undefined);
  stream.write("half a message");
  const closed = new Promise((resolve) => stream.once("close", resolve));
  await Promise.race([closed, new Promise((resolve) => session.ping(() => resolve(null)))]);
  stream.close(code);
  await closed;
}

const formatCall = (path: string) => ({
  ":method": "POST",
  ":path": path,
  "content-type": "application/grpc",
});

/** The status of gRPC of one call that says nothing. */
async function statusOfCall(world: World): Promise<string> {
  const session = connectHttp2(envoyOf(world), { rejectUnauthorized: false });
  const stream = session.request(formatCall("/grpc.health.v1.Health/Check"));
  const [headers] = await once(stream.end(), "response");
  session.destroy();
  return String(headers["grpc-status"]);
}

async function sayHello({ server }: World, options: ConnectionOptions): Promise<void> {
  const { port } = new URL(server.url);
  const socket = connectTls({ host: HOST, port: Number(port), rejectUnauthorized: false, ...options });
  socket.on("error", () => undefined).on("secureConnect", () => socket.destroy());
  await new Promise((resolve) => socket.once("close", resolve));
}

/** Bytes that begin as a handshake does. */
async function sayNonsense({ server }: World): Promise<void> {
  const socket = connectPlain({ host: HOST, port: Number(new URL(server.url).port) });
  socket.on("error", () => undefined).on("data", () => undefined);
  socket.end(Buffer.concat([Buffer.from([0x16, 3, 1, 0, 200, 1, 0, 0, 196, 3, 3]), Buffer.alloc(194, 0xff)]));
  await new Promise((resolve) => socket.once("close", resolve));
}

/** Processor time of objects with these names. */
async function costOf(world: World, name: (index: number) => string): Promise<number> {
  const members = Array.from({ length: KEYS }, (_, index) => `"${name(index)}":0`);
  const request = { method: "POST", target: "/v1/instances", body: `{${members.join()}}` };
  const before = cpuMsOf(world.child.pid);
  for (let time = 0; time < 5; time += 1)
    expectRefusal(await callLiving(world.server.url, request), MALFORMED, "an object of strange names");
  return cpuMsOf(world.child.pid) - before;
}

/** Played by the runner. */
export const scenario = defineScenario({
  id: "M1",
  title: "breaks TLS, HTTP/1.1, HTTP/2 and JSON: odd hellos, frames that end windows, names that collide",
  expected: "each is refused or cut off; the process lives, and neither memory nor time grows",
  weakening: "lenient-http",
  world: { configure: () => ({ policy: { envoy: { port: 0, services: {} } } }) },
  prepare: async () => ({}),
  control: async (world) => {
    expectSame((await call(world.server.url, { target: "/healthz" })).status, 200, "an honest request");
    expectSame(await statusOfCall(world), "12", "an honest call by HTTP/2 of what is not there");
  },
  attack: async (world) => {
    await breakOff(world);
    expect(world.child.isRunning(), "the process lives after calls that were broken off");
    const before = memoryOf(world.child.pid);
    for (let time = 0; time < TIMES; time += 1) {
      const [what = "", bytes = PREFACE] =
        Object.entries(BROKEN_FRAMES)[time % Object.keys(BROKEN_FRAMES).length] ?? [];
      expect(await isCutAfter(world, bytes), `the connection ends after ${what}`);
    }
    for (const [what, text] of Object.entries(MALFORMED_REQUESTS)) {
      const status = statusOfRaw(await sendRaw(world.server.url, text));
      expect(status === 0 || (status >= 400 && status < 500), `${what} is refused, and not ${status}`);
    }
    for (const hello of HELLOS) await sayHello(world, hello);
    await sayNonsense(world);
    const honest = await costOf(world, (index) => `n${String(index * 7919).padStart(7, "a")}`);
    // Array indexes that differ in the bits that a table of strings does not look at.
    const colliding = await costOf(world, (index) => String(1_000_000 + index * 1024).padStart(8, "1"));
    expect(
      colliding <= MAX_TIMES_THE_COST * honest + COST_MS,
      `names that collide cost ${colliding} ms, others ${honest} ms`,
    );
    const growth = memoryOf(world.child.pid) - before;
    expect(growth < MAX_GROWTH_BYTES, `memory grows by less than ${MAX_GROWTH_BYTES}, and not by ${growth}`);
    expectSame(await statusOfCall(world), "12", "HTTP/2 goes on");
  },
  evidence: async (ledger) => {
    await ledger.expect({ kind: "issue" }, 0);
    await ledger.expect({ kind: "evaluation" }, 0);
  },
});
