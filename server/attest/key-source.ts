/** Where an issuer's keys come from: written into the configuration, or fetched and kept for a while. */
import { parseUtf8 } from "@trustwarden/core/bytes.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { type JsonObject, parseJsonObject } from "@trustwarden/core/json.ts";
import { Refreshed } from "./refreshed.ts";
import { refused, unavailable } from "./refusal.ts";
import type { SafeFetch } from "./safe-fetch.ts";
import { findKey, parseKeySet, type VerificationKey } from "./verification-key.ts";

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

/** Lives as long as its attestor. */
class CachedKeys implements KeySource {
  readonly #sets: Refreshed<readonly VerificationKey[]>;

  constructor(fetch: FetchSet) {
    this.#sets = new Refreshed(async () => parseKeySet(await fetch()));
  }

  /** An unknown key id asks again: issuers rotate. */
  async find(kid: string | undefined, nowSeconds: number): Promise<VerificationKey> {
    const known = findKey(await this.#sets.get(nowSeconds), kid);
    return known ?? requireFound(findKey(await this.#sets.renew(nowSeconds), kid));
  }
}

/** A JSON document of an origin. @throws TrustWardenError `attestation_unavailable`. */
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
