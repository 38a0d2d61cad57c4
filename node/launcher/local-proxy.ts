/**
 * The way to the gateway for a launched process: plain HTTP on this machine in, signed calls over mTLS out.
 *
 * An unmodified client needs a base URL and nothing else. Each request is planned and signed here with the instance's key,
 * and streams both ways. Only the launched process is served: every connection is traced to the processes that hold its other
 * end, and each of them must belong. A browser never is: whatever carries an `Origin` is refused, and so is a `Host` that is
 * not this machine. A credential that a client brings is dropped, and gains it nothing.
 *
 * @see docs/guides/llm-gateway.md; ATTACKS.md D12, D17
 */
import { chmodSync } from "node:fs";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { pipeline } from "node:stream/promises";
import { ERRORS, TrustWardenError } from "@trustwarden/core/error.ts";
import { answerHeaders } from "@trustwarden/core/gateway/headers.ts";
import { type Place, parseAuthority } from "@trustwarden/core/gateway/plan-egress.ts";
import type { GatewayCall, GatewayTunnel } from "trustwarden/peer.ts";
import { type Kernel, openKernel } from "../attest/kernel.ts";
import { readLocalProcess } from "../attest/local-process.ts";
import { readPeerProcess } from "../attest/peer-process.ts";
import type { WorkloadPeer } from "../ports.ts";
import { descriptorOf } from "../workload-api/connections.ts";
import type { Binding } from "./binding.ts";
import { findPeerProcesses } from "./loopback-peer.ts";
import { hangUp, joinSockets } from "./two-way.ts";

const HOST = "127.0.0.1";
const MAX_BODY_BYTES = 8_388_608;
const MAX_HEADER_BYTES = 65_536;
const MAX_CONNECTIONS = 512;
const HEADERS_TIMEOUT_MS = 10_000;
const BODY_TIMEOUT_MS = 30_000;
/** Any port: inside walls a forwarder has one of its own. */
const LOCAL_HOST = /^(?:127\.0\.0\.1|localhost|\[::1\])(?::\d{1,5})?$/;

/** A running proxy. */
export interface LocalProxy {
  /** Null where it listens on a socket file. */
  readonly port: number | null;
  close(): Promise<void>;
}

