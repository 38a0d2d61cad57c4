/**
 * One HTTPS request over an agent that checks its peer, with limits on time and size.
 *
 * No redirects, no retries, no decompression: an intent is bound to exactly one request, and a bomb needs a decoder.
 */
import type { IncomingMessage, RequestOptions } from "node:http";
import { type Agent, request } from "node:https";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { GrowingBytes } from "@trustwarden/core/growing-bytes.ts";

/** The highest that the web knows; a `Response` takes no other. */
const MAX_STATUS = 599;

/** What to send, and through which proven connection. */
export interface HttpsCall {
  readonly agent: Agent;
  /** Scheme, host and port count; path and query come from `target`. */
  readonly origin: URL;
  readonly method: string;
  /** Path and query exactly as sent. */
  readonly target: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: Uint8Array | undefined;
  /** Until the answer's headers are here. */
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Sends a request and resolves with the answer's headers; the body is still to be read.
 *
 * @throws TrustWardenError `server_unreachable` when there is no answer in time, or what the agent says of the peer
 *   (`server_untrusted`, `peer_untrusted`); and the signal's own reason.
 */
export function openHttps(call: HttpsCall): Promise<IncomingMessage> {
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
  const outgoing = request(requestOptions(call));
  const timer = setTimeout(() => outgoing.destroy(unreachable(call, "timeout")), call.timeoutMs);
  const abort = () => outgoing.destroy(abortReason(call.signal));
  if (call.signal?.aborted) abort();
  call.signal?.addEventListener("abort", abort, { once: true });
  let hasAnswer = false;
  outgoing.once("close", () => {
    clearTimeout(timer);
    call.signal?.removeEventListener("abort", abort);
    // An upgrade that nobody asked for ends without an answer and without an error.
    if (!hasAnswer) reject(unreachable(call, "no answer"));
  });
  outgoing.once("response", (message: IncomingMessage) => {
    hasAnswer = true;
    clearTimeout(timer);
    if ((message.statusCode ?? 0) <= MAX_STATUS) return resolve(message);
    message.destroy();
    reject(unreachable(call, "status"));
  });
  outgoing.on("error", (cause: Error) => reject(asRefusal(call, cause)));
  outgoing.end(call.body);
  return promise;
}

/**
 * The whole body of an answer or of a request.
 *
 * @throws TrustWardenError `request_too_large` as soon as the limit is passed, `server_unreachable` when it breaks off
 *   or takes too long.
 */
export async function readBody(
  message: IncomingMessage,
  { maxBytes, timeoutMs }: { readonly maxBytes: number; readonly timeoutMs: number },
): Promise<Uint8Array> {
  const body = new GrowingBytes();
  const timer = setTimeout(
    () => message.destroy(new TrustWardenError("server_unreachable", { reason: "body timeout" })),
    timeoutMs,
  );
  try {
    for await (const part of message) {
      if (body.length + part.length > maxBytes) throw new TrustWardenError("request_too_large", { maxBytes });
      body.add(part);
    }
  } catch (cause) {
    if (cause instanceof TrustWardenError) throw cause;
    throw new TrustWardenError("server_unreachable", { reason: "body broke off" }, { cause });
  } finally {
    clearTimeout(timer);
  }
  return body.view();
}

function requestOptions({ agent, origin, method, target, headers, body }: HttpsCall): RequestOptions {
  const length = body === undefined ? {} : { "content-length": String(body.length) };
  return {
    agent,
    protocol: "https:",
    hostname: origin.hostname.replace(/^\[|\]$/g, ""),
    port: origin.port === "" ? 443 : Number(origin.port),
    method,
    path: target,
    headers: { ...headers, ...length },
  };
}

function asRefusal(call: HttpsCall, cause: Error): Error {
  if (cause instanceof TrustWardenError || call.signal?.aborted) return cause;
  return unreachable(call, "code" in cause ? String(cause.code) : "error", cause);
}

function unreachable({ origin }: HttpsCall, reason: string, cause?: Error): TrustWardenError {
  return new TrustWardenError("server_unreachable", { host: origin.host, reason }, { cause });
}

function abortReason(signal: AbortSignal | undefined): Error {
  return signal?.reason instanceof Error ? signal.reason : new DOMException("aborted", "AbortError");
}
