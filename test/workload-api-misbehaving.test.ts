/**
 * The SDK's client of the Workload API against endpoints that misbehave, byte by byte: what it does not believe, what it
 * calls each failure, and that a watch goes on afterwards. The rows are what SPIFFE asks of clients, since no suite of
 * others' for clients can be had here.
 *
 * @see SPIFFE_Workload_Endpoint.md §6; SPIFFE_Workload_API.md §4 to §6
 */
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type ServerHttp2Stream } from "node:http2";
import { createServer as createSocketServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createWorkloadApiClient, type TrustWardenError } from "trustwarden";
import { afterEach, describe, expect, it } from "vitest";
import { createDomain, createSigner, encodePkcs8, issueSvid } from "../interop/domain.ts";
import { WORKLOAD_SERVICE } from "../node/workload-api/protocol.ts";

const GRPC = { ":status": 200, "content-type": "application/grpc" };
const REFUSED = "workload_answer_refused";
const now = Math.floor(Date.now() / 1000);
const ours = createDomain("ours.test", now);
const other = createDomain("other.test", now);
const svid = issueSvid(ours, ["team", "pay"], now);
const closers: (() => void)[] = [];

afterEach(() => {
  for (const close of closers.splice(0)) close();
});

/** What an endpoint does with a call. @param number - of the call, from 1. */
type Manner = (stream: ServerHttp2Stream, number: number) => void;

/** An endpoint of that manner, and a client of it. */
function open(manner: Manner, timeoutMs = 5_000) {
  const place = socketPath();
  let calls = 0;
  const server = createServer();
  const sessions = new Set<{ destroy: () => void }>();
  server.on("session", (session) => {
    sessions.add(session);
    session.on("error", () => undefined);
  });
  server.on("stream", (stream: ServerHttp2Stream) => {
    calls += 1;
    stream.on("error", () => undefined);
    manner(stream, calls);
  });
  server.listen(place.path);
  const client = createWorkloadApiClient({ socket: `unix://${place.path}`, timeoutMs });
  closers.push(() => {
    client.close();
    for (const session of sessions) session.destroy();
    server.close();
    place.remove();
  });
  return { client, calls: () => calls };
}

function socketPath(): { readonly path: string; readonly remove: () => void } {
  const directory = mkdtempSync(join(tmpdir(), "misbehaving-"));
  return {
    path: join(directory, "agent.sock"),
    remove: () => rmSync(directory, { recursive: true, force: true }),
  };
}

/** A message in its frame, with what the frame says changed. */
function frame(message: Uint8Array, said: { readonly flag?: number; readonly length?: number } = {}): Buffer {
  const prefix = Buffer.alloc(5);
  prefix[0] = said.flag ?? 0;
  prefix.writeUInt32BE(said.length ?? message.length, 1);
  return Buffer.concat([prefix, message]);
}

/** Answers with these bytes, and then with a status. */
function answer(bytes: Uint8Array, status: string | null = "0"): Manner {
  return (stream) => {
    stream.respond(GRPC, { waitForTrailers: true });
    stream.on("wantTrailers", () => stream.sendTrailers(status === null ? {} : { "grpc-status": status }));
    stream.end(bytes);
  };
}

/** Answers without a message. */
function trailersOnly(headers: Readonly<Record<string, string | number>>): Manner {
  return (stream) => stream.respond({ ...GRPC, ...headers }, { endStream: true });
}

type Members = Readonly<Record<string, unknown>>;

/** A response of one SVID with members changed. */
function respond(change: Members = {}, more: Members = {}): Buffer {
  const good = {
    spiffe_id: svid.id,
    x509_svid: Buffer.concat(svid.chain),
    x509_svid_key: encodePkcs8(svid.signer),
    bundle: Buffer.from(ours.root.der),
    hint: "",
  };
  return serialize("FetchX509SVID", { svids: [{ ...good, ...change }], ...more });
}

function serialize(method: string, message: Members): Buffer {
  const definition = WORKLOAD_SERVICE[method];
  if (definition === undefined) throw new Error(`no method ${method}`);
  return definition.responseSerialize(message);
}

const garbage = Buffer.from([0x30, 0x03, 0x02, 0x01]);
const expired = issueSvid(ours, ["team", "pay"], now - 7200);
const unborn = issueSvid(ours, ["team", "pay"], now + 7200);
const foreign = issueSvid(other, ["team", "pay"], now);
const withKeyOf = (given: typeof svid): Members => ({
  x509_svid: Buffer.concat(given.chain),
  x509_svid_key: encodePkcs8(given.signer),
});
const sec1 = svid.signer.privateKey.export({ type: "sec1", format: "der" });
const [leaf = new Uint8Array()] = svid.chain;

describe("a healthy answer of the same server", () => {
  it("is believed, so that the refusals below are about what was changed", async () => {
    const { client } = open(answer(frame(respond())));
    expect((await client.fetchX509()).svids[0].spiffeId).toBe(svid.id);
  });
});

