/**
 * The only way out for attestors: to origins that the configuration names, and nowhere else.
 *
 * HTTPS with the peer's certificate checked; the name is looked up once, every address that it has must be public
 * (or private, where the configuration says so of this very origin), and the connection goes to the address that was
 * checked, so a name that changes its mind between check and use changes nothing. No redirects, no proxies, no
 * compression, bounded bytes and time. What a server answers never appears in an error.
 *
 * @see ATTACKS.md B12
 */
import { lookup as systemLookup } from "node:dns/promises";
import { Agent as HttpAgent, type IncomingMessage, request as requestHttp } from "node:http";
import { Agent as HttpsAgent, type RequestOptions, request as requestHttps } from "node:https";
import { isIP, isIPv6 } from "node:net";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { isLoopbackHost, isPrivateAddress, isPublicAddress } from "./addresses.ts";
import { unavailable } from "./refusal.ts";

/** From look-up to last byte. */
const TIMEOUT_MS = 5000;
const MAX_ADDRESSES = 32;
const MAX_HEADER_BYTES = 16_384;

/** An origin that may be called. */
export interface AllowedOrigin {
  /** Any URL of the origin. */
  readonly url: string;
  /** Whether its name may lead into the private network or to this machine. */
  readonly allowPrivate: boolean;
  /** PEM certificates to trust instead of the system's. */
  readonly ca?: string | undefined;
}

/** One call. */
export interface SafeRequest {
  readonly url: string;
  readonly method?: "GET" | "POST";
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  readonly maxBytes: number;
}

/** The whole answer; the status is for the caller to judge. */
export interface SafeResponse {
  readonly status: number;
  readonly body: Uint8Array;
  readonly headers: IncomingMessage["headers"];
}

/**
 * Calls a configured origin.
 *
 * @throws TrustWardenError `attestation_unavailable` for every failure, with a reason of ours.
 */
export type SafeFetch = (request: SafeRequest) => Promise<SafeResponse>;

/** Finds all addresses of a name. */
export type Lookup = (host: string) => Promise<readonly string[]>;

interface Target {
  readonly url: URL;
  readonly address: string;
  readonly ca: string | undefined;
}

/** @param lookup - another resolver than the system's, for tests. */
export function createSafeFetch(origins: readonly AllowedOrigin[], lookup: Lookup = lookUp): SafeFetch {
  const allowed = new Map(origins.map((origin) => [new URL(origin.url).origin, origin]));
  return async (request) => {
    const url = URL.parse(request.url);
    const origin = url === null ? undefined : allowed.get(url.origin);
    if (url === null || origin === undefined) throw unavailable("an origin that is not configured");
    requireScheme(url, origin);
    const signal = AbortSignal.timeout(TIMEOUT_MS);
    try {
      const address = await chooseAddress(url, { origin, lookup, signal });
      return await send({ url, address, ca: origin.ca }, request, signal);
    } catch (cause) {
      throw cause instanceof TrustWardenError ? cause : unavailable("no answer", cause);
    }
  };
}

function requireScheme(url: URL, { allowPrivate }: AllowedOrigin): void {
  if (url.username !== "" || url.password !== "") throw unavailable("credentials in the address");
  if (url.protocol === "https:") return;
  // Tests serve on loopback without a certificate; a name would let a resolver move that elsewhere.
  if (url.protocol !== "http:" || !allowPrivate || !isLoopbackHost(url.hostname))
    throw unavailable("not https");
}

/** The first address of the name, after all of them were found acceptable: one bad one means somebody plays tricks. */
async function chooseAddress(
  { hostname }: URL,
  {
    origin,
    lookup,
    signal,
  }: { readonly origin: AllowedOrigin; readonly lookup: Lookup; readonly signal: AbortSignal },
): Promise<string> {
  const host = hostname.startsWith("[") ? hostname.slice(1, -1) : hostname;
  const addresses = isIP(host) === 0 ? await beforeAbort(lookup(host), signal) : [host];
  const isAllowed = (address: string) =>
    isPublicAddress(address) || (origin.allowPrivate && isPrivateAddress(address));
  const [first] = addresses;
  if (first === undefined || addresses.length > MAX_ADDRESSES) throw unavailable("the name has no addresses");
  if (!addresses.every(isAllowed)) throw unavailable("the name leads to a forbidden address");
  return first;
}

async function lookUp(host: string): Promise<readonly string[]> {
  return (await systemLookup(host, { all: true })).map(({ address }) => address);
}

/** The system's look-up cannot be stopped; it is left to end alone. */
async function beforeAbort<Value>(work: Promise<Value>, signal: AbortSignal): Promise<Value> {
  const aborted = Promise.withResolvers<never>();
  const onAbort = () => aborted.reject(unavailable("the name was not found in time"));
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    return await Promise.race([work, aborted.promise]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

function send(target: Target, request: SafeRequest, signal: AbortSignal): Promise<SafeResponse> {
  const { promise, resolve, reject } = Promise.withResolvers<SafeResponse>();
  const isHttps = target.url.protocol === "https:";
  const agent = isHttps ? new HttpsAgent({ keepAlive: false }) : new HttpAgent({ keepAlive: false });
  const options = { ...optionsOf(target, request), agent, signal };
  const call = (isHttps ? requestHttps : requestHttp)(options, (response) => {
    readBody(response, request.maxBytes).then(
      (body) => resolve({ status: response.statusCode ?? 0, body, headers: response.headers }),
      reject,
    );
  });
  call.on("error", reject);
  call.end(request.body);
  return promise.finally(() => agent.destroy());
}

function optionsOf(
  { url, address, ca }: Target,
  { method = "GET", headers, body }: SafeRequest,
): RequestOptions {
  const isName = isIP(url.hostname.replace(/^\[|\]$/g, "")) === 0;
  return {
    host: address,
    family: isIPv6(address) ? 6 : 4,
    port: url.port === "" ? undefined : Number(url.port),
    path: `${url.pathname}${url.search}`,
    method,
    // The certificate is checked against the name that was configured, not against the address.
    ...(isName ? { servername: url.hostname } : {}),
    ...(ca === undefined ? {} : { ca }),
    rejectUnauthorized: true,
    minVersion: "TLSv1.2",
    maxHeaderSize: MAX_HEADER_BYTES,
    headers: {
      ...headers,
      host: url.host,
      "accept-encoding": "identity",
      connection: "close",
      ...(body === undefined ? {} : { "content-length": String(Buffer.byteLength(body)) }),
    },
  };
}

async function readBody(response: IncomingMessage, maxBytes: number): Promise<Uint8Array> {
  const encoding = response.headers["content-encoding"];
  if (encoding !== undefined && encoding !== "identity")
    throw destroyed(response, "the answer is compressed");
  const parts: Buffer[] = [];
  let length = 0;
  for await (const part of response) {
    if (!Buffer.isBuffer(part)) throw new Error("a response without encoding yields buffers");
    length += part.length;
    if (length > maxBytes) throw destroyed(response, "the answer is too large");
    parts.push(part);
  }
  return new Uint8Array(Buffer.concat(parts));
}

function destroyed(response: IncomingMessage, reason: string): TrustWardenError {
  response.destroy();
  return unavailable(reason);
}
