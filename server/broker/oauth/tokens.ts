/**
 * Tokens for upstreams from authorization servers, until near their end: one for each agent where the agent itself is
 * who the token is for, else one for all.
 *
 * A token is in memory only. One request at a time fetches it; those that come meanwhile wait for the same answer.
 */
import { parseUtf8 } from "@trustwarden/core/bytes.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { type JsonObject, parseJsonObject } from "@trustwarden/core/json.ts";
import type { Signer } from "@trustwarden/core/signer.ts";
import { discoverTokenEndpoint } from "./discovery.ts";
import { DpopKey } from "./dpop-key.ts";
import type { RenewedLogin } from "./login-tokens.ts";
import { formatTokenRequest, needsAgent, type TokenCredentials, type TokenSource } from "./token-source.ts";

const MAX_ANSWER_BYTES = 65_536;
const MAX_TOKENS = 10_000;
/** Tokens of cloud providers are some kilobytes long. */
const TOKEN = /^[!-~]{8,8192}$/;
const BEARER = ["bearer", "n_a"];
const DPOP = ["dpop"];
/** What an authorization server that does not say may mean. */
const DEFAULT_SECONDS = 60;
const MAX_SECONDS = 86_400;
/** A token is not used in the last part of its life: the call has to end within it. */
const SPARE_PART = 0.2;

/** Calls an origin that an operator named; addresses are checked, redirects are not followed. */
export type OpenFetch = (
  origins: readonly {
    readonly url: string;
    readonly allowPrivate: boolean;
    readonly ca?: string | undefined;
  }[],
) => (request: {
  readonly url: string;
  readonly method: "GET" | "POST";
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string;
  readonly maxBytes: number;
}) => Promise<{
  readonly status: number;
  readonly body: Uint8Array;
  readonly headers?: Readonly<Record<string, string | readonly string[] | undefined>>;
}>;

/** For which secret, of which revision, and for whom. */
export interface TokenUse {
  readonly secretId: string;
  readonly revision: number;
  readonly source: TokenSource;
  /** Empty where the source needs none. */
  readonly clientSecret: string;
  readonly instanceId: string;
}

interface TokenDeps {
  readonly openFetch: OpenFetch;
  /** A JWT-SVID of the agent; recorded. @throws TrustWardenError the codes of a dead instance. */
  readonly issueJwt: (instanceId: string, audience: string) => Promise<string>;
  /** A fresh P-256 key in memory. */
  readonly createKey: () => Signer;
  readonly monoMs: () => number;
  /** Unix milliseconds. */
  readonly nowMs: () => number;
}

/** A token; the same object for as long as it is the one to use. */
export interface FetchedToken {
  readonly token: string;
  /** Monotonic milliseconds. */
  readonly usableUntilMs: number;
  /** The key that it is bound to; absent for a bearer token. */
  readonly dpop?: DpopKey;
}

interface Kept {
  readonly token: Promise<FetchedToken>;
  readonly revision: number;
}

/** Owns the tokens. */
export class UpstreamTokens {
  readonly #deps: TokenDeps;
  readonly #kept = new Map<string, Kept>();
  /** By secret: two authorization servers do not learn from a key that it is the same gateway. */
  readonly #keys = new Map<string, DpopKey>();

  constructor(deps: TokenDeps) {
    this.#deps = deps;
  }