describe("an answer that breaks a rule of X.509-SVIDs", () => {
  const rows: readonly (readonly [string, Members, Members?])[] = [
    ["a chain that is no DER", { x509_svid: garbage }],
    ["an empty chain", { x509_svid: Buffer.alloc(0) }],
    ["bytes behind the chain", { x509_svid: Buffer.concat([...svid.chain, garbage]) }],
    ["a leaf alone, whose issuer is not in the bundle", { x509_svid: Buffer.from(leaf) }],
    ["the chain in the wrong order", { x509_svid: Buffer.concat(svid.chain.toReversed()) }],
    ["an expired leaf", withKeyOf(expired)],
    ["a leaf from the future", withKeyOf(unborn)],
    ["another trust domain's chain under our bundle", withKeyOf(foreign)],
    ["another trust domain's whole SVID under our name", { ...withKeyOf(foreign), bundle: other.root.der }],
    ["another id of the same domain", { spiffe_id: "spiffe://ours.test/team/admin" }],
    ["an id that is none", { spiffe_id: "spiffe://OURS.test/team/pay" }],
    ["no id", { spiffe_id: "" }],
    ["another key", { x509_svid_key: encodePkcs8(createSigner()) }],
    ["a key in another form", { x509_svid_key: sec1 }],
    ["a key that is none", { x509_svid_key: garbage }],
    ["no key", { x509_svid_key: Buffer.alloc(0) }],
    ["no bundle", { bundle: Buffer.alloc(0) }],
    ["another's bundle", { bundle: Buffer.from(other.root.der) }],
    ["the leaf as its own authority", { bundle: Buffer.from(leaf) }],
    ["bytes behind the bundle", { bundle: Buffer.concat([ours.root.der, garbage]) }],
    [
      "a federated bundle of a name that is no id",
      {},
      { federated_bundles: { "other.test": other.root.der } },
    ],
    [
      "a federated bundle of a workload",
      {},
      { federated_bundles: { "spiffe://other.test/x": other.root.der } },
    ],
    ["a federated bundle that is no DER", {}, { federated_bundles: { "spiffe://other.test": garbage } }],
    ["no SVID at all", {}, { svids: [] }],
  ];
  it.each(rows.map(([what, change, more = {}]) => ({ what, change, more })))(
    "is refused: $what",
    async ({ change, more }) => {
      const { client } = open(answer(frame(respond(change, more))));
      await expect(client.fetchX509()).rejects.toMatchObject({ code: REFUSED });
    },
  );
});

describe("an answer that is no message", () => {
  const good = respond();
  const many = serialize("FetchX509SVID", {
    svids: Array.from({ length: 65 }, () => ({ spiffe_id: svid.id })),
  });
  it.each<readonly [string, Uint8Array]>([
    ["bytes that are no protobuf", frame(Buffer.alloc(64, 0xff))],
    ["a message that is cut off inside", frame(good.subarray(0, good.length - 7))],
    ["bytes behind the last field", frame(Buffer.concat([good, Buffer.from([0x0a, 0x7f])]))],
    ["a field number of zero", frame(Buffer.concat([good, Buffer.from([0x02, 0x00])]))],
    ["text that is no UTF-8", frame(Buffer.from([0x0a, 0x03, 0x0a, 0x01, 0xff]))],
    ["an empty message", frame(Buffer.alloc(0))],
    ["no message", Buffer.alloc(0)],
    ["a frame that never fills", frame(good, { length: good.length + 1 })],
    ["half of a frame's head", Buffer.from([0, 0, 0])],
    ["a message of five megabytes", frame(good, { length: 5 * 1024 * 1024 })],
    ["a message of four gigabytes", frame(good, { length: 0xffffffff })],
    ["a compressed message, which nobody asked for", frame(good, { flag: 1 })],
    ["65 SVIDs", frame(many)],
  ])("is refused: %s", async (_what, bytes) => {
    const { client } = open(answer(bytes));
    await expect(client.fetchX509()).rejects.toMatchObject({ code: REFUSED });
  });
});

