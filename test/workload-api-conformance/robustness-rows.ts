/**
 * What a hostile caller sends. The standard says little here; a row holds when the caller is refused (or what it sent is
 * ignored) in bounded time, and a well-behaved caller is served afterwards.
 */
import { gzipSync } from "node:zlib";
import { firstMessage, jwtSvidRequest, METHOD_NAMES, soundRequest, startMethod } from "./api.ts";
import { type CallOptions, type Ending, frame, openConnection, openSocket, STATUS } from "./grpc.ts";
import { type Bench, describeEnding, Failed, type Row, requireThat } from "./row.ts";
import { encodeField, encodeVarint } from "./wire.ts";

const HUGE_BYTES = 8 * 1024 * 1024;
const BOMB_BYTES = 512 * 1024 * 1024;
const BIG_HEADER_BYTES = 256 * 1024;
const STREAMS = 500;
const RESETS = 2_000;
const HALF_OPEN = 100;

/** @throws Failed unless a new, well-behaved caller is served. */
async function requireServed(bench: Bench): Promise<void> {
  await bench.using(async (connection) => {
    const call = startMethod(connection, "FetchX509SVID");
    const { message, ending } = await firstMessage(call, bench.patienceMs);
    if (message === null)
      throw new Failed(`nobody is served afterwards: ${ending ? describeEnding(ending) : "nothing came"}`);
  });
}

/** Sends one bad FetchJWTSVID and wants anything but an answer, and service afterwards. */
function refuses(id: string, text: string, make: () => CallOptions & { readonly request?: Uint8Array }): Row {
  return {
    id,
    level: "T",
    text,
    check: async (bench) => {
      const ending = await bench.using(async (connection): Promise<Ending | null> => {
        const call = startMethod(connection, "FetchJWTSVID", make());
        const timer = setTimeout(() => call.cancel(), bench.patienceMs);
        const found = await call.ending;
        clearTimeout(timer);
        return call.messages.length > 0 ? null : found;
      });
      requireThat(ending !== null && ending.status !== STATUS.ok, "it was answered");
      await requireServed(bench);
      return describeEnding(ending);
    },
  };
}

const messageRows: readonly Row[] = [
  refuses("T-1", "a message that is not protobuf is refused", () => ({
    request: Uint8Array.of(0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f, 0x01),
  })),
  refuses("T-2", "a message that ends before its announced length is refused", () => ({
    rawBody: frame(jwtSvidRequest(["a"]), { isCompressed: false }).subarray(0, 6),
  })),
  refuses("T-3", "a message of 8 MiB is refused", () => ({
    request: encodeField(1, new Uint8Array(HUGE_BYTES).fill(97)),
  })),
  refuses("T-4", "a message announced with 4 GiB is refused without waiting for it", () => ({
    rawBody: Uint8Array.of(0, 0xff, 0xff, 0xff, 0xff, 0x0a),
  })),
  refuses("T-5", "a compression bomb (512 KiB that become 512 MiB) is refused", () => ({
    rawBody: frame(gzipSync(Buffer.alloc(BOMB_BYTES)), { isCompressed: true }),
    headers: { "grpc-encoding": "gzip" },
  })),
  refuses("T-6", "a compression that nobody knows is refused", () => ({
    rawBody: frame(jwtSvidRequest(["a"]), { isCompressed: true }),
    headers: { "grpc-encoding": "lead" },
  })),
  refuses("T-7", "two messages in a call that takes one are refused", () => {
    const one = frame(jwtSvidRequest(["a"]), { isCompressed: false });
    return { rawBody: Buffer.concat([one, one]) };
  }),
  refuses("T-8", "text that is not UTF-8 is refused", () => ({
    request: encodeField(1, Uint8Array.of(0xc3, 0x28)),
  })),
  refuses("T-9", "a content type other than gRPC's is refused", () => ({
    request: jwtSvidRequest(["a"]),
    headers: { "content-type": "application/json" },
  })),
  refuses("T-10", "a GET is refused", () => ({ headers: { ":method": "GET" } })),
  refuses("T-11", "256 KiB of metadata are refused", () => ({
    request: jwtSvidRequest(["a"]),
    headers: { "x-filler": "x".repeat(BIG_HEADER_BYTES) },
  })),
  {
    id: "T-12",
    level: "T",
    text: "fields that the standard does not have are ignored, as protobuf wants",
    check: (bench) =>
      bench.using(async (connection) => {
        for (const method of METHOD_NAMES.filter(
          (name) => name === "FetchX509SVID" || name === "FetchJWTSVID",
        )) {
          const extra = Buffer.concat([encodeField(999, "future"), encodeVarint(1000 << 3), encodeVarint(7)]);
          const request = Buffer.concat([soundRequest(method), extra]);
          const { message, ending } = await firstMessage(
            startMethod(connection, method, { request }),
            bench.patienceMs,
          );
          requireThat(message !== null, `${method}: ${ending ? describeEnding(ending) : "nothing came"}`);
        }
        return "served";
      }),
  },
];

