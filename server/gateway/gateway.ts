/**
 * The gateway's listener: every request on it is a call to an upstream, and every call walks the path.
 *
 * There is nothing else here, no health page and no public row: who is not an agent with an intent learns nothing but
 * the sentence of the refusal. Bodies are read only of callers whose certificate is proven.
 *
 * @see ARCHITECTURE.md, "The gateway"
 */
import { constants } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { type GuardPorts, guard } from "@trustwarden/core/guard.ts";
import { parseRequestTarget, type RequestTarget } from "@trustwarden/core/request-target.ts";
import { formatPeer } from "../http/arrival.ts";
import { logFailure, toTrustWardenError } from "../http/errors.ts";
import { knownHosts, type TlsMaterial } from "../http/listeners.ts";
import { verifyPeerSvid } from "../http/peer.ts";
import type { Services } from "../http/services.ts";
import type { UpstreamState } from "../store/gateway-ports.ts";
import { CallAnswer, formatReceipt } from "./answer.ts";
import { BrokeredClient } from "./brokered-client.ts";
import type { UpstreamConnections } from "./forward.ts";
import { type CallPermit, createGatewayPorts, mayGoOn } from "./gateway-ports.ts";
import type { LiveCalls } from "./live-calls.ts";
import { performCall } from "./performers.ts";
import type { AllowedCall, CallArrival, CallReceipt, GatewayCaller } from "./ports.ts";
import { formatRefusal } from "./refusals.ts";
import type { Upstreams } from "./upstreams.ts";

/** Pictures and long prompts. */
const MAX_BODY_BYTES = 8 * 1024 * 1024;
const MAX_HEADER_BYTES = 65_536;
const HEADERS_TIMEOUT_MS = 10_000;
const BODY_TIMEOUT_MS = 30_000;
const KEEP_ALIVE_TIMEOUT_MS = 75_000;
const HANDSHAKE_TIMEOUT_MS = 10_000;
const MAX_CONNECTIONS = 8192;

/** The gateway, listening. */
export interface Gateway {
  readonly port: number;
  /** New connections get the new certificate. */
  renewTls(material: TlsMaterial): void;
  close(): Promise<void>;
}

/** What the rest of the server knows of the gateway, whether it listens or not. */
export interface GatewayParts {
  readonly upstreams: Upstreams;
  readonly calls: LiveCalls;
  readonly connections: UpstreamConnections;
  /** https origin, or null without a listener. */
  readonly url: () => string | null;
}

/** @throws TrustWardenError `bind_refused`. */
export async function openGateway(options: {
  readonly services: Services;
  readonly listen: { readonly host: string; readonly port: number; readonly hosts: readonly string[] };
  readonly tls: TlsMaterial;
}): Promise<Gateway> {
  const { services, listen, tls } = options;
  const hosts = knownHosts(listen);
  /** Until the outcome of each is recorded. */
  const running = new Set<Promise<void>>();
  const server = createServer(
    {
      ...contextOptions(tls),
      requestCert: true,
      rejectUnauthorized: false,
      ALPNProtocols: ["http/1.1"],
      handshakeTimeout: HANDSHAKE_TIMEOUT_MS,
      maxHeaderSize: MAX_HEADER_BYTES,
      headersTimeout: HEADERS_TIMEOUT_MS,
      requestTimeout: HEADERS_TIMEOUT_MS + BODY_TIMEOUT_MS,
      keepAliveTimeout: KEEP_ALIVE_TIMEOUT_MS,
      insecureHTTPParser: false,
      joinDuplicateHeaders: false,
    },
    (request, response) => {
      const serving = serveCall({ services, hosts }, request, response);
      running.add(serving);
      void serving.finally(() => running.delete(serving));
    },
  );
  server.maxConnections = MAX_CONNECTIONS;
  server.on("checkContinue", (_request, response: ServerResponse) => response.writeHead(417).end());
  await listening(server, listen);
  return {
    port: portOf(server),
    renewTls: (material) => server.setSecureContext(contextOptions(material)),
    close: () => close(server, services.gateway, running),
  };
}

