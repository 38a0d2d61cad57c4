/**
 * Any OIDC issuer: its token proves the claims that the configuration names.
 *
 * Selectors carry the issuer's configured name, so `sub` 1 of one issuer is never `sub` 1 of another.
 *
 * @see OpenID Connect Core 1.0 §2 and §3.1.3.7
 */
import type { JsonObject } from "@trustwarden/core/json.ts";
import { claimsOf, type Facts, optionalTextOf, selectorsOf, textOf } from "./claims.ts";
import type { ProviderConfig } from "./config.ts";
import type { Attest } from "./ports.ts";
import { createTokenRules, type OpenFetch, singleUseOf } from "./token-source.ts";
import { verifyToken } from "./verify-token.ts";

/** Verifies tokens of one issuer. */
export function createOidcAttestor(config: ProviderConfig, openFetch: OpenFetch): Attest<"oidc"> {
  const rulesFor = createTokenRules(config, openFetch);
  return async ({ token }, context) => {
    const verified = await verifyToken(token, rulesFor(context), context.nowSeconds);
    const facts = factsOf(verified.claims, config.selectors);
    const named = Object.entries(facts).map(([label, value]) => [`${config.name}:${label}`, value] as const);
    return {
      type: "oidc",
      selectors: selectorsOf("oidc", Object.fromEntries(named)),
      subject: `oidc:${config.name}:${facts.sub}`,
      claims: { provider: config.name, ...claimsOf(facts) },
      expiresAt: verified.expiresAt,
      singleUse: singleUseOf(verified, config),
    };
  };
}

function factsOf(claims: JsonObject, selectors: ProviderConfig["selectors"]): Facts {
  const mapped = Object.entries(selectors).map(
    ([claim, label]) => [label, plainTextOf(claims, claim)] as const,
  );
  return { ...Object.fromEntries(mapped), sub: textOf(claims, "sub") };
}

/** Texts, whole numbers and truth values have one spelling each; lists and objects have none and are refused. */
function plainTextOf(claims: JsonObject, claim: string): string | undefined {
  const value = Object.hasOwn(claims, claim) ? claims[claim] : undefined;
  const isPlain = typeof value === "boolean" || (typeof value === "number" && Number.isSafeInteger(value));
  return isPlain ? String(value) : optionalTextOf(claims, claim);
}
