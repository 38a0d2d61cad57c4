/**
 * Calls that become a two-way connection: WebSocket to an upstream, and `CONNECT` to a place outside.
 *
 * The same path as every call: proven, decided and recorded before anything is dialled, cut when it is no longer
 * allowed, and its outcome recorded when it ends. After the first line nothing is read of what flows; bytes are counted.
 *
 * @see RFC 6455 §4; RFC 9110 §9.3.6
 */
import { type IncomingMessage, request as requestPlain } from "node:http";
import { type RequestOptions, request as requestTls } from "node:https";
import { connect, isIP, Socket } from "node:net";
import { type Duplex, Transform } from "node:stream";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { answerHeaders, forwardHeaders } from "@trustwarden/core/gateway/headers.ts";
import { parseAuthority, targetOfPlace } from "@trustwarden/core/gateway/plan-egress.ts";
import { guard } from "@trustwarden/core/guard.ts";
import { parseRequestTarget } from "@trustwarden/core/request-target.ts";
import { formatPeer } from "../http/arrival.ts";
import { logFailure, toTrustWardenError } from "../http/errors.ts";
import type { Services } from "../http/services.ts";
import { type Place, placeOf } from "../intake/request-places.ts";
import { observePath } from "../metrics/observe.ts";
import type { UpstreamState } from "../store/gateway-ports.ts";
import { formatReceipt } from "./answer.ts";
import { newProgress, protocolHeaders, readArrival, requireCleanHead } from "./arrival.ts";
import { BrokeredClient, type BrokeredUpgrade } from "./brokered-client.ts";
import { refusalOf } from "./call-budget.ts";
import { readNewest } from "./follow-others.ts";
import { isAllowedAddress } from "./forward.ts";
import { type CallPermit, createGatewayPorts, liveCallOf } from "./gateway-ports.ts";
import type { CallArrival, CallProgress } from "./ports.ts";
import { formatRefusal } from "./refusals.ts";

const DIAL_TIMEOUT_MS = 10_000;
/** A tunnel in which nothing flows either way is somebody's forgotten one. */
const IDLE_TIMEOUT_MS = 600_000;
const NO_BODY = new Uint8Array(0);

interface Context {
  readonly services: Services;
  /** Names by which the gateway may be called. */
  readonly hosts: ReadonlySet<string>;
}

/** A request that took its socket over. */
interface Taken {
  readonly request: IncomingMessage;
  readonly socket: Duplex;
  /** What came behind the head already. */
  readonly head: Buffer;
}

/** The upstream's end of a tunnel, and what the caller is told. */
interface Opened {
  readonly far: Duplex;
  readonly head: Buffer;
  /** Status line and headers without the receipt. */
  readonly lines: readonly string[];
  /** What watches over what comes back; null inside a tunnel, where nothing is seen. */
  readonly upgrade: BrokeredUpgrade | null;
}

/** A WebSocket to an upstream; never rejects. */
export async function serveUpgrade({ services, hosts }: Context, taken: Taken): Promise<void> {
  const { request } = taken;
  await serveTunnel(services, taken, async () => {
    requireCleanHead(request, { hosts, allowsUpgrade: true });
    if (request.method !== "GET" || request.headers.upgrade?.toLowerCase() !== "websocket")
      throw new TrustWardenError("request_malformed", { reason: "upgrade" });
    const target = parseRequestTarget(request.url ?? "");
    await readNewest(services, request);
    const upstream = services.gateway.upstreams.find(target.segments[0] ?? "");
    if (upstream.kind !== "http") throw new TrustWardenError("route_unknown", { kind: upstream.kind });
    const arrival = await readArrival(services, { request, target, upstream });
    return { arrival, open: (client) => openWebSocket(services, arrival, client) };
  });
}

/** A tunnel to a place outside; never rejects. */
export async function serveConnect({ services }: Context, taken: Taken): Promise<void> {
  const { request } = taken;
  await serveTunnel(services, taken, async () => {
    const place = parseAuthority(request.url ?? "");
    await readNewest(services, request);
    const upstream = services.gateway.upstreams.findEgress();
    const arrival: CallArrival = {
      socket: request.socket,
      place: placeOf(request),
      peer: formatPeer(request.socket),
      method: "CONNECT",
      target: request.url ?? "",
      headers: request.headers,
      body: NO_BODY,
      upstream,
      request: {
        method: "CONNECT",
        target: targetOfPlace(place),
        headers: protocolHeaders(request),
        body: NO_BODY,
      },
      progress: newProgress(services.clock.monoMs()),
    };
    return { arrival, open: (_client, signal) => openPlace(services, { upstream, ...place }, signal) };
  });
}