describe("an endpoint that fails", () => {
  it.each([
    ["1", "server_unreachable"],
    ["2", "server_unreachable"],
    ["3", "request_malformed"],
    ["4", "server_unreachable"],
    ["7", "no_identity"],
    ["8", "server_unreachable"],
    ["12", "server_unreachable"],
    ["13", "server_unreachable"],
    ["14", "server_unreachable"],
    ["16", "workload_gone"],
    ["17", "server_unreachable"],
    ["-1", "server_unreachable"],
    ["none", "server_unreachable"],
  ])("with status %s is %s, and what it says is shown only", async (status, code) => {
    const said = `%zz ${"x".repeat(5000)}`;
    const { client } = open(trailersOnly({ "grpc-status": status, "grpc-message": said }));
    const error: TrustWardenError = await client.fetchX509().then(
      () => expect.unreachable("nothing came"),
      (thrown) => thrown,
    );
    expect([error.code, String(error.details.said).length]).toEqual([code, 200]);
  });

  it.each<readonly [string, Manner]>([
    [
      "answers in HTML",
      (stream) => void stream.respond({ ":status": 404, "content-type": "text/html" }, { endStream: true }),
    ],
    ["gives no status", answer(Buffer.alloc(0), null)],
    ["breaks the call off", (stream) => stream.close(2)],
    ["breaks the connection", (stream) => stream.session?.destroy()],
    [
      "breaks the connection inside of a message",
      (stream) => {
        stream.respond(GRPC);
        stream.write(frame(respond()).subarray(0, 40), () => stream.session?.destroy());
      },
    ],
  ])("is unreachable when it %s", async (_what, manner) => {
    const { client } = open(manner);
    await expect(client.fetchX509()).rejects.toMatchObject({ code: "server_unreachable" });
  });

  it("is unreachable when it says nothing, in time", async () => {
    const { client } = open(() => undefined, 50);
    await expect(client.fetchX509()).rejects.toMatchObject({ code: "server_unreachable" });
  });

  it("is unreachable when it does not speak HTTP/2", async () => {
    const { path, remove } = socketPath();
    const server = createSocketServer((socket) => {
      socket.on("error", () => undefined);
      socket.end("HTTP/1.1 400 Bad Request\r\n\r\n");
    });
    await new Promise<void>((resolve) => void server.listen(path, resolve));
    const client = createWorkloadApiClient({ socket: `unix://${path}`, timeoutMs: 5_000 });
    closers.push(() => {
      client.close();
      server.close();
      remove();
    });
    await expect(client.fetchX509()).rejects.toMatchObject({ code: "server_unreachable" });
  });
});

describe("a watch", () => {
  it("tells each failure, tries again one call at a time, and has the state in the end", async () => {
    const failures: readonly Manner[] = [
      (stream) => stream.session?.destroy(),
      answer(frame(respond({ x509_svid: garbage }))),
    ];
    const { client, calls } = open((stream, number) => {
      const manner = failures[number - 1];
      if (manner !== undefined) return manner(stream, number);
      stream.respond(GRPC);
      stream.write(frame(respond()));
    });
    const errors: string[] = [];
    const states: string[] = [];
    const watch = client.watchX509({
      onState: ({ svids }) => states.push(svids[0].spiffeId),
      onError: ({ code }) => errors.push(code),
    });
    await expect.poll(() => states, { timeout: 30_000 }).toEqual([svid.id]);
    expect([errors, calls()]).toEqual([["server_unreachable", REFUSED], 3]);
    watch.close();
  });

  it("keeps its state when a later message is not believed, and says so", async () => {
    const { client } = open((stream, number) => {
      stream.respond(GRPC);
      stream.write(frame(respond()));
      if (number === 1) stream.write(frame(respond({ bundle: garbage })));
    });
    const heard: string[] = [];
    const watch = client.watchX509({
      onState: () => heard.push("state"),
      onError: ({ code }) => heard.push(code),
    });
    await expect.poll(() => heard, { timeout: 30_000 }).toEqual(["state", REFUSED, "state"]);
    watch.close();
  });
});

describe("tokens and bundles of an endpoint that misbehaves", () => {
  const ask = (method: string, message: Members) =>
    open((stream, number) => answer(frame(serialize(method, message)))(stream, number)).client;

  it.each<readonly [string, Members]>([
    ["no token", { svids: [] }],
    ["a token that is none", { svids: [{ spiffe_id: svid.id, svid: "a.b.c", hint: "" }] }],
  ])("are refused: %s", async (_what, message) => {
    const bundles = serialize("FetchJWTBundles", { bundles: {} });
    const { client } = open((stream, number) => {
      const bytes = number === 1 ? serialize("FetchJWTSVID", message) : bundles;
      answer(frame(bytes))(stream, number);
    });
    await expect(client.fetchJwtSvids({ audience: ["a"] })).rejects.toMatchObject({ code: REFUSED });
  });

  it.each([
    ["no JSON", "x"],
    ["no keys", "{}"],
    ["a key twice", '{"keys":[],"keys":[]}'],
    ["keys without names", '{"keys":[{"kty":"EC","crv":"P-256","x":"A","y":"A"}]}'],
  ])("are refused: JWT bundles with %s", async (_what, text) => {
    const client = ask("FetchJWTBundles", { bundles: { "spiffe://ours.test": Buffer.from(text) } });
    await expect(client.fetchJwtBundles()).rejects.toMatchObject({ code: REFUSED });
  });

  it("are refused: a validation that names nobody", async () => {
    const client = ask("ValidateJWTSVID", { spiffe_id: "" });
    await expect(client.validateJwtSvid({ audience: "a", svid: "x" })).rejects.toMatchObject({
      code: REFUSED,
    });
  });
});
