/**
 * A raw gRPC client: HTTP/2 frames as Node sends them, and every byte inside them as the caller says.
 *
 * It follows no rule by itself, so that the suite can break each one: metadata may be missing or doubled, messages may
 * be cut, compressed or huge, streams may be dropped.
 *
 * @see https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md
 */
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect,
  constants,
  type IncomingHttpHeaders,
  type OutgoingHttpHeaders,
} from "node:http2";
import { connect as connectSocket, type Socket } from "node:net";

/** gRPC status codes that this suite names. */
export const STATUS = {
  ok: 0,
  cancelled: 1,
  unknown: 2,
  invalidArgument: 3,
  notFound: 5,
  permissionDenied: 7,
  resourceExhausted: 8,
  unimplemented: 12,
  internal: 13,
  unavailable: 14,
  unauthenticated: 16,
} as const;

/** More than any honest answer; a larger one is cut off and the call fails. */
const MAX_ANSWER_BYTES = 16 * 1024 * 1024;
const PREFIX_BYTES = 5;

/** Where a Workload API listens. */
export type Target =
  | { readonly kind: "unix"; readonly path: string }
  | { readonly kind: "tcp"; readonly host: string; readonly port: number };

/** How a call ended. */
export interface Ending {
  /** gRPC status; undefined when the stream or the connection ended without one. */
  readonly status: number | undefined;
  /** `grpc-message`, percent-decoded; or why there is no status. */
  readonly message: string;
  readonly httpStatus: number | undefined;
  readonly contentType: string | undefined;
}

/** A call that was made: its messages so far, and its end. */
export interface Call {
  readonly messages: readonly Uint8Array[];
  readonly ending: Promise<Ending>;
  /** The next message after the `seen` first ones; null when the call ended first or nothing came in time. */
  next(seen: number, timeoutMs: number): Promise<Uint8Array | null>;
  /** Resets the stream. */
  cancel(): void;
}

/** What a caller may get wrong on purpose. */
export interface CallOptions {
  /** Values of `workload.spiffe.io`; one `true` by default. */
  readonly security?: readonly string[];
  readonly headers?: OutgoingHttpHeaders;
  /** Sent instead of the framed request. */
  readonly rawBody?: Uint8Array;
  /** Leaves the request side of the stream open. */
  readonly keepOpen?: boolean;
}

/** One HTTP/2 connection. */
export interface Connection {
  call(path: string, request: Uint8Array, options?: CallOptions): Call;
  /** Whether the transport is gone. */
  readonly isClosed: boolean;
  close(): void;
}

/** `unix:///path` or `tcp://IP:port`. @throws Error on anything else. @see SPIFFE_Workload_Endpoint §4 */
export function parseTarget(address: string): Target {
  const path = /^unix:\/\/(\/.+)$/.exec(address)?.[1];
  if (path !== undefined) return { kind: "unix", path };
  const [, host, port] = /^tcp:\/\/(\[[0-9a-f:]+\]|[0-9.]+):(\d+)$/.exec(address) ?? [];
  if (host === undefined || port === undefined)
    throw new Error(`not an endpoint: ${address} (unix:///path or tcp://IP:port)`);
  return { kind: "tcp", host: host.replaceAll(/[[\]]/g, ""), port: Number(port) };
}

/** A bare socket to the target. */
export function openSocket(target: Target): Socket {
  return target.kind === "unix" ? connectSocket(target.path) : connectSocket(target.port, target.host);
}

/** Opens a connection. It never fails here; calls on a dead one do. */
export function openConnection(target: Target): Connection {
  const session = connect("http://localhost", { createConnection: () => openSocket(target) });
  // What breaks the connection is reported by each call on it.
  session.on("error", () => undefined);
  return {
    call: (path, request, options = {}) => startCall(session, path, { request, ...options }),
    get isClosed() {
      return session.closed || session.destroyed;
    },
    close: () => session.destroy(),
  };
}

/** One message with its five-byte prefix. */
export function frame(message: Uint8Array, { isCompressed }: { readonly isCompressed: boolean }): Uint8Array {
  const prefix = Buffer.alloc(PREFIX_BYTES);
  prefix.writeUInt8(isCompressed ? 1 : 0, 0);
  prefix.writeUInt32BE(message.length, 1);
  return Buffer.concat([prefix, message]);
}

