/**
 * Where an identity provider is asked: as configured, or as its discovery document says of itself.
 *
 * Everything that is found lies at the origin of the document, so that whoever can alter it sends neither people nor codes
 * anywhere else; and the document names the very issuer that is configured.
 *
 * @see OpenID Connect Discovery 1.0 §4.3
 */
import {
  allowInsecureRequests,
  type CustomFetch,
  customFetch,
  discovery,
  type ServerMetadata,
} from "openid-client";
import { Refreshed } from "../../attest/refreshed.ts";
import { unavailable } from "../../attest/refusal.ts";
import { discoveryOf, type IdentityProviderConfig, isClear } from "./config.ts";
import { asRefusal } from "./refusals.ts";

/** Of a discovery document, the places that a sign-in leads to. */
const PLACES = ["authorization_endpoint", "token_endpoint", "jwks_uri"] as const;

/** @param nowSeconds - Unix seconds. @throws TrustWardenError `attestation_unavailable`. */
export type FindMetadata = (nowSeconds: number) => Promise<ServerMetadata>;

/** Finds them, as the configuration says. */
export function createMetadata(config: IdentityProviderConfig, fetch: CustomFetch): FindMetadata {
  const { endpoints, issuer, algorithms } = config;
  // The library takes a token by one of these and no other, whatever the provider says that it signs by.
  const ours = { issuer, id_token_signing_alg_values_supported: [...algorithms] };
  if (endpoints !== undefined) {
    const given: ServerMetadata = {
      ...ours,
      authorization_endpoint: endpoints.authorization,
      token_endpoint: endpoints.token.url,
      jwks_uri: endpoints.keys.url,
      authorization_response_iss_parameter_supported: endpoints.namesIssuer,
    };
    return async () => given;
  }
  const documents = new Refreshed(async () => ({ ...(await discover(config, fetch)), ...ours }));
  return (nowSeconds) => documents.get(nowSeconds);
}

async function discover(config: IdentityProviderConfig, fetch: CustomFetch): Promise<ServerMetadata> {
  const url = new URL(discoveryOf(config).url);
  const { end_session_endpoint: said, ...found } = await ask(url, config.clientId, fetch);
  if (found.issuer !== config.issuer) throw unavailable("the discovery document is another issuer's");
  // Some say null for a place that they do not have.
  const end = said ?? undefined;
  for (const place of [...PLACES.map((name) => found[name]), ...(end === undefined ? [] : [end])])
    requireAt(place, url.origin);
  return end === undefined ? found : { ...found, end_session_endpoint: end };
}

async function ask(url: URL, clientId: string, fetch: CustomFetch): Promise<ServerMetadata> {
  try {
    const execute = isClear(url.href) ? [allowInsecureRequests] : [];
    const options = { execute, [customFetch]: fetch };
    return (await discovery(url, clientId, undefined, undefined, options)).serverMetadata();
  } catch (error) {
    const cause = asRefusal(error);
    throw unavailable(String(cause.details.reason ?? cause.code), cause);
  }
}

/** A document points to its own origin, by addresses that hold nothing else. */
function requireAt(place: unknown, origin: string): void {
  const url = typeof place === "string" ? URL.parse(place) : null;
  const isPlain = url?.username === "" && url.password === "" && url.hash === "";
  if (!isPlain || url.origin !== origin) throw unavailable("the discovery document points to another origin");
}
