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
import { parseRequestTarget } from "@trustwarden/core/request-target.ts";
import type { UseOutcome } from "../broker/ports.ts";
import { logFailure, toTrustWardenError } from "../http/errors.ts";
import { takeFewAtOnce } from "../http/few-at-once.ts";
import { knownHosts, type TlsMaterial } from "../http/listeners.ts";
import type { Services } from "../http/services.ts";
import type { Place } from "../intake/request-places.ts";
import { observePath } from "../metrics/observe.ts";
import type { UpstreamState } from "../store/gateway-ports.ts";
import { CallAnswer, formatReceipt } from "./answer.ts";
import { BODY_TIMEOUT_MS, readArrival, requireCleanHead } from "./arrival.ts";
import { BrokeredClient } from "./brokered-client.ts";
import { refusalOf } from "./call-budget.ts";
import { answerMetadata, formatChallenge, isMetadata, nonceFor } from "./challenges.ts";
import { readNewest } from "./follow-others.ts";
import type { UpstreamConnections } from "./forward.ts";
import { type CallPermit, createGatewayPorts, liveCallOf } from "./gateway-ports.ts";
import type { LiveCalls } from "./live-calls.ts";
import { performCall } from "./performers.ts";
import type { AllowedCall, CallArrival, CallReceipt, GatewayCaller } from "./ports.ts";
import { formatRefusal } from "./refusals.ts";
import { serveConnect, serveUpgrade } from "./tunnel.ts";
import type { Upstreams } from "./upstreams.ts";

const MAX_HEADER_BYTES = 65_536;
const HEADERS_TIMEOUT_MS = 10_000;
const KEEP_ALIVE_TIMEOUT_MS = 75_000;
const HANDSHAKE_TIMEOUT_MS = 10_000;
const MAX_CONNECTIONS = 8192;
/** Made once: an abort without a reason makes an exception of its own, for each call that ends well. */
const OVER = new Error("the call is over");

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
  /** Every origin that is this listener, as clients may spell it; none without one. */
  readonly origins: () => readonly string[];
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
  const track = (serving: Promise<void>): void => {
    running.add(serving);
    void serving.finally(() => running.delete(serving));
  };
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
    takeFewAtOnce((request, response) => track(serveCall({ services, hosts }, request, response))),
  );
  server.maxConnections = MAX_CONNECTIONS;
  server.on("checkContinue", (_request, response: ServerResponse) => response.writeHead(417).end());
  server.on("upgrade", (request, socket, head) =>
    track(serveUpgrade({ services, hosts }, { request, socket, head })),
  );
  server.on("connect", (request, socket, head) =>
    track(serveConnect({ services, hosts }, { request, socket, head })),
  );
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
  const { tracer } = services.meter;
  let upstream: UpstreamState | undefined;
  let arrival: CallArrival | undefined;
  let place: Place | undefined;
  let authorized: { readonly caller: GatewayCaller; readonly receipt: CallReceipt } | undefined;
  try {
    place = services.intake.requests.knock(request);
    requireCleanHead(request, { hosts: context.hosts, allowsUpgrade: false });
    const target = parseRequestTarget(request.url ?? "");
    if (isMetadata(target)) return answerMetadata(services, { request, response, target });
    if (services.sharing.isShared) await readNewest(services, request);
    upstream = services.gateway.upstreams.find(target.segments[0] ?? "");
    arrival = await readArrival(services, { request, target, upstream });
    const { traceparent } = request.headers;
    tracer?.begin(arrival, { name: `gateway ${upstream.kind}`, listener: "gateway", traceparent });
    place.take();
    await place.turn();
    const ports = keepReceipt(
      observePath(services.meter, "gateway", createGatewayPorts(services)),
      (caller, receipt) => {
        authorized = { caller, receipt };
      },
    );
    await guard(ports, arrival, (permit) => perform(services, permit, response));
    tracer?.end(arrival, { result: "answered" });
  } catch (error) {
    const thrown = toTrustWardenError(error);
    if (arrival !== undefined) tracer?.end(arrival, { result: "refused", code: thrown.code });
    const failure = arrival === undefined ? thrown : refusalOf(arrival, thrown);
    logFailure(services.log, `gateway ${upstream?.name ?? "none"}`, failure);
    const challenge = formatChallenge(services, { failure, request, upstream });
    const sent = arrival?.body ?? new Uint8Array();
    await refuse({ request, response, upstream, failure, authorized, challenge, sent });
  } finally {
    place?.leave();
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
  response: ServerResponse,
): Promise<void> {
  const { calls, connections, upstreams } = services.gateway;
  const { upstream } = arrival;
  upstreams.requireCurrent(upstream);
  const gone = new AbortController();
  const onClose = (): void => {
    if (!response.writableFinished) gone.abort();
  };
  response.once("close", onClose);
  if (response.destroyed) gone.abort();
  try {
    await calls.run(liveCallOf(services, caller, upstream), async (cut) => {
      const { signal } = gone;
      const onCut = (): void => {
        gone.abort(cut.reason);
        // At once: its outcome waits for the ledger, and that may be away.
        if (response.headersSent) response.destroy();
      };
      cut.addEventListener("abort", onCut, { once: true });
      const answer = new CallAnswer({ response, progress: arrival.progress, receipt, caller, signal });
      const { broker } = services;
      const clients: BrokeredClient[] = [];
      const clientOf = (to: UpstreamState, until: AbortSignal): BrokeredClient => {
        const { peer } = arrival;
        const made = new BrokeredClient({
          arrival: { upstream: to, peer },
          caller,
          signal: until,
          connections,
          broker,
          headers: services.meter.tracer?.headersOf(arrival) ?? {},
        });
        clients.push(made);
        return made;
      };
      const release = (outcome: UseOutcome) => Promise.all(clients.map((client) => client.release(outcome)));
      const call: AllowedCall = {
        arrival,
        caller,
        signal,
        client: clientOf(upstream, signal),
        clientOf,
        begin: (status, headers) => answer.begin(status, { ...headers, ...nonceFor(services, caller) }),
        write: answer.write,
        end: answer.end,
      };
      arrival.progress.isBegun = true;
      try {
        await performCall(services, call);
        await release("success");
      } catch (error) {
        await release(signal.aborted ? "aborted" : "failure");
        if (cut.aborted) {
          if (cut.reason instanceof TrustWardenError) arrival.progress.refusal = cut.reason;
          throw new TrustWardenError("call_cut", {}, { cause: error });
        }
        if (gone.signal.aborted) throw new TrustWardenError("call_aborted", {}, { cause: error });
        throw error;
      }
    });
  } finally {
    response.off("close", onClose);
    // What an upstream still sends to a call that is over would hold its connection.
    gone.abort(OVER);
  }
}

