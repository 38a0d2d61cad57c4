/**
 * Fetches the bundle of another trust domain from its endpoint, and from nobody else.
 *
 * Only the configured address is asked, nothing is learnt from answers: a redirect counts when it is temporary and
 * stays with the same endpoint, and the configured address is asked again next time. `https_spiffe` proves the
 * endpoint against the bundle at hand before a byte is sent; `https_web` against the web's authorities, or those that
 * the operator named. The body is never shown in an error.
 *
 * @see SPIFFE Federation §5
 */
import type { IncomingMessage } from "node:http";
import { Agent, type AgentOptions, request } from "node:https";
import { isIP } from "node:net";
import { connect, rootCertificates, type TLSSocket } from "node:tls";
import type { FederationEndpoint } from "@trustwarden/core/agentid/federation.ts";
import { type TrustDomain, trustDomainOf } from "@trustwarden/core/agentid/spiffe-id.ts";
import type { TrustBundle } from "@trustwarden/core/agentid/trust-bundle.ts";
import { verifyX509Svid } from "@trustwarden/core/agentid/x509-svid.ts";
import { concatBytes, parseUtf8 } from "@trustwarden/core/bytes.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { peerChainOf } from "../http/peer-chain.ts";

/** Connection, handshake, head and body together, redirects included. */
const TIMEOUT_MS = 10_000;
/** Larger than any bundle that the parser takes. */
const MAX_BYTES = 1_048_576;
const MAX_REDIRECTS = 2;
/** RFC 9110 §15.4: the ones that do not ask the client to remember. */
const TEMPORARY: readonly number[] = [302, 303, 307];

/** What a fetch needs to know. */
export interface BundleFetch {
  readonly endpoint: FederationEndpoint;
  /** The bundle at hand of the endpoint's trust domain; proves an `https_spiffe` endpoint. */
  readonly bundle: TrustBundle | undefined;
  /** Unix seconds. */
  readonly now: number;
}

/**
 * The bundle document that an endpoint publishes now, not yet parsed.
 *
 * @throws TrustWardenError `federation_unreachable`, `federation_untrusted`.
 */
export async function fetchBundle(fetch: BundleFetch): Promise<string> {
  const agent = createAgent(fetch);
  const signal = AbortSignal.timeout(TIMEOUT_MS);
  try {
    return await follow(new URL(fetch.endpoint.url), { agent, fetch, signal });
  } finally {
    agent.destroy();
  }
}

interface Walk {
  readonly agent: Agent;
  readonly fetch: BundleFetch;
  readonly signal: AbortSignal;
}

async function follow(first: URL, walk: Walk): Promise<string> {
  let url = first;
  for (let redirects = 0; redirects <= MAX_REDIRECTS; redirects += 1) {
    const answer = await get(url, walk);
    if (answer.statusCode === 200) return readText(answer);
    const { location } = answer.headers;
    answer.destroy();
    if (location === undefined) throw unreachable(`status ${answer.statusCode}`);
    if (!TEMPORARY.includes(answer.statusCode ?? 0)) throw untrusted("a redirect that is not temporary");
    url = requireSameEndpoint(URL.parse(location, url), { first, fetch: walk.fetch });
  }
  throw untrusted("too many redirects");
}

/**
 * An endpoint with a SPIFFE ID proves itself again wherever it sends us; any other is the same only at its own origin.
 */
function requireSameEndpoint(
  target: URL | null,
  { first, fetch }: { readonly first: URL; readonly fetch: BundleFetch },
): URL {
  if (target?.protocol !== "https:" || target.username !== "" || target.password !== "") {
    throw untrusted("a redirect to something else than https");
  }
  if (fetch.endpoint.profile === "https_web" && target.origin !== first.origin) {
    throw untrusted("a redirect to another origin");
  }
  return target;
}

function get(url: URL, { agent, signal }: Walk): Promise<IncomingMessage> {
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
  const headers = { accept: "application/json" };
  const outgoing = request(url, { agent, method: "GET", headers, signal });
  outgoing.once("response", resolve);
  outgoing.once("error", (cause: Error) => reject(asRefusal(cause)));
  outgoing.end();
  return promise;
}

