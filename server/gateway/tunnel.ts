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
import type { EchoRedactor, Injection } from "../broker/ports.ts";
import { formatPeer } from "../http/arrival.ts";
import { logFailure, toTrustWardenError } from "../http/errors.ts";
import type { Services } from "../http/services.ts";
import type { UpstreamState } from "../store/gateway-ports.ts";
import { formatReceipt } from "./answer.ts";
import { newProgress, protocolHeaders, readArrival, requireCleanHead } from "./arrival.ts";
import { withSecret } from "./brokered-client.ts";
import { isAllowedAddress } from "./forward.ts";
import { type CallPermit, createGatewayPorts, liveCallOf } from "./gateway-ports.ts";
import type { CallArrival } from "./ports.ts";
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
  /** Of the secret that went along with the handshake; null without one. */
  readonly injection: Injection | null;
}

/** A WebSocket to an upstream; never rejects. */
export async function serveUpgrade({ services, hosts }: Context, taken: Taken): Promise<void> {
  const { request } = taken;
  await serveTunnel(services, taken, async () => {
    requireCleanHead(request, { hosts, allowsUpgrade: true });
    if (request.method !== "GET" || request.headers.upgrade?.toLowerCase() !== "websocket")
      throw new TrustWardenError("request_malformed", { reason: "upgrade" });
    const target = parseRequestTarget(request.url ?? "");
    const upstream = services.gateway.upstreams.find(target.segments[0] ?? "");
    if (upstream.kind !== "http") throw new TrustWardenError("route_unknown", { kind: upstream.kind });
    const arrival = await readArrival(services, { request, target, upstream });
    return { arrival, open: (permit, signal) => openWebSocket(services, permit, signal) };
  });
}