/** Before the answer began it is a refusal; after that only cutting it off tells the caller that it is not whole. */
async function refuse(parts: {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly upstream: UpstreamState | undefined;
  readonly failure: TrustWardenError;
  readonly authorized: { readonly caller: GatewayCaller; readonly receipt: CallReceipt } | undefined;
  readonly challenge: Readonly<Record<string, string>>;
  readonly sent: Uint8Array;
}): Promise<void> {
  const { request, response, upstream, failure, authorized, challenge, sent } = parts;
  if (response.headersSent || response.destroyed) {
    response.destroy();
    return;
  }
  const { status, headers, body } = formatRefusal(upstream?.kind, failure, sent);
  const receipt = await receiptHeader(authorized);
  const waiting = requestHeader(failure, authorized?.caller);
  // What is left of a body that nobody read would be taken for the next request.
  const connection: Record<string, string> = request.complete ? {} : { connection: "close" };
  // A resource server asks for a nonce with 401, the token endpoint with 400 (RFC 9449 §8, §9).
  const shown = failure.code === "dpop_nonce_missing" ? 401 : status;
  response.writeHead(shown, { ...headers, ...challenge, ...receipt, ...waiting, ...connection });
  response.end(body);
}

/** What waits for a human is named for callers that did not write the intent themselves. */
function requestHeader(
  { code }: TrustWardenError,
  caller: GatewayCaller | undefined,
): Readonly<Record<string, string>> {
  if (code !== "approval_required" || caller === undefined) return {};
  return { "trustwarden-approval-request": caller.intent.intent.event_id };
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
