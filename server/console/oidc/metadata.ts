/**
 * Where an identity provider is asked: as configured, or as its discovery document says of itself.
 *
 * Everything that is found lies at the origin of the document, so that whoever can alter it sends neither people nor codes
 * anywhere else; and the document names the very issuer that is configured.
 *
 * @see OpenID Connect Discovery 1.0 §4.3; RFC 9207 §3
 */
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { JsonObject } from "@trustwarden/core/json.ts";
import { isLoopbackHost } from "../../attest/addresses.ts";
import type { Endpoint } from "../../attest/config.ts";
import { fetchJson } from "../../attest/key-source.ts";
import { Refreshed } from "../../attest/refreshed.ts";
import { unavailable } from "../../attest/refusal.ts";
import type { OpenFetch } from "../../attest/token-source.ts";
import type { IdentityProviderConfig } from "./config.ts";

const MAX_DISCOVERY_BYTES = 65_536;

/** What a sign-in needs to know of a provider. */
export interface ProviderMetadata {
  readonly authorizationEndpoint: string;
  readonly tokenEndpoint: string;
  /** Where somebody ends its session there; null where there is no such place. */
  readonly endSessionEndpoint: string | null;
  /** Whether its answers to browsers name the issuer. */
  readonly namesIssuer: boolean;
}

/** @param nowSeconds - Unix seconds. @throws TrustWardenError `attestation_unavailable`. */
export type FindMetadata = (nowSeconds: number) => Promise<ProviderMetadata>;

/** The discovery document of a provider. */
export function discoveryOf({ issuer, discovery }: IdentityProviderConfig): Endpoint {
  const url = `${issuer.replace(/\/$/, "")}/.well-known/openid-configuration`;
  return discovery ?? { url, allowPrivate: false };
}

/** Finds them, as the configuration says. @throws TrustWardenError `config_invalid` for a place without https. */
export function createMetadata(config: IdentityProviderConfig, openFetch: OpenFetch): FindMetadata {
  const { endpoints, issuer } = config;
  if (endpoints !== undefined) {
    if (!isForBrowsers(endpoints.authorization)) {
      throw new TrustWardenError("config_invalid", {
        setting: "console.identityProviders",
        reason: "the authorization endpoint is not https",
      });
    }
    const { authorization: authorizationEndpoint, token, namesIssuer } = endpoints;
    const given = { authorizationEndpoint, tokenEndpoint: token.url, endSessionEndpoint: null, namesIssuer };
    return async () => given;
  }
  const place = discoveryOf(config);
  const fetch = openFetch(place);
  const documents = new Refreshed(async () =>
    parseMetadata(await fetchJson(fetch, place.url, MAX_DISCOVERY_BYTES), { issuer, url: place.url }),
  );
  return (nowSeconds) => documents.get(nowSeconds);
}

function parseMetadata(
  document: JsonObject,
  { issuer, url }: { readonly issuer: string; readonly url: string },
): ProviderMetadata {
  if (document.issuer !== issuer) throw unavailable("the discovery document is another issuer's");
  const origin = new URL(url).origin;
  const place = (name: string): string => {
    const found = optionalPlace(document, { name, origin });
    if (found === null) throw unavailable(`the discovery document has no ${name}`);
    return found;
  };
  return {
    authorizationEndpoint: place("authorization_endpoint"),
    tokenEndpoint: place("token_endpoint"),
    endSessionEndpoint: optionalPlace(document, { name: "end_session_endpoint", origin }),
    namesIssuer: document.authorization_response_iss_parameter_supported === true,
  };
}

function optionalPlace(
  document: JsonObject,
  { name, origin }: { readonly name: string; readonly origin: string },
): string | null {
  const text = document[name];
  if (text === undefined || text === null) return null;
  const found = typeof text === "string" ? URL.parse(text) : null;
  const isPlain = found !== null && found.username === "" && found.password === "" && found.hash === "";
  if (!isPlain || found.origin !== origin || !isForBrowsers(found.href)) {
    throw unavailable("the discovery document points to another origin");
  }
  return found.href;
}

/** Plain HTTP is for tests on this machine. */
function isForBrowsers(text: string): boolean {
  const url = URL.parse(text);
  if (url === null) return false;
  return url.protocol === "https:" || (url.protocol === "http:" && isLoopbackHost(url.hostname));
}