/** A tunnel to a place outside; never rejects. */
export async function serveConnect({ services }: Context, taken: Taken): Promise<void> {
  const { request } = taken;
  await serveTunnel(services, taken, async () => {
    const place = parseAuthority(request.url ?? "");
    const upstream = services.gateway.upstreams.findEgress();
    const arrival: CallArrival = {
      socket: request.socket,
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
    return { arrival, open: (_permit, signal) => openPlace(services, { upstream, ...place }, signal) };
  });
}

async function serveTunnel(
  services: Services,
  { request, socket, head }: Taken,
  arrive: () => Promise<{
    readonly arrival: CallArrival;
    readonly open: (permit: CallPermit, signal: AbortSignal) => Promise<Opened>;
  }>,
): Promise<void> {
  // Until somebody listens, a reset by the peer must not become an uncaught error.
  socket.on("error", () => socket.destroy());
  let isOpen = false;
  try {
    const { arrival, open } = await arrive();
    await guard(createGatewayPorts(services), arrival, (permit) =>
      runTunnel(services, permit, async (signal) => {
        const { far, head: first, lines, injection } = await open(permit, signal);
        try {
          const receipt = await formatReceipt(permit.principal, permit.receipt);
          if (head.length > 0) socket.unshift(head);
          if (first.length > 0) far.unshift(first);
          socket.write(`${[...lines, `TrustWarden-Receipt: ${receipt}`].join("\r\n")}\r\n\r\n`);
          isOpen = true;
          await join({ near: socket, far, signal, arrival, injection });
        } finally {
          far.destroy();
          const isBrokenOff = signal.aborted || injection?.signal.aborted === true || !isOpen;
          await injection?.release(isBrokenOff ? "aborted" : "success");
        }
      }),
    );
    socket.destroy();
  } catch (error) {
    const failure = toTrustWardenError(error);
    logFailure(services.log, `gateway ${request.method === "CONNECT" ? "tunnel" : "upgrade"}`, failure);
    if (isOpen) socket.destroy();
    else refuse(socket, failure);
  }
}

async function runTunnel(
  services: Services,
  { arrival, principal: caller }: CallPermit,
  act: (signal: AbortSignal) => Promise<void>,
): Promise<void> {
  const gone = new AbortController();
  const onClose = (): void => gone.abort();
  arrival.socket.once("close", onClose);
  if (arrival.socket.destroyed) gone.abort();
  try {
    await services.gateway.calls.run(liveCallOf(services, caller, arrival.upstream), async (cut) => {
      arrival.progress.isBegun = true;
      try {
        await act(AbortSignal.any([gone.signal, cut]));
      } catch (error) {
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

/** Carries bytes both ways until either side has ended, or the signal fires. */
async function join(ends: {
  readonly near: Duplex;
  readonly far: Duplex;
  readonly signal: AbortSignal;
  readonly arrival: CallArrival;
  readonly injection: Injection | null;
}): Promise<void> {
  const { near, far, arrival, injection } = ends;
  const signal = injection === null ? ends.signal : AbortSignal.any([ends.signal, injection.signal]);
  const { promise, resolve } = Promise.withResolvers<void>();
  const end = (): void => {
    near.destroy();
    far.destroy();
    resolve();
  };
  if (signal.aborted) return end();
  signal.addEventListener("abort", end, { once: true });
  far.on("data", (part: Buffer) => {
    arrival.progress.bytes += part.length;
  });
  for (const socket of [near, far]) {
    socket.on("error", end);
    socket.once("close", end);
    if (socket instanceof Socket) socket.setTimeout(IDLE_TIMEOUT_MS, end);
  }
  near.pipe(far);
  const redactor = injection?.redactor();
  if (redactor === undefined) far.pipe(near);
  else far.pipe(masking(redactor)).pipe(near);
  try {
    await promise;
  } finally {
    signal.removeEventListener("abort", end);
  }
}

/** Takes every form of the secret out; a mask is as long as what it hides, so frames stay frames. */
function masking(redactor: EchoRedactor): Transform {
  return new Transform({
    transform: (part: Buffer, _encoding, done) => done(null, redactor.push(part)),
    flush: (done) => done(null, redactor.end()),
  });
}

/** @throws TrustWardenError `upstream_unreachable`, `upstream_refused`. */
function openPlace(
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
    resolve({ far, head: Buffer.alloc(0), lines: ["HTTP/1.1 200 Connection Established"], injection: null });
  });
  return promise;
}

/** @throws TrustWardenError `upstream_unreachable`, `upstream_refused`, `upstream_answer_refused`, and the broker's codes. */
async function openWebSocket(
  services: Services,
  { arrival, principal: caller }: CallPermit,
  signal: AbortSignal,
): Promise<Opened> {
  const { upstream, peer } = arrival;
  const injection =
    upstream.secret === null
      ? null
      : await services.broker.inject({
          secret: upstream.secret,
          upstream: upstream.name,
          origin: new URL(upstream.url).origin,
          agent: caller.agent,
          eventId: caller.intent.intent.event_id,
          peer,
        });
  try {
    return await shakeHands(services, { arrival, injection, signal });
  } catch (error) {
    await injection?.release("failure");
    throw error;
  }
}

function shakeHands(
  { gateway }: Services,
  {
    arrival,
    injection,
    signal,
  }: {
    readonly arrival: CallArrival;
    readonly injection: Injection | null;
    readonly signal: AbortSignal;
  },
): Promise<Opened> {
  const { upstream, request } = arrival;
  const url = new URL(upstream.url);
  // Without extensions frames stay readable for whoever must look into them.
  const { "sec-websocket-extensions": _none, ...headers } = forwardHeaders(arrival.headers);
  const sent = withSecret({ method: "GET", path: request.target.text, headers, body: null }, injection);
  const options: RequestOptions = {
    host: url.hostname.replace(/^\[|\]$/g, ""),
    port: url.port === "" ? undefined : Number(url.port),
    path: `${url.pathname === "/" ? "" : url.pathname}${sent.path}`,
    method: "GET",
    headers: {
      ...sent.headers,
      host: url.host,
      connection: "Upgrade",
      upgrade: "websocket",
    },
    lookup: gateway.connections.lookupFor(upstream),
    timeout: DIAL_TIMEOUT_MS,
    signal,
    agent: false,
    rejectUnauthorized: true,
    minVersion: "TLSv1.2",
    ...(upstream.ca === null ? {} : { ca: upstream.ca }),
  };
  const { promise, resolve, reject } = Promise.withResolvers<Opened>();
  const outgoing = (url.protocol === "https:" ? requestTls : requestPlain)(options);
  outgoing.once("upgrade", (answer, far, head) => resolve({ far, head, lines: linesOf(answer), injection }));
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

function linesOf(answer: IncomingMessage): readonly string[] {
  const { "sec-websocket-extensions": _none, ...headers } = answerHeaders(answer.headers);
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
