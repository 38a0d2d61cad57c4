/**
 * JWT-SVIDs: bearer tokens for federation out and for OAuth. Our own guard refuses them as identities.
 *
 * Every token has one accepted spelling of each part (strict base64url, JSON without repeated keys) before any of it
 * is believed. ECDSA signatures stay malleable, so a token is never identified by its text: use `jti` and `sub`.
 *
 * @see JWT-SVID §2 to §5
 */
import { isP256Signature, type PublicKey } from "../crypto.ts";
import { TrustWardenError } from "../error.ts";
import type { JsonObject } from "../json.ts";
import type { Signer } from "../signer.ts";
import { type JwtClaims, parseClaims, requireAudience, requireWithinLifetime } from "./jwt-svid-claims.ts";
import { issueCompactJws, parseCompactJws, parsePayload } from "./jwt-svid-jws.ts";
import type { BundleSource } from "./ports.ts";
import { type SpiffeId, type TrustDomain, trustDomainOf } from "./spiffe-id.ts";
import { findBundle, type TrustBundle } from "./trust-bundle.ts";

/** Longer-lived bearer tokens are not issued: whoever reads one can use it. */
const MAX_TTL_SECONDS = 3600;
const REGISTERED: ReadonlySet<string> = new Set(["sub", "aud", "exp", "nbf", "iat", "jti", "iss"]);

/** A proven JWT-SVID. */
export interface JwtSvid extends JwtClaims {
  /** The key that proved it; undefined when the token named none and every key was tried. */
  readonly kid: string | undefined;
}

/**
 * A JWT-SVID in compact form: ES256, always `kid`, `iat`, `jti` and `iss`.
 *
 * @param options.audience - one audience, as it should be; or the several that a Workload API client asked for.
 * @param options.now - Unix seconds; `ttlSeconds` - at most one hour, five minutes is the usual.
 * @param options.claims - further claims; never one of the registered names.
 * @throws TrustWardenError `ttl_malformed`.
 * @see JWT-SVID §2, §3
 */
export function issueJwtSvid(options: {
  readonly id: SpiffeId;
  readonly audience: string | readonly [string, ...string[]];
  readonly issuer: string;
  readonly kid: string;
  readonly jti: string;
  readonly now: number;
  readonly ttlSeconds: number;
  readonly signer: Signer;
  readonly claims?: JsonObject;
}): string {
  const { id, audience, issuer, kid, jti, now, ttlSeconds, signer, claims = {} } = options;
  if (Object.keys(claims).some((name) => REGISTERED.has(name)))
    throw new Error("a registered claim is not ours to set");
  if (!Number.isSafeInteger(ttlSeconds) || ttlSeconds < 1 || ttlSeconds > MAX_TTL_SECONDS) {
    throw new TrustWardenError("ttl_malformed", { ttlSeconds, maxTtlSeconds: MAX_TTL_SECONDS });
  }
  const iat = Math.floor(now);
  const aud = typeof audience === "string" ? audience : [...audience];
  const payload = { ...claims, sub: id, aud, iss: issuer, jti, iat, exp: iat + ttlSeconds };
  const token = issueCompactJws({ header: { alg: "ES256", kid, typ: "JWT" }, payload, signer });
  // Nothing leaves that our own verifier would refuse.
  parseClaims(parsePayload(parseCompactJws(token).unverifiedPayload));
  return token;
}

/**
 * Proves a JWT-SVID against the bundle of its subject's trust domain.
 *
 * @param options.audience - who we are; must be among the token's audiences.
 * @param options.now - Unix seconds.
 * @throws TrustWardenError `svid_malformed`, `trust_domain_unknown`, `svid_untrusted` (no such key, or a bad
 *   signature), `svid_audience`, `svid_expired`, `svid_not_yet_valid` or `svid_too_long_lived`.
 * @see JWT-SVID §4, §5
 */
export function verifyJwtSvid(
  token: string,
  options: {
    readonly bundles: BundleSource | ReadonlyMap<TrustDomain, TrustBundle>;
    readonly audience: string;
    readonly now: number;
  },
): JwtSvid {
  const { unverifiedKid, unverifiedPayload, signingInput, signature } = parseCompactJws(token);
  const unverifiedClaims = parseClaims(parsePayload(unverifiedPayload));
  const bundle = findBundle(options.bundles, trustDomainOf(unverifiedClaims.id));
  if (!candidateKeys(bundle, unverifiedKid).some((key) => isP256Signature(key, signingInput, signature))) {
    throw new TrustWardenError("svid_untrusted", { reason: "no key of the bundle signed the token" });
  }
  requireAudience(unverifiedClaims, options.audience);
  requireWithinLifetime(unverifiedClaims, options.now);
  return { ...unverifiedClaims, kid: unverifiedKid };
}

function candidateKeys({ jwtAuthorities }: TrustBundle, kid: string | undefined): readonly PublicKey[] {
  if (kid === undefined) return [...jwtAuthorities.values()];
  const key = jwtAuthorities.get(kid);
  return key === undefined ? [] : [key];
}