/** Answers one request, whatever happens; never rejects. */
async function serveCall(
  context: { readonly services: Services; readonly hosts: ReadonlySet<string> },
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const { services } = context;
  let upstream: UpstreamState | undefined;
  let authorized: { readonly caller: GatewayCaller; readonly receipt: CallReceipt } | undefined;
  try {
    const target = requireCleanHead(request, context.hosts);
    upstream = services.gateway.upstreams.find(target.segments[0] ?? "");
    const arrival = await readArrival(services, { request, response, target, upstream });
    const ports = keepReceipt(createGatewayPorts(services), (caller, receipt) => {
      authorized = { caller, receipt };
    });
    await guard(ports, arrival, (permit) => perform(services, permit));
  } catch (error) {
    const failure = toTrustWardenError(error);
    logFailure(services.log, `gateway ${upstream?.name ?? "none"}`, failure);
    await refuse({ request, response, upstream, failure, authorized });
  }
}

/** The same ports, with the receipt kept for the answer to a deny. */
function keepReceipt(
  ports: GuardPorts<CallArrival, GatewayCaller, CallReceipt>,
  onReceipt: (caller: GatewayCaller, receipt: CallReceipt) => void,
): GuardPorts<CallArrival, GatewayCaller, CallReceipt> {
  return {
    ...ports,
    record: async (arrival, caller, decision) => {
      const receipt = await ports.record(arrival, caller, decision);
      onReceipt(caller, receipt);
      return receipt;
    },
  };
}

async function perform(
  services: Services,
  { arrival, principal: caller, receipt }: CallPermit,
): Promise<void> {
  const { calls, connections } = services.gateway;
  const { response, upstream } = arrival;
  const gone = new AbortController();
  const onClose = (): void => {
    if (!response.writableFinished) gone.abort();
  };
  response.once("close", onClose);
  if (response.destroyed) gone.abort();
  const live = {
    agent: caller.agent,
    upstream,
    endsInMs: caller.expiresAt * 1000 - services.clock.nowMs(),
    mayGoOn: () => mayGoOn(services, caller),
  };
  try {
    await calls.run(live, async (cut) => {
      const signal = AbortSignal.any([gone.signal, cut]);
      const answer = new CallAnswer({ response, progress: arrival.progress, receipt, caller, signal });
      const client = new BrokeredClient({ arrival, caller, signal, connections, broker: services.broker });
      const call: AllowedCall = {
        arrival,
        caller,
        signal,
        client,
        begin: answer.begin,
        write: answer.write,
        end: answer.end,
      };
      try {
        await performCall(call);
        await client.release("success");
      } catch (error) {
        await client.release(signal.aborted ? "aborted" : "failure");
        if (cut.aborted) throw new TrustWardenError("call_cut", {}, { cause: error });
        if (gone.signal.aborted) throw new TrustWardenError("call_aborted", {}, { cause: error });
        throw error;
      }
    });
  } finally {
    response.off("close", onClose);
  }
}

/** @throws TrustWardenError `request_malformed`: what no client of ours sends, or what two readers read differently. */
function requireCleanHead(request: IncomingMessage, hosts: ReadonlySet<string>): RequestTarget {
  const { headers } = request;
  const host = /^(\[[0-9a-f:.]+\]|[^:]+)(?::\d{1,5})?$/i.exec(headers.host ?? "")?.[1]?.toLowerCase();
  if (host === undefined || !hosts.has(host)) throw malformed("host");
  // A browser is no client of the gateway; see ATTACKS.md D17.
  for (const name of ["origin", "content-encoding", "expect", "upgrade"]) {
    if (headers[name] !== undefined) throw malformed(name);
  }
  return parseRequestTarget(request.url ?? "");
}

async function readArrival(
  services: Services,
  parts: {
    readonly request: IncomingMessage;
    readonly response: ServerResponse;
    readonly target: RequestTarget;
    readonly upstream: UpstreamState;
  },
): Promise<CallArrival> {
  const { request, response, target, upstream } = parts;
  const startedMonoMs = services.clock.monoMs();
  const method = request.method ?? "";
  const body = isProven(services, request) ? await readBody(request) : new Uint8Array();
  const below = target.text.slice(upstream.name.length + 1);
  return {
    socket: request.socket,
    peer: formatPeer(request.socket),
    method,
    target,
    headers: request.headers,
    body,
    upstream,
    request: {
      method,
      target: parseRequestTarget(below.startsWith("/") ? below : `/${below}`),
      headers: protocolHeaders(request),
      body,
    },
    response,
    progress: { startedMonoMs, bytes: 0, result: null, usage: null },
  };
}

