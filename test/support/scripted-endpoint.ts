/**
 * A Workload API that says what a test tells it to, when it tells it to, and remembers how it was asked.
 *
 * Frames and messages are the standard's; what they hold is the test's own business.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type Http2Server, type IncomingHttpHeaders, type ServerHttp2Stream } from "node:http2";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemRuntime } from "trustwarden";
import { encodePkcs8, type IssuedSvid } from "../../interop/domain.ts";
import { WORKLOAD_SERVICE } from "../../node/workload-api/protocol.ts";

const GRPC = { ":status": 200, "content-type": "application/grpc" };

/** Of a client under test: backoffs of half their length, so that nobody waits for nothing. */
export const runtime = {
  ...systemRuntime,
  random: (length: number) => new Uint8Array(length),
  notify: () => undefined,
};

export type Method =
  | "FetchX509SVID"
  | "FetchX509Bundles"
  | "FetchJWTSVID"
  | "FetchJWTBundles"
  | "ValidateJWTSVID";
export type Members = Readonly<Record<string, unknown>>;

/** One call as it came. */
export interface RecordedCall {
  readonly method: string;
  /** Of `workload.spiffe.io`. */
  readonly header: unknown;
  /** The request's message. */
  readonly request: unknown;
}

export interface ScriptedEndpoint {
  readonly socket: string;
  readonly calls: readonly RecordedCall[];
  /** What the method answers from now on, the last of these, and all of them at once, in one piece, on every open stream of it. */
  push(method: Method, ...messages: readonly [Members, ...Members[]]): void;
  /** Ends the open streams of the method with this status, which is also the answer to the next calls. */
  fail(method: Method, status: number, times?: number): void;
  close(): void;
}

interface Script {
  message: Buffer | undefined;
  status: number;
  /** Calls that are still to fail. */
  failures: number;
  readonly open: Set<ServerHttp2Stream>;
}

/** @param place - "tcp" for a port of this machine, or the path of a socket; one in a folder of its own unless given. */
export async function openScriptedEndpoint(place?: string): Promise<ScriptedEndpoint> {
  const folder = mkdtempSync(join(tmpdir(), "scripted-"));
  const path = place === undefined || place === "tcp" ? join(folder, "agent.sock") : place;
  const calls: RecordedCall[] = [];
  const scripts = new Map<string, Script>();
  const scriptOf = (method: string): Script => {
    const known = scripts.get(method) ?? { message: undefined, status: 0, failures: 0, open: new Set() };
    scripts.set(method, known);
    return known;
  };
  const sessions = new Set<{ destroy: () => void }>();
  const server = createServer();
  server.on("session", (session) => {
    sessions.add(session);
    session.on("error", () => undefined);
  });
  server.on("stream", (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => {
    const method = String(headers[":path"]).split("/").at(-1) ?? "";
    stream.on("error", () => undefined);
    const chunks: Buffer[] = [];
    stream.on("data", (chunk: Buffer) => chunks.push(chunk));
    stream.on("end", () => {
      const request = WORKLOAD_SERVICE[method]?.requestDeserialize(Buffer.concat(chunks).subarray(5));
      calls.push({ method, header: headers["workload.spiffe.io"], request });
      answer(stream, method, scriptOf(method));
    });
  });
  const socket = await listen(server, place === "tcp" ? undefined : path);
  return {
    socket,
    calls,
    push: (method, ...messages) => {
      const script = scriptOf(method);
      const framed = messages.map((message) => frame(method, message));
      script.failures = 0;
      script.message = framed.at(-1);
      for (const stream of script.open) stream.write(Buffer.concat(framed));
    },
    fail: (method, status, times = Number.POSITIVE_INFINITY) => {
      const script = scriptOf(method);
      script.status = status;
      script.failures = times;
      for (const stream of script.open) stream.end();
      script.open.clear();
    },
    close: () => {
      for (const session of sessions) session.destroy();
      server.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** One SVID of a response. @param bundle - DER of each authority. */
export function svidMessage(svid: IssuedSvid, bundle: readonly Uint8Array[]) {
  return {
    spiffe_id: svid.id,
    x509_svid: Buffer.concat(svid.chain),
    x509_svid_key: encodePkcs8(svid.signer),
    bundle: Buffer.concat(bundle),
    hint: "",
  };
}

/** The response of these SVIDs, the first being the default, all under one bundle. */
export function x509Response({
  svids,
  bundle,
  federated = {},
}: {
  readonly svids: readonly IssuedSvid[];
  /** DER of each authority. */
  readonly bundle: readonly Uint8Array[];
  /** DER of each authority, by trust domain. */
  readonly federated?: Readonly<Record<string, readonly Uint8Array[]>>;
}): Members {
  const federatedBundles = Object.entries(federated).map(([name, ders]) => [
    `spiffe://${name}`,
    Buffer.concat(ders),
  ]);
  return {
    svids: svids.map((svid) => svidMessage(svid, bundle)),
    federated_bundles: Object.fromEntries(federatedBundles),
  };
}

/** The response of these keys by trust domain. */
export function jwtBundles(keys: Readonly<Record<string, readonly object[]>>): Members {
  const bundles = Object.entries(keys).map(([name, jwks]) => [
    `spiffe://${name}`,
    Buffer.from(JSON.stringify({ keys: jwks })),
  ]);
  return { bundles: Object.fromEntries(bundles) };
}

function answer(stream: ServerHttp2Stream, method: string, script: Script): void {
  if (stream.destroyed) return;
  stream.respond(GRPC, { waitForTrailers: true });
  stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": String(script.status) }));
  if (script.failures > 0) {
    script.failures -= 1;
    stream.end();
    return;
  }
  if (script.message !== undefined) stream.write(script.message);
  if (WORKLOAD_SERVICE[method]?.responseStream !== true) {
    script.status = 0;
    stream.end();
    return;
  }
  script.open.add(stream);
  stream.on("close", () => script.open.delete(stream));
}

function frame(method: Method, message: Members): Buffer {
  const definition = WORKLOAD_SERVICE[method];
  if (definition === undefined) throw new Error(`no method ${method}`);
  const bytes = definition.responseSerialize(message);
  const prefix = Buffer.alloc(5);
  prefix.writeUInt32BE(bytes.length, 1);
  return Buffer.concat([prefix, bytes]);
}

async function listen(server: Http2Server, path: string | undefined): Promise<string> {
  await new Promise<void>((resolve) => {
    if (path === undefined) server.listen(0, "127.0.0.1", resolve);
    else server.listen(path, resolve);
  });
  const address = server.address();
  return address === null || typeof address === "string"
    ? `unix://${address}`
    : `tcp://127.0.0.1:${address.port}`;
}
