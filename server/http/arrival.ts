/**
 * An arrival: one request as it came, before anybody has proven anything, and the checks that need no identity.
 *
 * What a proxy may have added (`Forwarded`, `X-Forwarded-*`, client-certificate headers) is never read: the peer is
 * the socket. Outside the console a browser is no client of this API, so a request with an `Origin` is refused, and so is
 * one for a host name that is not ours, which is how a rebound DNS name shows itself (D17).
 */
import type { IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { Place } from "../intake/request-places.ts";
import type { ListenerName, Route } from "./route.ts";
import type { SharedNonce } from "./used-once.ts";

/** Largest body of any route: an envelope, a few certificates, and room to spare. */
export const MAX_BODY_BYTES = 131_072;
/** Largest head: an intent of a few kilobytes in a header, twice over. */
export const MAX_HEADER_BYTES = 16_384;
/** Path and query; every route of ours is shorter. */
const MAX_TARGET_CHARS = 2048;
/** No percent, no semicolon, no backslash: a target has one reading, for us and for whoever stands before us (E2). */
const PLAIN_PATH = /^(?:\/[A-Za-z0-9._~:-]+)+$/;

/** What they carry is in their target. */
const BODILESS: readonly string[] = ["GET", "DELETE"];

/** One request, unproven. */
export interface Arrival {
  readonly route: Route;
  readonly listener: ListenerName;
  readonly socket: Socket;
  /** Held until the request is answered. */
  readonly place: Place;
  /** Address of the socket's peer; `unix` on the admin socket. */
  readonly peer: string;
  readonly method: string;
  /** Path and query as sent. */
  readonly target: string;
  readonly headers: IncomingMessage["headers"];
  /** Exact bytes of the body; empty without one. */
  readonly rawBody: Uint8Array;
  /** Parsed by the route's schemas. */
  readonly body: unknown;
  readonly query: unknown;
  readonly params: unknown;
  /** Of a part of a request that brought several: all their proofs are under this one. */
  readonly nonce?: SharedNonce;
}

/** The path of a target, without its query. */
export function pathOfTarget(target: string): string {
  const end = target.indexOf("?");
  return end === -1 ? target : target.slice(0, end);
}

/** Address of the peer of a socket; local sockets have none. */
export function formatPeer(socket: Socket): string {
  return socket.remoteAddress ?? "unix";
}

/** What a head must satisfy before its body is read. */
export interface HeadRules {
  /** Host names, lower case and without port, that clients may call us by. */
  readonly hosts: ReadonlySet<string> | "any";
  readonly allowsUpgrade: boolean;
  /** Whether a body may be compressed with gzip. */
  readonly acceptsGzip?: boolean;
  /** Whether a row has this method, which need then be neither GET nor POST. */
  readonly allowsMethod?: boolean;
  /** The console's own origin, where browsers are clients; read for each request. */
  readonly browser?: { readonly origin: string };
}

/** A header that no page of another origin can add to a request without being asked about it first. */
const CONSOLE_HEADER = "trustwarden-console";

/**
 * Refuses heads that no client of ours sends.
 *
 * @throws TrustWardenError `method_not_allowed`, `request_malformed`, `request_cross_site` or `request_too_large`.
 */
export function requireCleanHead(request: IncomingMessage, rules: HeadRules): void {
  requireMethod(request, rules);
  requirePlainTarget(request.url ?? "", rules);
  if (rules.hosts !== "any") requireKnownHost(request.headers.host, rules.hosts);
  if (request.headers.expect !== undefined) refuse("expect");
  if (rules.browser !== undefined) requireOwnPage(request, rules.browser.origin);
  else if (request.headers.origin !== undefined) refuse("origin");
  const encoding = request.headers["content-encoding"];
  if (encoding !== undefined && !(rules.acceptsGzip === true && encoding === "gzip")) {
    refuse("content-encoding");
  }
  if (request.headers.upgrade !== undefined && !rules.allowsUpgrade) refuse("upgrade");
  if (request.method !== undefined && BODILESS.includes(request.method) && hasBody(request)) refuse("body");
}

/** @throws TrustWardenError `method_not_allowed`. */
function requireMethod({ method }: IncomingMessage, { allowsMethod }: HeadRules): void {
  if (method !== "GET" && method !== "POST" && allowsMethod !== true)
    throw new TrustWardenError("method_not_allowed");
}

/** What changes something comes from the console's own page, by three signs that a page of another origin cannot make (K3). */
function requireOwnPage({ method, headers }: IncomingMessage, origin: string): void {
  const isForeign = headers.origin !== undefined && headers.origin !== origin;
  const isOwn =
    headers.origin === origin &&
    headers["sec-fetch-site"] === "same-origin" &&
    headers[CONSOLE_HEADER] === "1";
  if (isForeign || (method !== "GET" && !isOwn)) throw new TrustWardenError("request_cross_site");
}

function requirePlainTarget(target: string, { browser }: HeadRules): void {
  // People type the console's origin alone.
  if (browser !== undefined && target === "/") return;
  if (target.length > MAX_TARGET_CHARS) throw new TrustWardenError("request_too_large");
  const path = pathOfTarget(target);
  const segments = path.split("/");
  if (!PLAIN_PATH.test(path) || segments.includes(".") || segments.includes("..")) refuse("target");
}

/** Refuses a name that is not ours, which is how a rebound DNS name shows itself (D17). @throws TrustWardenError `request_malformed`. */
export function requireKnownHost(host: string | undefined, hosts: ReadonlySet<string>): void {
  const name = /^(\[[0-9a-f:.]+\]|[^:]+)(?::\d{1,5})?$/i.exec(host ?? "")?.[1]?.toLowerCase();
  if (name === undefined || !hosts.has(name)) refuse("host");
}

function hasBody({ headers }: IncomingMessage): boolean {
  return headers["transfer-encoding"] !== undefined || (headers["content-length"] ?? "0") !== "0";
}

function refuse(reason: string): never {
  throw new TrustWardenError("request_malformed", { reason });
}
