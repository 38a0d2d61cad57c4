/**
 * The way from the gateway to its upstreams: kept connections, addresses that were looked at, no redirects.
 *
 * A name is looked up at each new connection and every address that it has must be allowed (public, or private where
 * the operator said so of this very upstream); the connection goes to an address that was checked. The answer comes back
 * uncompressed, so that it can be searched for the secret that went out.
 *
 * @see ATTACKS.md B12, F2, F19
 */
import { lookup as systemLookup } from "node:dns";
import { isIP, type LookupFunction } from "node:net";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { answerHeaders } from "@trustwarden/core/gateway/headers.ts";
import { basePathOf } from "@trustwarden/core/gateway/upstream.ts";
import { Agent, type Dispatcher } from "undici";
import { isPrivateAddress, isPublicAddress } from "../attest/addresses.ts";
import type { UpstreamState } from "../store/gateway-ports.ts";
import type { UpstreamAnswer, UpstreamRequest } from "./ports.ts";

const CONNECT_TIMEOUT_MS = 10_000;
/** Until the head of the answer: a model may think for long. */
const HEADERS_TIMEOUT_MS = 600_000;
/** Between two parts of an answer. */
const BODY_TIMEOUT_MS = 300_000;
const KEEP_ALIVE_MS = 30_000;
const MAX_HEADER_BYTES = 32_768;
const CONNECTIONS = 512;

/** Owns the connections to upstreams; one set for each registration, so that a changed one starts anew. */
export class UpstreamConnections {
  readonly #agents = new Map<UpstreamState, Agent>();
  readonly #lookup: LookupFunction;

  /** @param lookup - another resolver than the system's, for tests. */
  constructor(lookup: LookupFunction = systemLookup) {
    this.#lookup = lookup;
  }

  /**
   * Sends one request; what the upstream answers is for the caller to judge.
   *
   * @throws TrustWardenError `upstream_unreachable`, `upstream_refused`, `upstream_answer_refused`.
   */
  async send(
    upstream: UpstreamState,
    { method, path, headers, body }: UpstreamRequest,
    signal: AbortSignal,
  ): Promise<UpstreamAnswer> {
    const dispatcher = this.#agentOf(upstream);
    let answer: Dispatcher.ResponseData;
    try {
      answer = await dispatcher.request({
        origin: new URL(upstream.url).origin,
        path: `${basePathOf(upstream.url)}${path}`,
        // What is not one of its known methods undici sends as it is.
        method: parseMethod(method),
        headers,
        body,
        signal,
      });
    } catch (cause) {
      throw cause instanceof TrustWardenError ? cause : unreachable(cause);
    }
    const encoding = answer.headers["content-encoding"];
    if (encoding !== undefined && encoding !== "identity") {
      answer.body.on("error", () => undefined).destroy();
      throw new TrustWardenError("upstream_answer_refused", { reason: "compressed" });
    }
    return {
      status: answer.statusCode,
      headers: answerHeaders(answer.headers),
      body: readParts(answer.body),
      ...nonceOf(answer),
    };
  }

  /** The resolver of tunnels and upgrades, with the same rules. */
  lookupFor(upstream: UpstreamState): LookupFunction {
    requireLiteralAllowed(upstream);
    return checkedLookup(this.#lookup, upstream);
  }

  /** Forgets the connections of registrations that are no more. */
  drop(isCurrent: (upstream: UpstreamState) => boolean): void {
    for (const [upstream, agent] of this.#agents) {
      if (isCurrent(upstream)) continue;
      this.#agents.delete(upstream);
      void agent.destroy();
    }
  }

  async close(): Promise<void> {
    await Promise.all([...this.#agents.values()].map((agent) => agent.destroy()));
    this.#agents.clear();
  }

  #agentOf(upstream: UpstreamState): Agent {
    const known = this.#agents.get(upstream);
    if (known !== undefined) return known;
    const agent = new Agent({
      connections: CONNECTIONS,
      pipelining: 1,
      keepAliveTimeout: KEEP_ALIVE_MS,
      headersTimeout: HEADERS_TIMEOUT_MS,
      bodyTimeout: BODY_TIMEOUT_MS,
      maxHeaderSize: MAX_HEADER_BYTES,
      connect: {
        timeout: CONNECT_TIMEOUT_MS,
        rejectUnauthorized: true,
        minVersion: "TLSv1.2",
        // A resumed session is not checked again.
        maxCachedSessions: 0,
        ...(upstream.ca === null ? {} : { ca: upstream.ca }),
        lookup: checkedLookup(this.#lookup, upstream),
      },
    });
    requireLiteralAllowed(upstream);
    this.#agents.set(upstream, agent);
    return agent;
  }
}

/** A literal address is never looked up, so it is checked here. */
function requireLiteralAllowed(upstream: UpstreamState): void {
  if (upstream.kind === "egress") return;
  const host = new URL(upstream.url).hostname.replace(/^\[|\]$/g, "");
  if (isIP(host) !== 0 && !isAllowedAddress(upstream, host)) throw refused();
}

/** @see `UpstreamConnections`. Gives only addresses that may be connected to; one forbidden among them means that somebody plays tricks. */
function checkedLookup(
  lookup: LookupFunction,
  upstream: Pick<UpstreamState, "allowPrivate">,
): LookupFunction {
  return (host, options, callback) => {
    lookup(host, { ...options, all: true }, (error, found, family) => {
      const all = typeof found === "string" ? [{ address: found, family: family ?? 0 }] : (found ?? []);
      if (error !== null) return callback(error, "", 0);
      const [first] = all;
      if (first === undefined || !all.every(({ address }) => isAllowedAddress(upstream, address)))
        return callback(refused(), "", 0);
      if (options.all === true) return callback(null, all);
      callback(null, first.address, first.family);
    });
  };
}

/** Whether a connection on behalf of an upstream may go to this address. */
export function isAllowedAddress(
  { allowPrivate }: Pick<UpstreamState, "allowPrivate">,
  address: string,
): boolean {
  return isPublicAddress(address) || (allowPrivate && isPrivateAddress(address));
}

/** @see RFC 9449 §8.2, §9 */
function nonceOf({ statusCode, headers }: Dispatcher.ResponseData): Pick<UpstreamAnswer, "nonce"> {
  const { "dpop-nonce": text, "www-authenticate": challenge = "" } = headers;
  if (typeof text !== "string") return {};
  const isDemanded = statusCode === 401 && /\bDPoP\b.*\berror="use_dpop_nonce"/i.test(String(challenge));
  return { nonce: { text, isDemanded } };
}

function parseMethod(method: string): Dispatcher.HttpMethod {
  switch (method) {
    case "GET":
    case "HEAD":
    case "POST":
    case "PUT":
    case "PATCH":
    case "DELETE":
    case "OPTIONS":
      return method;
    default:
      throw new TrustWardenError("method_not_allowed");
  }
}

async function* readParts(body: AsyncIterable<unknown>): AsyncGenerator<Uint8Array> {
  try {
    for await (const part of body) {
      if (!(part instanceof Uint8Array)) throw new Error("a body without encoding yields bytes");
      yield part;
    }
  } catch (cause) {
    throw cause instanceof TrustWardenError ? cause : unreachable(cause);
  }
}

function refused(): TrustWardenError {
  return new TrustWardenError("upstream_refused", { reason: "a forbidden address" });
}

function unreachable(cause: unknown): TrustWardenError {
  // Undici wraps what the look-up threw.
  if (cause instanceof Error && cause.cause instanceof TrustWardenError) return cause.cause;
  return new TrustWardenError("upstream_unreachable", {}, { cause });
}
