/**
 * WIT-SVIDs: tokens that are bound to a key, for callers that prove possession of it with each request.
 *
 * A WIT-SVID alone proves nothing about whoever shows it: `verifyWitSvid` gives the key that the caller has yet to prove
 * (WIT-SVID §5), and nobody may act before that. It has no audience, so the proof of possession has to name one. ECDSA
 * signatures are malleable and `jti` is for following a token through records, never for telling replays.
 *
 * @see WIT-SVID §2 to §6; draft-ietf-wimse-workload-creds
 */
import { formatP256Jwk, formatThumbprint, isP256Signature, type PublicKey, parseP256Jwk } from "../crypto.ts";
import { TrustWardenError } from "../error.ts";
import { isJsonObject, type Json, type JsonObject } from "../json.ts";
import type { Signer } from "../signer.ts";
import { parseInstant, parseOptionalText, parseSubject } from "./jwt-svid-claims.ts";
import { issueCompactJws, parseCompactJws, parsePayload } from "./jwt-svid-jws.ts";
import type { BundleSource } from "./ports.ts";
import { formatSpiffeId, type SpiffeId, type TrustDomain, trustDomainOf } from "./spiffe-id.ts";
import { findBundle, type TrustBundle } from "./trust-bundle.ts";

/** Longer-lived tokens are neither issued nor accepted: a stolen key must be of no use soon. */
const MAX_LIFETIME_SECONDS = 3600;
/** How far the issuer's clock may be ahead of ours, for `nbf`; `exp` has no leeway. */
const CLOCK_SKEW_SECONDS = 10;
const REGISTERED: ReadonlySet<string> = new Set(["sub", "aud", "exp", "nbf", "iat", "jti", "iss", "cnf"]);

/** A proven WIT-SVID. Its bearer is nobody until possession of `confirmationKey` is proven too. */
export interface WitSvid {
  /** `sub`. */
  readonly id: SpiffeId;
  /** The key that proved it. */
  readonly kid: string;
  /** `cnf.jwk`: the P-256 key that each proof of possession has to be signed with, by ES256. */
  readonly confirmationKey: PublicKey;
  /** RFC 7638 thumbprint of `confirmationKey`, base64url. */
  readonly confirmationThumbprint: string;
  /** `exp`, Unix seconds. */
  readonly expiresAt: number;
  /** For following the token through records; never for telling replays (WIT-SVID §3.3). */
  readonly jti: string | undefined;
  readonly issuer: string | undefined;
  /** All claims as signed, the ones above included. */
  readonly claims: JsonObject;
}

/** What a signed payload says, before anybody has checked the signature. */
type UnverifiedWit = Omit<WitSvid, "kid"> & { readonly notBeforeAt: number | undefined };

/**
 * A WIT-SVID in compact form: ES256, with `kid`, `iat`, `jti`, and an `iss` that is no place where OpenID Connect finds
 * keys.
 *
 * @param options.confirmationKey - the caller's key; its possession is proven before this is called.
 * @param options.now - Unix seconds; `ttlSeconds` - at most one hour.
 * @param options.claims - further claims; never one of the registered names.
 * @throws TrustWardenError `ttl_malformed`.
 * @see WIT-SVID §2, §3
 */
export function issueWitSvid(options: {
  readonly id: SpiffeId;
  readonly confirmationKey: PublicKey;
  readonly kid: string;
  readonly jti: string;
  readonly now: number;
  readonly ttlSeconds: number;
  readonly signer: Signer;
  readonly claims?: JsonObject;
}): string {
  const { id, confirmationKey, kid, jti, now, ttlSeconds, signer, claims = {} } = options;
  if (Object.keys(claims).some((name) => REGISTERED.has(name)))
    throw new Error("a registered claim is not ours to set");
  if (!Number.isSafeInteger(ttlSeconds) || ttlSeconds < 1 || ttlSeconds > MAX_LIFETIME_SECONDS) {
    throw new TrustWardenError("ttl_malformed", { ttlSeconds, maxTtlSeconds: MAX_LIFETIME_SECONDS });
  }
  const iat = Math.floor(now);
  const cnf = { jwk: { ...formatP256Jwk(confirmationKey), alg: "ES256" } };
  const iss = formatSpiffeId(trustDomainOf(id), []);
  const payload = { ...claims, sub: id, iss, jti, iat, exp: iat + ttlSeconds, cnf };
  const token = issueCompactJws({ header: { alg: "ES256", kid, typ: "wit+jwt" }, payload, signer });
  // Nothing leaves that our own verifier would refuse.
  parseWit(parsePayload(parseCompactJws(token, "wit-svid").unverifiedPayload));
  return token;
}

