/**
 * Where an issuer's keys come from: written into the configuration, or fetched and kept for a while.
 *
 * Fetched keys are fresh for ten minutes. An unknown key id asks again, but not more often than twice a minute, so that
 * strangers with made-up ids cannot make this server hammer an issuer. When the issuer cannot be reached, the last keys
 * are used for an hour and then not at all: an issuer that withdrew a key must be heard some day.
 */
import { parseUtf8 } from "@trustwarden/core/bytes.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { type JsonObject, parseJsonObject } from "@trustwarden/core/json.ts";
import { refused, unavailable } from "./refusal.ts";
import type { SafeFetch } from "./safe-fetch.ts";
import { findKey, parseKeySet, type VerificationKey } from "./verification-key.ts";

const FRESH_SECONDS = 600;
const STALE_SECONDS = 3600;
const RETRY_SECONDS = 30;
const MAX_SET_BYTES = 262_144;
const MAX_DISCOVERY_BYTES = 65_536;

/** Finds the key of a token. */
export interface KeySource {
  /**
   * @param kid - the name in the token's header, which nobody has verified.
   * @param nowSeconds - Unix seconds.
   * @throws TrustWardenError `attestation_refused` without such a key, `attestation_unavailable` without any answer.
   */
  find(kid: string | undefined, nowSeconds: number): Promise<VerificationKey>;
}

/** Keys of the configuration. @throws TrustWardenError `attestation_unavailable` when it is no JWK Set. */
export function createInlineKeys(set: JsonObject): KeySource {
  const keys = parseKeySet(set);
  return {
    find: async (kid) => requireFound(findKey(keys, kid)),
  };
}

/** Asks for the current JWK Set. */
type FetchSet = () => Promise<JsonObject>;

/** Keys of a published JWK Set. */
export function createPublishedKeys(url: string, fetch: SafeFetch): KeySource {
  return new CachedKeys(() => fetchJson(fetch, url, MAX_SET_BYTES));
}

/**
 * Keys of an issuer that publishes where they are, on its own origin: a discovery document that points elsewhere would
 * let whoever can alter it choose the keys.
 *
 * @see OpenID Connect Discovery 1.0 §4.3
 */
export function createDiscoveredKeys(
  { url, issuer }: { readonly url: string; readonly issuer: string },
  fetch: SafeFetch,
): KeySource {
  return new CachedKeys(async () => {
    const discovery = await fetchJson(fetch, url, MAX_DISCOVERY_BYTES);
    const { jwks_uri: keysUrl } = discovery;
    if (discovery.issuer !== issuer) throw unavailable("the discovery document is another issuer's");
    if (typeof keysUrl !== "string" || URL.parse(keysUrl)?.origin !== new URL(url).origin) {
      throw unavailable("the discovery document points to another origin");
    }
    return fetchJson(fetch, keysUrl, MAX_SET_BYTES);
  });
}

/** Lives as long as its attestor; owns the keys and when they were asked for. */
class CachedKeys implements KeySource {
  readonly #fetch: FetchSet;
  #keys: readonly VerificationKey[] | undefined;
  #fetchedAt = 0;
  #attemptedAt: number | undefined;
  #running: Promise<void> | undefined;

  constructor(fetch: FetchSet) {
    this.#fetch = fetch;
  }

  async find(kid: string | undefined, nowSeconds: number): Promise<VerificationKey> {
    if (!this.#isYoungerThan(FRESH_SECONDS, nowSeconds)) await this.#tryRefresh(nowSeconds);
    const known = findKey(this.#usable(nowSeconds), kid);
    if (known !== undefined) return known;
    await this.#tryRefresh(nowSeconds);
    return requireFound(findKey(this.#usable(nowSeconds), kid));
  }

  /** The keys, while they may be used. A clock that went back makes them old, never young. */
  #usable(nowSeconds: number): readonly VerificationKey[] {
    if (this.#keys === undefined || !this.#isYoungerThan(STALE_SECONDS, nowSeconds)) {
      throw unavailable("the issuer's keys cannot be fetched");
    }
    return this.#keys;
  }

  #isYoungerThan(seconds: number, nowSeconds: number): boolean {
    const age = nowSeconds - this.#fetchedAt;
    return this.#keys !== undefined && age >= 0 && age < seconds;
  }

  /** Asks, unless that was done a moment ago; joins a question that is under way. A failure leaves the keys as they were. */
  async #tryRefresh(nowSeconds: number): Promise<void> {
    const since = nowSeconds - (this.#attemptedAt ?? Number.NEGATIVE_INFINITY);
    if (this.#running === undefined && since >= 0 && since < RETRY_SECONDS) return;
    if (this.#running === undefined) {
      this.#attemptedAt = nowSeconds;
      this.#running = this.#refresh(nowSeconds).finally(() => {
        this.#running = undefined;
      });
    }
    try {
      await this.#running;
    } catch (error) {
      // Whether the old keys still serve is decided by their age, in `#usable`; nothing is allowed by this failure.
      if (!(error instanceof TrustWardenError)) throw error;
    }
  }

  async #refresh(nowSeconds: number): Promise<void> {
    this.#keys = parseKeySet(await this.#fetch());
    this.#fetchedAt = nowSeconds;
  }
}

async function fetchJson(fetch: SafeFetch, url: string, maxBytes: number): Promise<JsonObject> {
  const { status, body } = await fetch({ url, maxBytes });
  if (status !== 200) throw unavailable("the issuer answered with another status than 200");
  try {
    return parseJsonObject(parseUtf8(body));
  } catch (cause) {
    if (!(cause instanceof TrustWardenError)) throw cause;
    throw unavailable("the issuer's answer is not JSON", cause);
  }
}

function requireFound(key: VerificationKey | undefined): VerificationKey {
  if (key === undefined) throw refused("the issuer has no such key");
  return key;
}
