/** From the configuration of an issuer to the rules for its tokens. */

import { readCertificateFile } from "./certificates.ts";
import type { Endpoint, KeysConfig } from "./config.ts";
import { createDiscoveredKeys, createInlineKeys, createPublishedKeys, type KeySource } from "./key-source.ts";
import type { AttestationContext, Attested } from "./ports.ts";
import { createSafeFetch, type Lookup, type SafeFetch } from "./safe-fetch.ts";
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

/**
 * A way out to what a configuration names.
 *
 * @param what - of the setting, for who has to mend a file that holds no certificate.
 * @param lookup - another resolver than the system's, for tests.
 */
export function createOpenFetch(what: string, lookup?: Lookup): OpenFetch {
  return ({ url, allowPrivate, ca, caFile }) => {
    const trusted = caFile === undefined ? ca : readCertificateFile(caFile, what);
    return createSafeFetch([{ url, allowPrivate, ca: trusted }], lookup);
  };
}

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

/** The keys of an issuer, from where its configuration says. */
export function createKeySource(
  { issuer, keys }: Pick<IssuerConfig, "issuer" | "keys">,
  openFetch: OpenFetch,
): KeySource {
  if ("inline" in keys) return createInlineKeys({ keys: keys.inline });
  const endpoint: Endpoint = "jwks" in keys ? keys.jwks : keys.discovery;
  const fetch = openFetch(endpoint);
  return "jwks" in keys
    ? createPublishedKeys(endpoint.url, fetch)
    : createDiscoveredKeys({ url: endpoint.url, issuer }, fetch);
}