/**
 * Proves a WIT-SVID against the bundle of its subject's trust domain. The caller proves possession next, or is refused.
 *
 * @param options.now - Unix seconds; anything that is not a number is outside.
 * @throws TrustWardenError `svid_malformed` (also with an `aud`, or without `kid` or a public P-256 `cnf.jwk`),
 *   `trust_domain_unknown`, `svid_untrusted`, `svid_expired`, `svid_not_yet_valid` or `svid_too_long_lived`.
 * @see WIT-SVID §4
 */
export function verifyWitSvid(
  token: string,
  options: {
    readonly bundles: BundleSource | ReadonlyMap<TrustDomain, TrustBundle>;
    readonly now: number;
  },
): WitSvid {
  const { unverifiedKid, unverifiedPayload, signingInput, signature } = parseCompactJws(token, "wit-svid");
  const { notBeforeAt, ...unverified } = parseWit(parsePayload(unverifiedPayload));
  const { witAuthorities } = findBundle(options.bundles, trustDomainOf(unverified.id));
  const key = unverifiedKid === undefined ? undefined : witAuthorities.get(unverifiedKid);
  if (unverifiedKid === undefined || key === undefined || !isP256Signature(key, signingInput, signature)) {
    throw new TrustWardenError("svid_untrusted", { reason: "no key of the bundle signed the token" });
  }
  requireWithin({ ...unverified, notBeforeAt }, options.now);
  return { ...unverified, kid: unverifiedKid };
}

function parseWit(claims: JsonObject): UnverifiedWit {
  // The inverse of a JWT-SVID: one that names an audience could pass for a bearer token somewhere (§3.8).
  if (claims.aud !== undefined) throw malformed("aud");
  const expiresAt = parseInstant(claims.exp);
  if (expiresAt === undefined) throw malformed("exp");
  // Only its form: `iat` says nothing about validity (§3.6).
  parseInstant(claims.iat);
  const confirmationKey = parseConfirmation(claims.cnf);
  return {
    id: parseSubject(claims.sub),
    confirmationKey,
    confirmationThumbprint: formatThumbprint(confirmationKey),
    expiresAt,
    notBeforeAt: parseInstant(claims.nbf),
    jti: parseOptionalText(claims.jti),
    issuer: parseOptionalText(claims.iss),
    claims,
  };
}

/** §3.4: a public key that says its algorithm. A private one would be everybody's who has seen the token. */
function parseConfirmation(cnf: Json | undefined): PublicKey {
  const jwk = isJsonObject(cnf) ? cnf.jwk : undefined;
  if (!isJsonObject(jwk)) throw malformed("cnf.jwk");
  if (jwk.alg !== "ES256") throw malformed("cnf.jwk.alg");
  if (jwk.d !== undefined) throw malformed("a private cnf.jwk");
  try {
    return parseP256Jwk(jwk);
  } catch (cause) {
    throw new TrustWardenError("svid_malformed", { reason: "cnf.jwk" }, { cause });
  }
}

function requireWithin(
  { expiresAt, notBeforeAt }: Pick<UnverifiedWit, "expiresAt" | "notBeforeAt">,
  now: number,
): void {
  if (!(now < expiresAt)) throw new TrustWardenError("svid_expired", { expiresAt, now });
  if (notBeforeAt !== undefined && !(now >= notBeforeAt - CLOCK_SKEW_SECONDS))
    throw new TrustWardenError("svid_not_yet_valid", { notBeforeAt, now });
  if (expiresAt - now > MAX_LIFETIME_SECONDS)
    throw new TrustWardenError("svid_too_long_lived", { expiresAt, now });
}

function malformed(reason: string): TrustWardenError {
  return new TrustWardenError("svid_malformed", { reason });
}
