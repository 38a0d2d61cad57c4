/**
 * JWT-SVIDs: bearer tokens for federation out and for OAuth. Our own guard refuses them as identities.
 *
 * Every token has one accepted spelling of each part (strict base64url, JSON without repeated keys) before any of it
 * is believed. ECDSA signatures stay malleable, so a token is never identified by its text: use `jti` and `sub`.
 *
 * @see JWT-SVID §2 to §5
 */
import { encodeBase64url, encodeUtf8, parseBase64url, parseUtf8 } from "../bytes.ts";
import { isP256Signature, type PublicKey } from "../crypto.ts";
import { TrustWardenError } from "../error.ts";
import { encodeCanonicalJson, type JsonObject, parseJsonObject } from "../json.ts";
import type { Signer } from "../signer.ts";
import { type JwtClaims, parseClaims, requireAudience, requireWithinLifetime } from "./jwt-svid-claims.ts";
import type { BundleSource } from "./ports.ts";
import { type SpiffeId, type TrustDomain, trustDomainOf } from "./spiffe-id.ts";
import { findBundle, type TrustBundle } from "./trust-bundle.ts";

/** Fits every header and leaves no room for a bomb. */
const MAX_TOKEN_CHARS = 8192;
const MAX_KID_CHARS = 256;
/** Longer-lived bearer tokens are not issued: whoever reads one can use it. */
const MAX_TTL_SECONDS = 3600;
/** JWT-SVID §2: "Any header not described here ... MUST NOT be included"; keeps out jwk, jku, x5c, crit and b64. */
const HEADERS: ReadonlySet<string> = new Set(["alg", "kid", "typ"]);
const REGISTERED: ReadonlySet<string> = new Set(["sub", "aud", "exp", "nbf", "iat", "jti", "iss"]);

/** A proven JWT-SVID. */
export interface JwtSvid extends JwtClaims {
  /** The key that proved it; undefined when the token named none and every key was tried. */
  readonly kid: string | undefined;
}

interface Parts {
  readonly kid: string | undefined;
  readonly unverifiedClaims: JsonObject;
  readonly signingInput: Uint8Array;
  readonly signature: Uint8Array;
}

/**
 * A JWT-SVID in compact form: ES256, one audience, always `kid`, `iat`, `jti` and `iss`.
 *
 * @param options.now - Unix seconds; `ttlSeconds` - at most one hour, five minutes is the usual.
 * @param options.claims - further claims; never one of the registered names.
 * @throws TrustWardenError `ttl_malformed`.
 * @see JWT-SVID §2, §3
 */
export function issueJwtSvid(options: {
  readonly id: SpiffeId;
  readonly audience: string;
  readonly issuer: string;
  readonly kid: string;
  readonly jti: string;
  readonly now: number;
  readonly ttlSeconds: number;
  readonly signer: Signer;
  readonly claims?: JsonObject;
}): string {
  const { id, audience, issuer, kid, jti, now, ttlSeconds, signer, claims = {} } = options;
  if (signer.algorithm !== "ES256") throw new Error("JWT-SVIDs are signed with ES256");
  if (Object.keys(claims).some((name) => REGISTERED.has(name)))
    throw new Error("a registered claim is not ours to set");
  if (!Number.isSafeInteger(ttlSeconds) || ttlSeconds < 1 || ttlSeconds > MAX_TTL_SECONDS) {
    throw new TrustWardenError("ttl_malformed", { ttlSeconds, maxTtlSeconds: MAX_TTL_SECONDS });
  }
  const iat = Math.floor(now);
  const payload = { ...claims, sub: id, aud: audience, iss: issuer, jti, iat, exp: iat + ttlSeconds };
  const input = [{ alg: "ES256", kid, typ: "JWT" }, payload].map((part) =>
    encodeBase64url(encodeCanonicalJson(part)),
  );
  const signature = signer.sign(encodeUtf8(input.join(".")));
  const token = [...input, encodeBase64url(signature)].join(".");
  // Nothing leaves that our own verifier would refuse.
  parseClaims(parseParts(token).unverifiedClaims);
  if (!isP256Signature(signer.publicKey, encodeUtf8(input.join(".")), signature))
    throw new Error("the signer is broken");
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
  const { kid, unverifiedClaims, signingInput, signature } = parseParts(token);
  const claims = parseClaims(unverifiedClaims);
  const bundle = findBundle(options.bundles, trustDomainOf(claims.id));
  if (!candidateKeys(bundle, kid).some((key) => isP256Signature(key, signingInput, signature))) {
    throw new TrustWardenError("svid_untrusted", { reason: "no key of the bundle signed the token" });
  }
  requireAudience(claims, options.audience);
  requireWithinLifetime(claims, options.now);
  return { ...claims, kid };
}

function candidateKeys({ jwtAuthorities }: TrustBundle, kid: string | undefined): readonly PublicKey[] {
  if (kid === undefined) return [...jwtAuthorities.values()];
  const key = jwtAuthorities.get(kid);
  return key === undefined ? [] : [key];
}

function parseParts(token: string): Parts {
  if (token.length > MAX_TOKEN_CHARS) throw malformed("too long");
  const [header, payload, signature, ...rest] = token.split(".");
  if (!header || !payload || !signature || rest.length > 0) throw malformed("not a compact JWS");
  try {
    return {
      kid: parseHeader(parseJsonObject(parseUtf8(parseBase64url(header)))),
      unverifiedClaims: parseJsonObject(parseUtf8(parseBase64url(payload))),
      signingInput: encodeUtf8(`${header}.${payload}`),
      signature: parseBase64url(signature),
    };
  } catch (cause) {
    if (!(cause instanceof TrustWardenError)) throw cause;
    throw new TrustWardenError("svid_malformed", { reason: cause.details.reason ?? cause.code }, { cause });
  }
}

/** Checks the header and returns its `kid`; the algorithm is ours to name, never the token's. */
function parseHeader(header: JsonObject): string | undefined {
  const { alg, kid, typ } = header;
  if (alg !== "ES256") throw malformed("alg");
  if (typ !== undefined && typ !== "JWT" && typ !== "JOSE") throw malformed("typ");
  if (Object.keys(header).some((name) => !HEADERS.has(name))) throw malformed("header");
  if (kid === undefined) return undefined;
  if (typeof kid !== "string" || kid === "" || kid.length > MAX_KID_CHARS) throw malformed("kid");
  return kid;
}

function malformed(reason: string): TrustWardenError {
  return new TrustWardenError("svid_malformed", { reason });
}
