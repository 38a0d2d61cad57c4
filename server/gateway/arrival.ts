/**
 * From a request on the gateway's listener to an arrival: what is checked before anybody is proven.
 *
 * Bodies are read only of callers whose certificate or token is proven; that a stranger is none is found again on the path.
 */
import type { IncomingMessage } from "node:http";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { GrowingBytes } from "@trustwarden/core/growing-bytes.ts";
import { parseRequestTarget, type RequestTarget } from "@trustwarden/core/request-target.ts";
import { formatPeer, requireKnownHost } from "../http/arrival.ts";
import { verifyPeerSvid } from "../http/peer.ts";
import type { Services } from "../http/services.ts";
import { placeOf } from "../intake/request-places.ts";
import type { UpstreamState } from "../store/gateway-ports.ts";
import type { CallArrival, CallProgress } from "./ports.ts";
import { requireShown } from "./presented.ts";

/** Pictures and long prompts. */
const MAX_BODY_BYTES = 8 * 1024 * 1024;
/** From the end of the head to the end of the body. */
export const BODY_TIMEOUT_MS = 30_000;
/** A browser is no client of the gateway; see ATTACKS.md D17. */
const UNWELCOME = ["origin", "content-encoding", "expect"] as const;

/** Refuses a request for a name that is not ours, or with a head that no client of ours sends. @throws TrustWardenError `request_malformed`. */
export function requireCleanHead(
  { headers }: IncomingMessage,
  { hosts, allowsUpgrade }: { readonly hosts: ReadonlySet<string>; readonly allowsUpgrade: boolean },
): void {
  requireKnownHost(headers.host, hosts);
  for (const name of UNWELCOME) if (headers[name] !== undefined) throw malformed(name);
  if (headers.upgrade !== undefined && !allowsUpgrade) throw malformed("upgrade");
}

/** The arrival of a call to `/<upstream>/<rest>`. */
export async function readArrival(
  services: Services,
  parts: {
    readonly request: IncomingMessage;
    readonly target: RequestTarget;
    readonly upstream: UpstreamState;
  },
): Promise<CallArrival> {
  const { request, target, upstream } = parts;
  const startedMonoMs = services.clock.monoMs();
  const method = request.method ?? "";
  const shown = { method, target: target.text, headers: request.headers, upstream };
  const body = isProven(services, request, shown) ? await readBody(request) : new Uint8Array();
  const below = target.text.slice(upstream.name.length + 1);
  return {
    socket: request.socket,
    place: placeOf(request),
    peer: formatPeer(request.socket),
    method,
    target: target.text,
    headers: request.headers,
    body,
    upstream,
    request: {
      method,
      target: parseRequestTarget(below.startsWith("/") ? below : `/${below}`),
      headers: protocolHeaders(request),
      body,
    },
    progress: newProgress(startedMonoMs),
  };
}

/** What is known of a call when it begins. */
export function newProgress(startedMonoMs: number): CallProgress {
  return {
    startedMonoMs,
    bytes: 0,
    result: null,
    usage: null,
    isBegun: false,
    reservation: undefined,
    refusal: undefined,
  };
}

/** Strangers do not get to fill our memory; that they are none is proven by the path, a moment later. */
function isProven(
  services: Services,
  request: IncomingMessage,
  shown: Parameters<typeof requireShown>[1],
): boolean {
  try {
    if (request.headers.authorization !== undefined) requireShown(services, shown);
    else verifyPeerSvid(services, request.socket, services.clock.trustedSeconds());
    return true;
  } catch {
    // Safe to go on: the same check refuses the call on the path, and records it.
    return false;
  }
}

/** Headers that came exactly once; a repeated one has no single reading. */
export function protocolHeaders(request: IncomingMessage): Readonly<Record<string, string | undefined>> {
  const single: Record<string, string> = Object.create(null);
  for (const [name, values] of Object.entries(request.headersDistinct)) {
    const [value] = values ?? [];
    if (value !== undefined && values?.length === 1) single[name] = value;
  }
  return single;
}

async function readBody(request: IncomingMessage): Promise<Uint8Array> {
  const body = new GrowingBytes();
  const timer = setTimeout(() => request.destroy(malformed("the body is too slow")), BODY_TIMEOUT_MS);
  try {
    for await (const part of request) {
      if (!Buffer.isBuffer(part)) throw new Error("a request without encoding yields buffers");
      if (body.length + part.length > MAX_BODY_BYTES)
        throw new TrustWardenError("request_too_large", { maxBytes: MAX_BODY_BYTES });
      body.add(part);
    }
  } catch (cause) {
    if (cause instanceof TrustWardenError) throw cause;
    throw new TrustWardenError("call_aborted", { reason: "the body broke off" }, { cause });
  } finally {
    clearTimeout(timer);
  }
  return body.view();
}

function malformed(reason: string): TrustWardenError {
  return new TrustWardenError("request_malformed", { reason });
}