/** Starts the proxy; nobody is served before the binding is known. @throws TrustWardenError `bind_refused`. */
export async function openLocalProxy(options: {
  /** Calls the gateway in the instance's name. */
  readonly call: (call: GatewayCall) => Promise<IncomingMessage>;
  /** Opens a tunnel through the gateway in the instance's name. */
  readonly tunnel: (place: Place) => Promise<GatewayTunnel>;
  readonly binding: () => Binding | undefined;
  /** A socket file for a forwarder inside walls; a port of loopback otherwise. */
  readonly socketPath?: string | undefined;
}): Promise<LocalProxy> {
  const { call, tunnel, binding, socketPath } = options;
  const peers = new Peers(await openKernel(), binding);
  const gone = new AbortController();
  const server = createServer(
    {
      maxHeaderSize: MAX_HEADER_BYTES,
      headersTimeout: HEADERS_TIMEOUT_MS,
      requestTimeout: HEADERS_TIMEOUT_MS + BODY_TIMEOUT_MS,
      insecureHTTPParser: false,
    },
    (request, response) => void serve({ call, peers, signal: gone.signal }, request, response),
  );
  server.maxConnections = MAX_CONNECTIONS;
  server.on("connection", (socket) => peers.open(socket));
  server.on(
    "connect",
    (request, socket, head) =>
      void serveConnect({ peers, tunnel, signal: gone.signal }, { request, socket, head }),
  );
  server.on("clientError", (_error, socket) => socket.destroy());
  await listen(server, socketPath);
  const address = server.address();
  return {
    port: typeof address === "object" && address !== null ? address.port : null,
    close: async () => {
      gone.abort();
      server.closeAllConnections();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}

/** Owns what is known of each connection's other end, until it closes. */
class Peers {
  readonly #kernel: Kernel;
  readonly #binding: () => Binding | undefined;
  readonly #known = new WeakMap<Socket, readonly WorkloadPeer[]>();

  constructor(kernel: Kernel, binding: () => Binding | undefined) {
    this.#kernel = kernel;
    this.#binding = binding;
  }

  /** Of a socket file the kernel tells at once; of TCP the first request asks. */
  open(socket: Socket): void {
    socket.on("error", () => socket.destroy());
    if (socket.remotePort !== undefined) return;
    try {
      const peer = readPeerProcess(this.#kernel, descriptorOf(socket));
      socket.once("close", peer.close);
      this.#known.set(socket, [{ ...peer, connectionId: "local-proxy" }]);
    } catch {
      // Safe: nobody is known, and so nobody is served.
      socket.destroy();
    }
  }

  /** @throws TrustWardenError `no_identity` unless everybody at the other end belongs, and still runs. */
  requireBelongs(socket: Socket): void {
    const binding = this.#binding();
    const peers = this.#known.get(socket) ?? this.#trace(socket);
    this.#known.set(socket, peers);
    const isOne =
      peers.length > 0 && peers.every((peer) => peer.isAlive() && binding?.belongs(peer) === true);
    if (!isOne) throw new TrustWardenError("no_identity", { pid: peers[0]?.pid ?? 0 });
  }

  #trace({ localPort = 0, remotePort = 0, remoteAddress }: Socket): readonly WorkloadPeer[] {
    if (remoteAddress !== HOST) return [];
    // Once for each connection: a walk through every descriptor of the machine. Whoever a member hands its connection to acts
    // by the member's own will; whether the members still run and belong is asked with each request.
    return findPeerProcesses({ localPort, remotePort }).map((pid) => ({
      ...readLocalProcess(pid),
      connectionId: "local-proxy",
      hold: () => () => {},
    }));
  }
}

interface Serving {
  readonly call: (call: GatewayCall) => Promise<IncomingMessage>;
  readonly peers: Peers;
  readonly signal: AbortSignal;
}

/** Answers one request, whatever happens; never rejects. */
async function serve(serving: Serving, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const left = new AbortController();
  response.once("close", () => left.abort());
  try {
    requireLocal(request);
    serving.peers.requireBelongs(request.socket);
    const { method = "", url = "" } = request;
    const signal = AbortSignal.any([left.signal, serving.signal]);
    const body = await readBody(request);
    const answer = await serving.call({ method, target: url, headers: singleHeaders(request), body, signal });
    response.writeHead(answer.statusCode ?? 502, answerHeaders(answer.headers));
    // A model's first words must not wait for more of them.
    response.flushHeaders();
    await pipeline(answer, response, { signal });
  } catch (error) {
    refuse(response, error);
  }
}

/** A tunnel for whoever belongs; where it may lead is decided at the gateway. Never rejects. */
async function serveConnect(
  serving: Pick<Serving, "peers" | "signal"> & { readonly tunnel: (place: Place) => Promise<GatewayTunnel> },
  {
    request,
    socket,
    head,
  }: { readonly request: IncomingMessage; readonly socket: Duplex; readonly head: Buffer },
): Promise<void> {
  const { peers, tunnel, signal } = serving;
  socket.on("error", () => socket.destroy());
  const end = (): void => void socket.destroy();
  signal.addEventListener("abort", end, { once: true });
  socket.once("close", () => signal.removeEventListener("abort", end));
  try {
    peers.requireBelongs(request.socket);
    const opened = await tunnel(parseAuthority((request.url ?? "").toLowerCase()));
    const far = opened.socket;
    if (socket.destroyed) return void far.destroy();
    socket.write("HTTP/1.1 200 Connection Established\r\n\r\n");
    if (head.length > 0) socket.unshift(head);
    if (opened.head.length > 0) far.unshift(opened.head);
    await joinSockets(socket, far);
  } catch (error) {
    const status = error instanceof TrustWardenError ? error.status : 500;
    hangUp(socket, `HTTP/1.1 ${status} Refused\r\nContent-Length: 0\r\nConnection: close\r\n\r\n`);
  }
}

/** @throws TrustWardenError `request_malformed`: nothing that a page in a browser could have sent (D17). */
function requireLocal({ headers }: IncomingMessage): void {
  const isBrowser = headers.origin !== undefined || headers["sec-fetch-site"] !== undefined;
  if (isBrowser || !LOCAL_HOST.test(headers.host ?? ""))
    throw new TrustWardenError("request_malformed", { reason: "host or origin" });
}

/** Repeated headers have no single reading and stay here. */
function singleHeaders({ headersDistinct }: IncomingMessage): Readonly<Record<string, string>> {
  const single = Object.entries(headersDistinct).flatMap(([name, values]) =>
    values?.length === 1 && values[0] !== undefined ? [[name, values[0]] as const] : [],
  );
  return Object.fromEntries(single);
}

async function readBody(request: IncomingMessage): Promise<Uint8Array> {
  const parts: Buffer[] = [];
  let length = 0;
  for await (const part of request) {
    if (!Buffer.isBuffer(part)) throw new Error("a request without encoding yields buffers");
    length += part.length;
    if (length > MAX_BODY_BYTES)
      throw new TrustWardenError("request_too_large", { maxBytes: MAX_BODY_BYTES });
    parts.push(part);
  }
  return Buffer.concat(parts, length);
}

/** In a form that both vendors' clients take for an error of theirs. */
function refuse(response: ServerResponse, error: unknown): void {
  if (response.headersSent || response.destroyed) {
    response.destroy();
    return;
  }
  const failure = error instanceof TrustWardenError ? error : new TrustWardenError("internal");
  const { code, status } = failure;
  const body = JSON.stringify({
    type: "error",
    error: { type: "trustwarden", code, message: ERRORS[code].message },
  });
  response.writeHead(status, {
    "content-type": "application/json",
    connection: "close",
    "x-should-retry": "false",
  });
  response.end(`${body}\n`);
}

async function listen(server: Server, socketPath: string | undefined): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once("error", (cause) => reject(new TrustWardenError("bind_refused", {}, { cause })));
  server.listen(socketPath === undefined ? { host: HOST, port: 0 } : { path: socketPath }, resolve);
  await promise;
  // The account inside the walls may be another one; each connection is traced to its process anyway.
  if (socketPath !== undefined) chmodSync(socketPath, 0o666);
}