async function readText(answer: IncomingMessage): Promise<string> {
  const parts: Uint8Array[] = [];
  let bytes = 0;
  try {
    for await (const part of answer) {
      bytes += part.length;
      if (bytes > MAX_BYTES) throw unreachable("the body is too large");
      parts.push(part);
    }
    return parseUtf8(concatBytes(...parts));
  } catch (cause) {
    throw cause instanceof TrustWardenError && cause.code === "federation_unreachable"
      ? cause
      : unreachable("the body broke off", cause);
  }
}

function createAgent(fetch: BundleFetch): Agent {
  const options: AgentOptions = { keepAlive: false, maxCachedSessions: 0, minVersion: "TLSv1.2" };
  if (fetch.endpoint.profile === "https_web") {
    // Whatever the process's environment says about extra authorities or none at all does not count here.
    return new Agent({
      ...options,
      ca: fetch.endpoint.webCa ?? [...rootCertificates],
      rejectUnauthorized: true,
    });
  }
  const agent = new Agent(options);
  agent.createConnection = ({ host, port }, callback) => {
    const name = host ?? "localhost";
    const socket = connect({
      host: name,
      port: Number(port ?? 443),
      ...(isIP(name) === 0 ? { servername: name } : {}),
      minVersion: "TLSv1.2",
      // Our own check decides, against the bundle of the endpoint's own trust domain.
      rejectUnauthorized: false,
      ALPNProtocols: ["http/1.1"],
    });
    settleHandshake(socket, fetch, (error) => callback?.(error, socket));
    return undefined;
  };
  return agent;
}

/** Calls back once: without an error when the endpoint is proven, else with the reason and the socket gone. */
function settleHandshake(socket: TLSSocket, fetch: BundleFetch, done: (error: Error | null) => void): void {
  let isSettled = false;
  const settle = (error: Error | null): void => {
    if (isSettled) return;
    isSettled = true;
    done(error);
  };
  socket.setTimeout(TIMEOUT_MS, () => socket.destroy(unreachable("handshake timeout")));
  socket.on("error", settle);
  socket.once("close", () => settle(unreachable("closed in the handshake")));
  socket.once("secureConnect", () => {
    const refusal = findRefusal(socket, fetch);
    if (refusal === undefined) settle(null);
    else socket.destroy(refusal);
  });
}

function findRefusal(
  socket: TLSSocket,
  { endpoint, bundle, now }: BundleFetch,
): TrustWardenError | undefined {
  if (endpoint.profile !== "https_spiffe") return undefined;
  try {
    const { id } = verifyX509Svid(peerChainOf(socket), onlyOf(trustDomainOf(endpoint.spiffeId), bundle), now);
    return id === endpoint.spiffeId ? undefined : untrusted("another SPIFFE ID");
  } catch (cause) {
    return untrusted(cause instanceof TrustWardenError ? cause.code : "handshake", cause);
  }
}

function onlyOf(
  trustDomain: TrustDomain,
  bundle: TrustBundle | undefined,
): ReadonlyMap<TrustDomain, TrustBundle> {
  return new Map(bundle === undefined ? [] : [[trustDomain, bundle]]);
}

/** Node's names for a certificate that did not convince it. */
const CERTIFICATE_ERROR = /^(CERT_|UNABLE_TO_|SELF_SIGNED_|DEPTH_ZERO_|ERR_TLS_CERT_|HOSTNAME_MISMATCH)/;

function asRefusal(cause: Error): TrustWardenError {
  if (cause instanceof TrustWardenError) return cause;
  const code = "code" in cause ? String(cause.code) : cause.name;
  return CERTIFICATE_ERROR.test(code) ? untrusted(code, cause) : unreachable(code, cause);
}

function unreachable(reason: string, cause?: unknown): TrustWardenError {
  return new TrustWardenError("federation_unreachable", { reason }, { cause });
}

function untrusted(reason: string, cause?: unknown): TrustWardenError {
  return new TrustWardenError("federation_untrusted", { reason }, { cause });
}