async function serveTunnel(
  services: Services,
  { request, socket, head }: Taken,
  arrive: () => Promise<{
    readonly arrival: CallArrival;
    readonly open: (client: BrokeredClient, signal: AbortSignal) => Promise<Opened>;
  }>,
): Promise<void> {
  // Until somebody listens, a reset by the peer must not become an uncaught error.
  socket.on("error", () => socket.destroy());
  let isOpen = false;
  let arrival: CallArrival | undefined;
  let place: Place | undefined;
  try {
    place = services.intake.requests.knock(request);
    const arrived = await arrive();
    arrival = arrived.arrival;
    place.take();
    await place.turn();
    const ports = observePath(services.meter, "gateway", createGatewayPorts(services));
    await guard(ports, arrived.arrival, (permit) =>
      runTunnel(services, permit, async (client, signal) => {
        const { far, head: first, lines, upgrade } = await arrived.open(client, signal);
        try {
          const receipt = await formatReceipt(permit.principal, permit.receipt);
          if (head.length > 0) socket.unshift(head);
          if (first.length > 0) far.unshift(first);
          socket.write(`${[...lines, `TrustWarden-Receipt: ${receipt}`].join("\r\n")}\r\n\r\n`);
          isOpen = true;
          await join({ near: socket, far, signal, progress: arrived.arrival.progress, upgrade });
          upgrade?.requireEnabled();
        } finally {
          far.destroy();
        }
      }),
    );
    socket.destroy();
  } catch (error) {
    const thrown = toTrustWardenError(error);
    const failure = arrival === undefined ? thrown : refusalOf(arrival, thrown);
    logFailure(services.log, `gateway ${request.method === "CONNECT" ? "tunnel" : "upgrade"}`, failure);
    if (isOpen) socket.destroy();
    else refuse(socket, failure);
  } finally {
    place?.leave();
  }
}

async function runTunnel(
  services: Services,
  { arrival, principal: caller }: CallPermit,
  act: (client: BrokeredClient, signal: AbortSignal) => Promise<void>,
): Promise<void> {
  services.gateway.upstreams.requireCurrent(arrival.upstream);
  const gone = new AbortController();
  const onClose = (): void => gone.abort();
  arrival.socket.once("close", onClose);
  if (arrival.socket.destroyed) gone.abort();
  try {
    await services.gateway.calls.run(liveCallOf(services, caller, arrival.upstream), async (cut) => {
      const signal = AbortSignal.any([gone.signal, cut]);
      const { connections } = services.gateway;
      const client = new BrokeredClient({ arrival, caller, signal, connections, broker: services.broker });
      arrival.progress.isBegun = true;
      try {
        await act(client, signal);
        await client.release(cut.aborted ? "aborted" : "success");
      } catch (error) {
        await client.release(signal.aborted ? "aborted" : "failure");
        if (cut.aborted) throw new TrustWardenError("call_cut", {}, { cause: error });
        throw error;
      }
      // Either side may end a tunnel; only we know when it was us.
      if (cut.aborted) throw new TrustWardenError("call_cut");
    });
  } finally {
    arrival.socket.off("close", onClose);
  }
}

/** Carries bytes both ways until either side has ended, or the signal fires. @throws TrustWardenError `canary_found`. */
async function join(ends: {
  readonly near: Duplex;
  readonly far: Duplex;
  readonly signal: AbortSignal;
  readonly progress: CallProgress;
  readonly upgrade: BrokeredUpgrade | null;
}): Promise<void> {
  const { near, far, progress, upgrade } = ends;
  const signal = upgrade?.signal ?? ends.signal;
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const end = (): void => {
    near.destroy();
    far.destroy();
    resolve();
  };
  // Either may have ended while the decision became durable; nobody would hear of it again.
  if (signal.aborted || near.destroyed || far.destroyed) return end();
  signal.addEventListener("abort", end, { once: true });
  for (const socket of [near, far]) {
    socket.on("error", end);
    socket.once("close", end);
    if (socket instanceof Socket) socket.setTimeout(IDLE_TIMEOUT_MS, end);
  }
  far.on("data", (part: Buffer) => {
    progress.bytes += part.length;
  });
  near.pipe(far);
  if (upgrade === null) far.pipe(near);
  else
    far
      .pipe(watching(upgrade))
      .on("error", (error) => {
        reject(error);
        end();
      })
      .pipe(near);
  try {
    await promise;
  } finally {
    signal.removeEventListener("abort", end);
  }
}

/** What comes back, searched and masked on its way. */
function watching(upgrade: BrokeredUpgrade): Transform {
  return new Transform({
    transform: (part: Buffer, _encoding, done) => {
      upgrade.part(part).then((shown) => done(null, shown), done);
    },
    flush: (done) => done(null, upgrade.rest()),
  });
}