/** Strangers do not get to fill our memory; that they are none is proven by the path, a moment later. */
function isProven(services: Services, request: IncomingMessage): boolean {
  try {
    verifyPeerSvid(services, request.socket, services.clock.trustedSeconds());
    return true;
  } catch {
    // Safe to go on: the same check refuses the call on the path, and records it.
    return false;
  }
}

/** Headers that came exactly once; a repeated one has no single reading. */
function protocolHeaders(request: IncomingMessage): Readonly<Record<string, string | undefined>> {
  const single: Record<string, string> = Object.create(null);
  for (const [name, values] of Object.entries(request.headersDistinct)) {
    const [value] = values ?? [];
    if (value !== undefined && values?.length === 1) single[name] = value;
  }
  return single;
}

async function readBody(request: IncomingMessage): Promise<Uint8Array> {
  const parts: Buffer[] = [];
  let length = 0;
  const timer = setTimeout(() => request.destroy(malformed("the body is too slow")), BODY_TIMEOUT_MS);
  try {
    for await (const part of request) {
      if (!Buffer.isBuffer(part)) throw new Error("a request without encoding yields buffers");
      length += part.length;
      if (length > MAX_BODY_BYTES)
        throw new TrustWardenError("request_too_large", { maxBytes: MAX_BODY_BYTES });
      parts.push(part);
    }
  } catch (cause) {
    if (cause instanceof TrustWardenError) throw cause;
    throw new TrustWardenError("call_aborted", { reason: "the body broke off" }, { cause });
  } finally {
    clearTimeout(timer);
  }
  return Buffer.concat(parts, length);
}

/** Before the answer began it is a refusal; after that only cutting it off tells the caller that it is not whole. */
async function refuse(parts: {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly upstream: UpstreamState | undefined;
  readonly failure: TrustWardenError;
  readonly authorized: { readonly caller: GatewayCaller; readonly receipt: CallReceipt } | undefined;
}): Promise<void> {
  const { request, response, upstream, failure, authorized } = parts;
  if (response.headersSent || response.destroyed) {
    response.destroy();
    return;
  }
  const { status, headers, body } = formatRefusal(upstream?.kind, failure);
  const receipt = await receiptHeader(authorized);
  // What is left of a body that nobody read would be taken for the next request.
  const connection: Record<string, string> = request.complete ? {} : { connection: "close" };
  response.writeHead(status, { ...headers, ...receipt, ...connection });
  response.end(body);
}

async function receiptHeader(
  authorized: { readonly caller: GatewayCaller; readonly receipt: CallReceipt } | undefined,
): Promise<Readonly<Record<string, string>>> {
  if (authorized === undefined) return {};
  try {
    return { "trustwarden-receipt": await formatReceipt(authorized.caller, authorized.receipt) };
  } catch (error) {
    // Safe to go on: without a durable decision there is no receipt, and the refusal says that much.
    if (!(error instanceof TrustWardenError)) throw error;
    return {};
  }
}

function contextOptions({ key, cert, ca }: TlsMaterial) {
  return { key, cert, ca, minVersion: "TLSv1.3", secureOptions: constants.SSL_OP_NO_TICKET } as const;
}

function listening(
  server: Server,
  { host, port }: { readonly host: string; readonly port: number },
): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const onError = (cause: Error): void =>
    reject(new TrustWardenError("bind_refused", { host, port }, { cause }));
  server.once("error", onError);
  server.listen({ host, port }, () => {
    server.off("error", onError);
    resolve();
  });
  return promise;
}

function portOf(server: Server): number {
  const address: AddressInfo | string | null = server.address();
  if (address === null || typeof address === "string") throw new Error("a TCP listener has a port");
  return address.port;
}

/** Ends every call; their outcomes are recorded before the ledger closes. */
async function close(
  server: Server,
  { calls, connections }: GatewayParts,
  running: ReadonlySet<Promise<void>>,
): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  calls.close();
  server.closeAllConnections();
  await closed;
  await Promise.all(running);
  await connections.close();
}

function malformed(reason: string): TrustWardenError {
  return new TrustWardenError("request_malformed", { reason });
}
