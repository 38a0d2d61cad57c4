/** From the configuration of an issuer to the rules for its tokens. */

import type { Endpoint, KeysConfig } from "./config.ts";
import { createDiscoveredKeys, createInlineKeys, createPublishedKeys, type KeySource } from "./key-source.ts";
import type { AttestationContext, Attested } from "./ports.ts";
import type { SafeFetch } from "./safe-fetch.ts";
import type { Algorithm } from "./verification-key.ts";
import type { TokenRules, VerifiedToken } from "./verify-token.ts";

/** What each issuer's section has. */
interface IssuerConfig {
  readonly issuer: string;
  readonly keys: KeysConfig;
  readonly audience?: string | undefined;
  readonly algorithms: readonly Algorithm[];
  readonly maxTokenSeconds: number;
}

/** Opens a way out to one endpoint, and to nothing else. */
export type OpenFetch = (endpoint: Endpoint) => SafeFetch;

/** The rules for the tokens of one issuer; only the audience may depend on the exchange. */
export function createTokenRules(
  config: IssuerConfig,
  openFetch: OpenFetch,
): (context: AttestationContext) => TokenRules {
  const keys = createKeySource(config, openFetch);
  const { issuer, algorithms, maxTokenSeconds } = config;
  return ({ audience }) => ({
    issuer,
    algorithms,
    maxTokenSeconds,
    keys,
    audience: config.audience ?? audience,
  });
}

/** How the token of an attestor that is configured for it may be used only once. */
export function singleUseOf(
  { digest, expiresAt }: VerifiedToken,
  { singleUse }: { readonly singleUse: boolean },
): Attested["singleUse"] {
  return singleUse ? { id: digest, expiresAt } : null;
}

function createKeySource({ issuer, keys }: IssuerConfig, openFetch: OpenFetch): KeySource {
  if ("inline" in keys) return createInlineKeys({ keys: keys.inline });
  const endpoint: Endpoint = "jwks" in keys ? keys.jwks : keys.discovery;
  const fetch = openFetch(endpoint);
  return "jwks" in keys
    ? createPublishedKeys(endpoint.url, fetch)
    : createDiscoveredKeys({ url: endpoint.url, issuer }, fetch);
}