/** @throws TrustWardenError `upstream_unreachable`, `upstream_refused`. */
async function openPlace(
  { gateway }: Services,
  {
    upstream,
    host,
    port,
  }: { readonly upstream: UpstreamState; readonly host: string; readonly port: number },
  signal: AbortSignal,
): Promise<Opened> {
  if (isIP(host) !== 0 && !isAllowedAddress(upstream, host)) throw new TrustWardenError("upstream_refused");
  const { promise, resolve, reject } = Promise.withResolvers<Opened>();
  const far = connect({ host, port, lookup: gateway.connections.lookupFor(upstream) });
  const stop = (): void => void far.destroy(new TrustWardenError("upstream_unreachable", { reason: "time" }));
  far.setTimeout(DIAL_TIMEOUT_MS, stop);
  signal.addEventListener("abort", stop, { once: true });
  far.once("error", (cause) => reject(unreachable(cause)));
  far.once("connect", () => {
    far.setTimeout(0);
    signal.removeEventListener("abort", stop);
    resolve({ far, head: Buffer.alloc(0), lines: ["HTTP/1.1 200 Connection Established"], upgrade: null });
  });
  return promise;
}

/** @throws TrustWardenError `upstream_unreachable`, `upstream_refused`, `upstream_answer_refused`, and the broker's codes. */
async function openWebSocket(
  { gateway }: Services,
  { upstream, headers, request }: CallArrival,
  client: BrokeredClient,
): Promise<Opened> {
  // Without extensions frames stay readable for whoever must look into them.
  const { "sec-websocket-extensions": _none, ...forwarded } = forwardHeaders(headers);
  const upgrade = await client.upgrade({
    method: "GET",
    path: request.target.text,
    headers: forwarded,
    body: null,
  });
  const url = new URL(upstream.url);
  const opened = await shakeHands(url, {
    host: url.hostname.replace(/^\[|\]$/g, ""),
    port: url.port === "" ? undefined : Number(url.port),
    path: `${url.pathname === "/" ? "" : url.pathname}${upgrade.sent.path}`,
    headers: { ...upgrade.sent.headers, host: url.host, connection: "Upgrade", upgrade: "websocket" },
    lookup: gateway.connections.lookupFor(upstream),
    signal: upgrade.signal,
    ...(upstream.ca === null ? {} : { ca: upstream.ca }),
  });
  const { answer, far, head } = opened;
  try {
    return { far, head, lines: linesOf(await upgrade.head(answerHeaders(answer.headers))), upgrade };
  } catch (error) {
    far.destroy();
    throw error;
  }
}

function shakeHands(
  { protocol }: URL,
  options: RequestOptions,
): Promise<{ readonly answer: IncomingMessage; readonly far: Duplex; readonly head: Buffer }> {
  const { promise, resolve, reject } = Promise.withResolvers<{
    readonly answer: IncomingMessage;
    readonly far: Duplex;
    readonly head: Buffer;
  }>();
  const outgoing = (protocol === "https:" ? requestTls : requestPlain)({
    ...options,
    method: "GET",
    timeout: DIAL_TIMEOUT_MS,
    agent: false,
    rejectUnauthorized: true,
    minVersion: "TLSv1.2",
  });
  outgoing.once("upgrade", (answer, far, head) => {
    // The search of its head comes first: until then a reset must not become an uncaught error.
    far.on("error", () => far.destroy());
    resolve({ answer, far, head });
  });
  outgoing.once("response", (answer) => {
    answer.destroy();
    reject(new TrustWardenError("upstream_answer_refused", { status: answer.statusCode ?? 0 }));
  });
  outgoing.once("timeout", () =>
    outgoing.destroy(new TrustWardenError("upstream_unreachable", { reason: "time" })),
  );
  outgoing.on("error", (cause) => reject(unreachable(cause)));
  outgoing.end();
  return promise;
}

function linesOf(answer: Readonly<Record<string, string>>): readonly string[] {
  const { "sec-websocket-extensions": _none, ...headers } = answer;
  const kept = Object.entries(headers).map(([name, value]) => `${name}: ${value}`);
  return ["HTTP/1.1 101 Switching Protocols", "Connection: Upgrade", "Upgrade: websocket", ...kept];
}

function refuse(socket: Duplex, failure: TrustWardenError): void {
  const { status, headers, body } = formatRefusal(undefined, failure, new Uint8Array());
  const lines = Object.entries({ ...headers, connection: "close" }).map(
    ([name, value]) => `${name}: ${value}`,
  );
  socket.write(`${[`HTTP/1.1 ${status} Refused`, ...lines].join("\r\n")}\r\n\r\n`);
  socket.end(body, () => socket.destroy());
}

function unreachable(cause: unknown): TrustWardenError {
  return cause instanceof TrustWardenError
    ? cause
    : new TrustWardenError("upstream_unreachable", {}, { cause });
}