function startCall(
  session: ClientHttp2Session,
  path: string,
  { request, security = ["true"], headers = {}, rawBody, keepOpen }: CallOptions & { request: Uint8Array },
): Call {
  let stream: ClientHttp2Stream;
  try {
    stream = session.request({
      ":method": "POST",
      ":path": path,
      "content-type": "application/grpc",
      te: "trailers",
      ...(security.length === 0 ? {} : { "workload.spiffe.io": [...security] }),
      ...headers,
    });
  } catch (error) {
    return deadCall(error instanceof Error ? error.message : String(error));
  }
  const call = followStream(stream);
  const body = rawBody ?? frame(request, { isCompressed: false });
  if (keepOpen) stream.write(body);
  else stream.end(body);
  return call;
}

function deadCall(message: string): Call {
  const ending = { status: undefined, message, httpStatus: undefined, contentType: undefined };
  return {
    messages: [],
    ending: Promise.resolve(ending),
    next: async () => null,
    cancel: () => undefined,
  };
}

function followStream(stream: ClientHttp2Stream): Call {
  const { promise: ending, resolve } = Promise.withResolvers<Ending>();
  const messages: Uint8Array[] = [];
  const waiting = new Set<() => void>();
  let buffered: Buffer = Buffer.alloc(0);
  let failure = "the stream ended without a status";
  let initial: IncomingHttpHeaders = {};
  let last: IncomingHttpHeaders = {};
  const wake = () => {
    for (const one of waiting) one();
  };
  stream.on("response", (headers) => {
    initial = headers;
  });
  stream.on("trailers", (trailers) => {
    last = trailers;
  });
  stream.on("data", (chunk: Buffer) => {
    buffered = Buffer.concat([buffered, chunk]);
    if (buffered.length > MAX_ANSWER_BYTES) stream.close(constants.NGHTTP2_CANCEL);
    buffered = takeMessages(buffered, messages);
    wake();
  });
  stream.on("error", (error) => {
    failure = error.message;
  });
  stream.on("close", () => {
    resolve(endingOf(initial, last, failure));
    wake();
  });
  const next = async (seen: number, timeoutMs: number): Promise<Uint8Array | null> => {
    const deadline = performance.now() + timeoutMs;
    while (messages.length <= seen && !stream.closed && !stream.destroyed) {
      const left = deadline - performance.now();
      if (left <= 0) return null;
      await wakeOrTime(waiting, left);
    }
    return messages[seen] ?? null;
  };
  return { messages, ending, next, cancel: () => stream.close(constants.NGHTTP2_CANCEL) };
}

function wakeOrTime(waiting: Set<() => void>, timeoutMs: number): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      waiting.delete(done);
      resolve();
    };
    const timer = setTimeout(done, timeoutMs);
    waiting.add(done);
  });
}

/** Moves the whole messages into the list and returns the rest. */
function takeMessages(buffered: Buffer, messages: Uint8Array[]): Buffer {
  let rest = buffered;
  while (rest.length >= PREFIX_BYTES) {
    const end = PREFIX_BYTES + rest.readUInt32BE(1);
    if (rest.length < end) break;
    messages.push(rest.subarray(PREFIX_BYTES, end));
    rest = rest.subarray(end);
  }
  return rest;
}

function endingOf(initial: IncomingHttpHeaders, last: IncomingHttpHeaders, failure: string): Ending {
  const status = last["grpc-status"] ?? initial["grpc-status"];
  const message = last["grpc-message"] ?? initial["grpc-message"];
  return {
    status: status === undefined ? undefined : Number(status),
    message: status === undefined ? failure : decodeMessage(String(message ?? "")),
    httpStatus: initial[":status"] === undefined ? undefined : Number(initial[":status"]),
    contentType: initial["content-type"],
  };
}

function decodeMessage(message: string): string {
  try {
    return decodeURIComponent(message);
  } catch {
    // A message that is not percent-encoded is shown as it came.
    return message;
  }
}
