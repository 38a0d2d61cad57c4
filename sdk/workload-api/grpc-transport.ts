/**
 * gRPC over one HTTP/2 connection to a local endpoint, by Node's own client: no compression, no retries, no TLS.
 *
 * Knows nothing of SPIFFE except the security header. A call ends in a message, in a status, or in time.
 *
 * @see https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md; SPIFFE_Workload_Endpoint.md §3, §6
 */
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect,
  constants,
  type IncomingHttpHeaders,
} from "node:http2";
import { connect as connectSocket } from "node:net";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { EndpointAddress } from "./endpoint-address.ts";
import { refused } from "./messages.ts";

/** As other gRPC clients have it; hundreds of bundles fit. */
const MAX_MESSAGE_BYTES = 4 * 1024 * 1024;
const PREFIX_BYTES = 5;
const MAX_DETAIL_CHARS = 200;

const STATUS = { ok: 0, invalidArgument: 3, permissionDenied: 7, unauthenticated: 16 };

/** One call; its owner ends it. */
export interface OpenCall {
  /** Resolves at the end of the call. @throws TrustWardenError as its status says. */
  readonly ended: Promise<void>;
  cancel(): void;
}

/** Calls by the full path of a method. */
export interface Transport {
  /** @param onMessage - may throw: then the call ends with that error. */
  open(path: string, request: Uint8Array, onMessage: (message: Uint8Array) => void): OpenCall;
  close(): void;
}

/** The connection is opened by the first call, and opened again by the first call after it broke. */
export function createTransport(address: EndpointAddress): Transport {
  let session: ClientHttp2Session | undefined;
  const current = (): ClientHttp2Session => {
    if (session === undefined || session.closed || session.destroyed) {
      session = connect("http://localhost", {
        createConnection: () =>
          address.kind === "unix" ? connectSocket(address.path) : connectSocket(address.port, address.host),
      });
      // What breaks the connection ends each call on it, which is where it is reported.
      session.on("error", () => undefined);
      // A watch alone does not keep a process alive; a call that somebody awaits has its timer.
      session.unref();
    }
    return session;
  };
  return {
    open: (path, request, onMessage) => {
      const stream = current().request({
        ":method": "POST",
        ":path": path,
        "content-type": "application/grpc",
        te: "trailers",
        "workload.spiffe.io": "true",
      });
      const call = follow(stream, onMessage);
      const prefix = Buffer.alloc(PREFIX_BYTES);
      prefix.writeUInt32BE(request.length, 1);
      stream.end(Buffer.concat([prefix, request]));
      return call;
    },
    close: () => session?.destroy(),
  };
}

function follow(stream: ClientHttp2Stream, onMessage: (message: Uint8Array) => void): OpenCall {
  const { promise: ended, resolve, reject } = Promise.withResolvers<void>();
  let headers: IncomingHttpHeaders = {};
  let trailers: IncomingHttpHeaders = {};
  let buffered: Buffer = Buffer.alloc(0);
  let cause: unknown;
  const fail = (error: unknown) => {
    reject(error);
    stream.close(constants.NGHTTP2_CANCEL);
  };
  stream.on("response", (received) => {
    headers = received;
  });
  stream.on("trailers", (received) => {
    trailers = received;
  });
  stream.on("data", (chunk: Buffer) => {
    try {
      buffered = deliver(Buffer.concat([buffered, chunk]), onMessage);
    } catch (error) {
      fail(error);
    }
  });
  stream.on("error", (error) => {
    cause = error;
  });
  stream.on("close", () => {
    const error = errorOf({ ...headers, ...trailers }, cause);
    if (error === null) resolve();
    else reject(error);
  });
  return { ended, cancel: () => stream.close(constants.NGHTTP2_CANCEL) };
}

/** Hands on the whole messages and returns the rest. */
function deliver(received: Buffer, onMessage: (message: Uint8Array) => void): Buffer {
  let rest = received;
  while (rest.length >= PREFIX_BYTES) {
    const length = rest.readUInt32BE(1);
    if (rest[0] !== 0) throw refused("compressed, which nobody asked for");
    if (length > MAX_MESSAGE_BYTES) throw refused("too large");
    if (rest.length < PREFIX_BYTES + length) break;
    onMessage(rest.subarray(PREFIX_BYTES, PREFIX_BYTES + length));
    rest = rest.subarray(PREFIX_BYTES + length);
  }
  return rest;
}

/** Null for OK. The status decides the code; the endpoint's text is a detail. */
function errorOf(headers: IncomingHttpHeaders, cause: unknown): TrustWardenError | null {
  const { "grpc-status": status, "grpc-message": message = "" } = headers;
  if (status === undefined)
    return new TrustWardenError("server_unreachable", { reason: "no status" }, { cause });
  const details = { status: String(status), said: decodeMessage(String(message)).slice(0, MAX_DETAIL_CHARS) };
  switch (Number(status)) {
    case STATUS.ok:
      return null;
    case STATUS.permissionDenied:
      return new TrustWardenError("no_identity", details);
    case STATUS.invalidArgument:
      return new TrustWardenError("request_malformed", details);
    case STATUS.unauthenticated:
      return new TrustWardenError("workload_gone", details);
    default:
      return new TrustWardenError("server_unreachable", details);
  }
}

/** `grpc-message` is percent-encoded; what is not is shown as it came. */
function decodeMessage(message: string): string {
  try {
    return decodeURIComponent(message);
  } catch {
    // Safe: the text is only shown.
    return message;
  }
}
