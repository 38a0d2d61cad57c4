/**
 * Verifies a platform's token: the algorithm from our list, the key from the issuer's, then who it is from, whom it is
 * for, and when.
 *
 * One audience only: a token that is also meant for somebody else can be replayed by them. Expiry is exact; issuers'
 * clocks may run ahead by ten seconds.
 *
 * @see RFC 7519 §4.1; RFC 8725 §3
 */
import type { Json, JsonObject } from "@trustwarden/core/json.ts";
import { compactVerify, errors } from "jose";
import { parseCompactToken } from "./compact-token.ts";
import type { KeySource } from "./key-source.ts";
import { expired, malformed, refused, untrustedIssuer } from "./refusal.ts";
import { type Algorithm, importFor } from "./verification-key.ts";

/** How far an issuer's clock may be ahead of ours. */
export const CLOCK_SKEW_SECONDS = 10;

/** What a token must be. */
export interface TokenRules {
  /** `iss`, byte for byte. */
  readonly issuer: string;
  /** `aud`, and no other beside it. */
  readonly audience: string;
  readonly algorithms: readonly Algorithm[];
  /** Longer-lived tokens are refused even when correctly signed: a stolen one must die soon. */
  readonly maxTokenSeconds: number;
  readonly keys: KeySource;
  /** The one `typ` that the token has; those of tokens about identities unless given. */
  readonly typ?: string;
}

/** A token that is what the rules say. */
export interface VerifiedToken {
  readonly claims: JsonObject;
  /** `exp`, Unix seconds. */
  readonly expiresAt: number;
  /** base64url SHA-256 of what is signed. */
  readonly digest: string;
}

/**
 * The claims of an untrusted token.
 *
 * @param nowSeconds - Unix seconds; anything that is not a number is outside every lifetime.
 * @throws TrustWardenError `attestation_malformed`, `attestation_refused`, `attestation_expired`,
 *   `attestation_untrusted_issuer` or `attestation_unavailable`.
 */
export async function verifyToken(
  token: string,
  rules: TokenRules,
  nowSeconds: number,
): Promise<VerifiedToken> {
  const { unverifiedAlg, unverifiedKid, unverifiedClaims, digest } = parseCompactToken(token, rules.typ);
  const algorithm = rules.algorithms.find((allowed) => allowed === unverifiedAlg);
  if (algorithm === undefined) throw refused("algorithm");
  if (unverifiedClaims.iss !== rules.issuer) throw untrustedIssuer("iss");
  const key = await importFor(await rules.keys.find(unverifiedKid, nowSeconds), algorithm);
  try {
    await compactVerify(token, key, { algorithms: [algorithm] });
  } catch (cause) {
    if (!(cause instanceof errors.JOSEError)) throw cause;
    throw refused("signature", cause);
  }
  // Proven from here on: the strict parser read these claims from the very bytes that are signed.
  const claims = unverifiedClaims;
  requireOneAudience(claims.aud, rules.audience);
  return { claims, expiresAt: requireWithinLifetime(claims, rules, nowSeconds), digest };
}

/** One audience and no other beside it. @throws TrustWardenError `attestation_refused`. */
export function requireOneAudience(aud: Json | undefined, audience: string): void {
  const list: readonly Json[] = Array.isArray(aud) ? aud : [aud ?? null];
  if (list.length !== 1 || list[0] !== audience) throw refused("audience");
}

/**
 * A token within its time, which is not too long. @param nowSeconds - Unix seconds. @returns `exp`.
 *
 * @throws TrustWardenError `attestation_malformed`, `attestation_expired`.
 */
export function requireWithinLifetime(
  claims: JsonObject,
  rules: Pick<TokenRules, "maxTokenSeconds">,
  nowSeconds: number,
): number {
  const expiresAt = instantOf(claims, "exp");
  const issuedAt = instantOf(claims, "iat");
  const notBeforeAt = claims.nbf === undefined ? issuedAt : instantOf(claims, "nbf");
  if (!(nowSeconds < expiresAt)) throw expired("exp");
  if (!(nowSeconds >= Math.max(issuedAt, notBeforeAt) - CLOCK_SKEW_SECONDS)) throw expired("nbf or iat");
  if (expiresAt - issuedAt > rules.maxTokenSeconds) throw expired("the token lives too long");
  return expiresAt;
}

/** Whole seconds only: 1e400 is infinite and a text is not a time. */
function instantOf(claims: JsonObject, name: "exp" | "iat" | "nbf"): number {
  const value = claims[name];
  if (typeof value !== "number" || !Number.isSafeInteger(value) || value < 0) throw malformed(name);
  return value;
}
