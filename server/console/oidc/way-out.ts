/**
 * The one way to an identity provider that `openid-client` has: the safe way out, to what the configuration names.
 *
 * Only whole, well-formed JSON that came with status 200 reaches the library. What a provider says beside that is somebody
 * else's text, and nobody reads it.
 */
import { parseUtf8 } from "@trustwarden/core/bytes.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { parseJsonObject } from "@trustwarden/core/json.ts";
import type { CustomFetch, CustomFetchOptions } from "openid-client";
import { refused, unavailable } from "../../attest/refusal.ts";
import type { SafeRequest } from "../../attest/safe-fetch.ts";
import type { OpenFetch } from "../../attest/token-source.ts";
import { discoveryOf, type IdentityProviderConfig } from "./config.ts";

/** A key set is the longest that is asked for. */
const MAX_ANSWER_BYTES = 262_144;
const JSON_HEADERS = { "content-type": "application/json" };

/**
 * What the library fetches by; any other origin is `attestation_unavailable`, and so is no good answer to a GET.
 *
 * @throws TrustWardenError `config_invalid` for a file without a certificate.
 */
export function createWayOut(config: IdentityProviderConfig, openFetch: OpenFetch): CustomFetch {
  const { endpoints } = config;
  const toTokens = openFetch(endpoints?.token ?? discoveryOf(config));
  const toDocuments = endpoints === undefined ? toTokens : openFetch(endpoints.keys);
  return async (url, options) => {
    const isForm = options.method === "POST";
    const fetch = isForm ? toTokens : toDocuments;
    const { status, body } = await fetch({ url, ...requestOf(options), maxBytes: MAX_ANSWER_BYTES });
    if (status >= 500) throw unavailable("the provider is out of order");
    // 400 is of this code, 401 of our client: neither is this person's proof.
    const fail = isForm ? refused : unavailable;
    if (status !== 200) throw fail(`the answer's status is ${status}`);
    return new Response(parseDocument(body, fail), { headers: JSON_HEADERS });
  };
}

function requestOf({ method, headers, body }: CustomFetchOptions): Omit<SafeRequest, "url" | "maxBytes"> {
  if (method === "GET") return { method, headers };
  if (method !== "POST" || !(body instanceof URLSearchParams))
    throw new Error("openid-client asks by GET, or posts a form");
  return { method, headers, body: body.toString() };
}

/** The same text, once it is one JSON object that our parser takes: no member twice, no abyss. */
function parseDocument(body: Uint8Array, fail: typeof refused): string {
  try {
    const text = parseUtf8(body);
    parseJsonObject(text, MAX_ANSWER_BYTES);
    return text;
  } catch (cause) {
    if (!(cause instanceof TrustWardenError)) throw cause;
    throw fail("the answer is not JSON", cause);
  }
}