  /** @throws TrustWardenError `secret_unavailable` with the reason, or why the agent gets no JWT-SVID. */
  async get(use: TokenUse): Promise<FetchedToken> {
    const key = `${use.secretId} ${needsAgent(use.source) ? use.instanceId : "all"}`;
    const known = this.#kept.get(key);
    if (known !== undefined && known.revision === use.revision) {
      const token = await known.token;
      if (this.#deps.monoMs() < token.usableUntilMs) return token;
      // Somebody else may have begun to fetch while this one waited.
      if (this.#kept.get(key) !== known) return this.get(use);
    }
    const fetched = this.#fetch(use);
    if (this.#kept.size >= MAX_TOKENS) this.#kept.clear();
    const kept = { token: fetched, revision: use.revision };
    this.#kept.set(key, kept);
    try {
      return await fetched;
    } catch (error) {
      if (this.#kept.get(key) === kept) this.#kept.delete(key);
      throw error;
    }
  }

  /** A secret was changed or is gone: so are its tokens. */
  forget(secretId: string): void {
    for (const key of this.#kept.keys()) if (key.startsWith(`${secretId} `)) this.#kept.delete(key);
    this.#keys.delete(secretId);
  }

  async #fetch({ secretId, source, clientSecret, instanceId }: TokenUse): Promise<FetchedToken> {
    const jwtSvid = needsAgent(source) ? await this.#deps.issueJwt(instanceId, source.audience) : "";
    const key = source.dpop ? this.#keyOf(secretId) : undefined;
    const credentials = { clientSecret, jwtSvid, refreshToken: "" };
    const { refreshToken: _, ...fetched } = await this.ask(source, credentials, key);
    return fetched;
  }

  #keyOf(secretId: string): DpopKey {
    const known = this.#keys.get(secretId) ?? new DpopKey(this.#deps.createKey(), this.#deps.nowMs);
    this.#keys.set(secretId, known);
    return known;
  }

  /**
   * One request, whose answer is kept nowhere; with a key a second one where the server asks for its nonce.
   *
   * @throws TrustWardenError `secret_unavailable` with the reason.
   */
  async ask(source: TokenSource, credentials: TokenCredentials, key?: DpopKey): Promise<RenewedLogin> {
    const startedMs = this.#deps.monoMs();
    const fetch = this.#deps.openFetch(originsOf(source));
    const endpoint = await endpointOf(source, fetch);
    const { headers, body } = formatTokenRequest(source, credentials);
    const post = async () => {
      const proof = key === undefined ? {} : { dpop: key.prove({ method: "POST", url: endpoint }) };
      const request = { url: endpoint, method: "POST", body, maxBytes: MAX_ANSWER_BYTES } as const;
      return fetch({ ...request, headers: { ...headers, ...proof } }).catch((cause: unknown) => {
        const details = cause instanceof TrustWardenError ? cause.details : {};
        throw unavailable(String(details.reason ?? "no answer"), {}, cause);
      });
    };
    let answer = await post();
    let json = parseAnswer(answer.body);
    if (hasNonce(key, endpoint, answer.headers) && errorOf(json) === "use_dpop_nonce") {
      answer = await post();
      json = parseAnswer(answer.body);
    }
    if (answer.status !== 200) throw unavailable("refused", { status: answer.status, error: errorOf(json) });
    return {
      token: tokenOf(json, key === undefined ? BEARER : DPOP),
      ...(key && { dpop: key }),
      usableUntilMs: startedMs + secondsOf(json) * 1000 * (1 - SPARE_PART),
      refreshToken: refreshTokenOf(json),
    };
  }
}

/** Nothing else is called, whatever a document says. */
function originsOf({ endpoint, discovery, allowPrivate, ca }: TokenSource): Parameters<OpenFetch>[0] {
  const urls = [endpoint, discovery?.issuer, discovery?.resource].filter((url) => typeof url === "string");
  return urls.map((url) => ({ url, allowPrivate, ...(ca === null ? {} : { ca }) }));
}

async function endpointOf(
  { endpoint, discovery }: TokenSource,
  fetch: ReturnType<OpenFetch>,
): Promise<string> {
  if (endpoint !== null) return endpoint;
  if (discovery === null) throw new Error("a source has one of them");
  return discoverTokenEndpoint(discovery, fetch);
}

function parseAnswer(body: Uint8Array): JsonObject {
  try {
    return parseJsonObject(parseUtf8(body), MAX_ANSWER_BYTES);
  } catch {
    // The parser's message may quote a token, so the cause stays here.
    throw unavailable("the answer is not JSON");
  }
}

/** Whether a nonce came, which is noted; without a key nobody looks. */
function hasNonce(
  key: DpopKey | undefined,
  endpoint: string,
  headers: Readonly<Record<string, string | readonly string[] | undefined>> = {},
): boolean {
  const nonce = headers["dpop-nonce"];
  return key?.learn(endpoint, typeof nonce === "string" ? nonce : undefined) === true;
}

/** A token of another type than was asked for would be one that anybody may use. */
function tokenOf({ access_token: token, token_type: type }: JsonObject, types: readonly string[]): string {
  const isFit = typeof type === "string" && types.includes(type.toLowerCase());
  if (!isFit)
    throw unavailable(types === DPOP ? "the token is not bound" : "the token is not a bearer token");
  if (typeof token !== "string" || !TOKEN.test(token)) throw unavailable("the answer has no usable token");
  return token;
}

function refreshTokenOf({ refresh_token: token }: JsonObject): string | null {
  if (token === undefined || token === null) return null;
  if (typeof token !== "string" || !TOKEN.test(token)) throw unavailable("the refresh token is not usable");
  return token;
}

function secondsOf({ expires_in: seconds }: JsonObject): number {
  if (seconds === undefined) return DEFAULT_SECONDS;
  if (typeof seconds !== "number" || !(seconds > 0)) throw unavailable("the token's life is no number");
  return Math.min(seconds, MAX_SECONDS);
}

/** Its own word for why, when it is one. */
function errorOf({ error }: JsonObject): string {
  return typeof error === "string" && /^[a-z_]{1,64}$/.test(error) ? error : "";
}

function unavailable(
  reason: string,
  details: Readonly<Record<string, string | number>> = {},
  cause?: unknown,
): TrustWardenError {
  const options = cause === undefined ? {} : { cause };
  return new TrustWardenError(
    "secret_unavailable",
    { from: "authorization server", reason, ...details },
    options,
  );
}
