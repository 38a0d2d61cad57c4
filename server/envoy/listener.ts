/**
 * The listener for proxies: Envoy's external authorization over gRPC, one method, over TLS 1.3 with HTTP/2.
 *
 * Written on Node's HTTP/2 and not on a gRPC library, so that the peer's chain is verified by our own code and a
 * refusal is recorded like any other; a unary call is one frame each way. Every call walks the same path as a route.
 *
 * @see https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md
 */
import { constants } from "node:crypto";
import { createSecureServer, type IncomingHttpHeaders, type ServerHttp2Stream } from "node:http2";
import { concatBytes } from "@trustwarden/core/bytes.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { createRouteTable } from "@trustwarden/core/route-table.ts";
import { type Arrival, formatPeer, MAX_BODY_BYTES } from "../http/arrival.ts";
import { logFailure, toTrustWardenError } from "../http/errors.ts";
import type { TlsMaterial } from "../http/listeners.ts";
import { formatRoute } from "../http/route.ts";
import { serveGuarded } from "../http/serve.ts";
import type { Services } from "../http/services.ts";
import { CHECK_ROUTE } from "../http/table/envoy.ts";
import type { Place } from "../intake/request-places.ts";
import type { EnvoyConfig } from "../opa/config.ts";
import { requireNewest } from "../shared/sharing.ts";
import { check, type EnvoyTables } from "./check.ts";
import { encodeCheckAnswer, parseCheckRequest } from "./messages.ts";

const PREFIX_BYTES = 5;
/** A proxy that says nothing for so long is gone. */
const IDLE_MS = 300_000;
const MAX_STREAMS = 1000;
/** `grpc-status` of what can go wrong here. */
const GRPC = {
  unimplemented: 12,
  internal: 13,
  unavailable: 14,
  unauthenticated: 16,
  invalid: 3,
  denied: 7,
} as const;

/** The listener, listening. */
export interface EnvoyListener {
  readonly port: number;
  renewTls(material: TlsMaterial): void;
  close(): Promise<void>;
}

/** @throws TrustWardenError `bind_refused`; `config_invalid` for a table that is not well formed. */
export async function openEnvoyListener(options: {
  readonly services: Services;
  readonly listen: EnvoyConfig;
  readonly tls: TlsMaterial;
}): Promise<EnvoyListener> {
  const { services, listen, tls } = options;
  const tables: EnvoyTables = new Map(
    Object.entries(listen.services).map(([name, routes]) => [name, createRouteTable(routes)]),
  );
  const server = createSecureServer({
    ...contextOf(tls),
    requestCert: true,
    rejectUnauthorized: false,
    ALPNProtocols: ["h2"],
    allowHTTP1: false,
    settings: { maxConcurrentStreams: MAX_STREAMS, maxHeaderListSize: 16_384, enablePush: false },
  });
  const sessions = new Set<{ close(): void }>();
  server.on("session", (session) => {
    sessions.add(session);
    session.setTimeout(IDLE_MS, () => session.close());
    session.on("close", () => sessions.delete(session));
    // A connection that breaks concerns its own calls only.
    session.on("error", () => undefined);
  });
  server.on(
    "stream",
    (stream: ServerHttp2Stream, headers) => void answerStream(services, tables, { stream, headers }),
  );
  await new Promise<void>((resolve, reject) => {
    server.once("error", (cause) =>
      reject(new TrustWardenError("bind_refused", { host: listen.host, port: listen.port }, { cause })),
    );
    server.listen(listen.port, listen.host, resolve);
  });
  const address = server.address();
  return {
    port: typeof address === "object" && address !== null ? address.port : 0,
    renewTls: (material) => server.setSecureContext(contextOf(material)),
    close: async () => {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      for (const session of sessions) session.close();
      await closed;
    },
  };
}

function contextOf({ key, cert, ca }: TlsMaterial) {
  // A resumed session would skip the check of the peer's chain (D9).
  return { key, cert, ca, minVersion: "TLSv1.3", secureOptions: constants.SSL_OP_NO_TICKET } as const;
}

interface Call {
  readonly stream: ServerHttp2Stream;
  readonly headers: IncomingHttpHeaders;
}

/** Answers one call; whatever fails is a status of gRPC, which no proxy takes for a permission. */
async function answerStream(services: Services, tables: EnvoyTables, call: Call): Promise<void> {
  const { stream } = call;
  stream.on("error", () => undefined);
  let place: Place | undefined;
  try {
    const socket = socketOf(call);
    place = services.intake.requests.knock({ socket });
    const arrival = arrivalOf(call, { socket, place, message: await readCall(call) });
    place.take();
    await place.turn();
    await requireNewest(services);
    const answer = await serveGuarded(services, {
      route: CHECK_ROUTE,
      arrival,
      act: (visit) => check(services, visit, { request: parseCheckRequest(arrival.rawBody), tables }),
    });
    respond(stream, encodeCheckAnswer(answer));
  } catch (error) {
    const failure = toTrustWardenError(error);
    logFailure(services.log, formatRoute(CHECK_ROUTE), failure);
    refuse(stream, failure);
  } finally {
    place?.leave();
  }
}

function socketOf({ stream }: Call): Arrival["socket"] {
  const socket = stream.session?.socket;
  if (socket === undefined) throw new TrustWardenError("no_svid", { reason: "the connection is gone" });
  return socket;
}

function arrivalOf(
  { headers }: Call,
  { socket, place, message }: Pick<Arrival, "socket" | "place"> & { readonly message: Uint8Array },
): Arrival {
  return {
    route: CHECK_ROUTE,
    listener: "envoy",
    socket,
    place,
    peer: formatPeer(socket),
    method: CHECK_ROUTE.method,
    target: CHECK_ROUTE.path,
    headers,
    rawBody: message,
    body: undefined,
    query: {},
    params: {},
  };
}

/** @throws TrustWardenError `not_found`, `request_malformed`, `request_too_large`. */
async function readCall({ stream, headers }: Call): Promise<Uint8Array> {
  if (headers[":path"] !== CHECK_ROUTE.path || headers[":method"] !== "POST") {
    throw new TrustWardenError("not_found");
  }
  const parts: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of stream) {
    size += chunk.length;
    if (size > MAX_BODY_BYTES) throw new TrustWardenError("request_too_large");
    parts.push(chunk);
  }
  const frame = concatBytes(...parts);
  const length = frame.length < PREFIX_BYTES ? -1 : new DataView(frame.buffer).getUint32(1);
  if (frame[0] !== 0 || frame.length !== PREFIX_BYTES + length) {
    throw new TrustWardenError("request_malformed", { reason: "not one plain gRPC message" });
  }
  return frame.subarray(PREFIX_BYTES);
}

function respond(stream: ServerHttp2Stream, message: Uint8Array): void {
  if (stream.destroyed) return;
  const prefix = new Uint8Array(PREFIX_BYTES);
  new DataView(prefix.buffer).setUint32(1, message.length);
  stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
  stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
  stream.end(concatBytes(prefix, message));
}

function refuse(stream: ServerHttp2Stream, failure: TrustWardenError): void {
  if (stream.destroyed) return;
  const status = { "grpc-status": String(grpcStatusOf(failure)) };
  stream.respond({ ":status": 200, "content-type": "application/grpc", ...status }, { endStream: true });
}

function grpcStatusOf({ code, status }: TrustWardenError): number {
  if (code === "not_found") return GRPC.unimplemented;
  if (status === 401) return GRPC.unauthenticated;
  if (status === 403) return GRPC.denied;
  if (status === 503) return GRPC.unavailable;
  return status < 500 ? GRPC.invalid : GRPC.internal;
}