const floodRows: readonly Row[] = [
  {
    id: "T-13",
    level: "T",
    text: `${STREAMS} streams on one connection are served or refused, and others are served meanwhile`,
    check: (bench) =>
      bench.using(async (connection) => {
        const calls = Array.from({ length: STREAMS }, () => startMethod(connection, "FetchX509SVID"));
        const [first] = calls;
        await first?.next(0, bench.patienceMs);
        await requireServed(bench);
        await new Promise((resolve) => setTimeout(resolve, 500));
        const served = calls.filter(({ messages }) => messages.length > 0).length;
        for (const call of calls) call.cancel();
        requireThat(served > 0, "none was served");
        return `${served} served at once`;
      }),
  },
  {
    id: "T-14",
    level: "T",
    text: `${RESETS} streams that are reset as soon as they open harm nobody`,
    check: async (bench) => {
      await bench.using(async (connection) => {
        for (let index = 0; index < RESETS && !connection.isClosed; index += 1)
          startMethod(connection, "FetchX509SVID").cancel();
        await new Promise((resolve) => setTimeout(resolve, 200));
      });
      await requireServed(bench);
      return "others are served";
    },
  },
  {
    id: "T-15",
    level: "T",
    text: `${HALF_OPEN} connections that say nothing, or half a greeting, harm nobody`,
    check: async (bench) => {
      const sockets = Array.from({ length: HALF_OPEN }, (_, index) => {
        const socket = openSocket(bench.target);
        socket.on("error", () => undefined);
        if (index % 2 === 0) socket.write("PRI * HTTP/2.0\r\n");
        return socket;
      });
      try {
        await requireServed(bench);
        return "others are served";
      } finally {
        for (const socket of sockets) socket.destroy();
      }
    },
  },
  {
    id: "T-16",
    level: "T",
    text: "a TLS greeting, HTTP/1.1 and noise are turned away",
    check: async (bench) => {
      const greetings = [
        Buffer.from("16030100a5010000a10303", "hex"),
        Buffer.from("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        Buffer.alloc(4096, 0xa5),
      ];
      for (const bytes of greetings) {
        const socket = openSocket(bench.target);
        socket.on("error", () => undefined);
        socket.end(bytes);
        socket.resume();
        const closed = new Promise<boolean>((resolve) => socket.once("close", () => resolve(true)));
        const late = new Promise<boolean>((resolve) => setTimeout(() => resolve(false), bench.patienceMs));
        const isClosed = await Promise.race([closed, late]);
        socket.destroy();
        requireThat(isClosed, "a stranger's greeting is kept open");
      }
      await requireServed(bench);
      return "closed";
    },
  },
  {
    id: "T-17",
    level: "T",
    text: "a call whose caller vanishes is dropped, 200 times",
    check: async (bench) => {
      // A hundred calls that nobody answers would be waited for one after the other.
      await requireServed(bench);
      for (let index = 0; index < 200; index += 1) {
        const connection = openConnection(bench.target);
        const call = startMethod(connection, "FetchX509SVID");
        if (index % 2 === 0) await call.next(0, bench.patienceMs);
        connection.close();
      }
      await requireServed(bench);
      return "others are served";
    },
  },
  {
    id: "T-18",
    level: "T",
    text: "an id of 64 KiB is refused",
    check: (bench) =>
      bench.using(async (connection) => {
        const request = jwtSvidRequest(["a"], `${bench.snapshot.ownDomain}/${"a".repeat(65_536)}`);
        const { ending } = await firstMessage(
          startMethod(connection, "FetchJWTSVID", { request }),
          bench.patienceMs,
        );
        requireThat(ending !== null, "it was answered");
        requireThat(ending.status !== STATUS.ok, "it was answered without a message");
        return describeEnding(ending);
      }),
  },
];

export const robustnessRows: readonly Row[] = [...messageRows, ...floodRows];
