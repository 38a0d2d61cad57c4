/**
 * DPoP proofs: one request, signed by the key that an access token is bound to.
 *
 * Pure: whether a proof is new and whether its nonce is one of ours is state, and so the business of the server. A
 * proof says nothing of the body; where that matters, an HTTP message signature does.
 *
 * @see RFC 9449 §4
 */
import { encodeBase64url, encodeUtf8 } from "./bytes.ts";
import { formatP256Jwk, formatThumbprint, type PublicKey, parseP256Jwk, sha256 } from "./crypto.ts";
import { TrustWardenError } from "./error.ts";
import { isJsonObject, type JsonObject } from "./json.ts";
import { isJwsOf, issueJws, type JwsForm, parseJws } from "./jws.ts";
import type { Signer } from "./signer.ts";

/** A proof is made for the request that it comes with; what is older was kept for another one. */
export const MAX_PROOF_AGE_SECONDS = 60;
/** How far the client's clock may be ahead of ours. */
const CLOCK_SKEW_SECONDS = 10;
const FORM: JwsForm = { typ: "dpop+jwt", headers: ["jwk"], code: "dpop_invalid" };
/** A private key in a proof would be one that is known to whoever saw it. */
const JWK_MEMBERS: readonly string[] = ["kty", "crv", "x", "y", "alg", "use", "key_ops", "ext", "kid"];
const JTI = /^[\x21-\x7e]{8,128}$/;
const NONCE = /^[A-Za-z0-9_-]{1,256}$/;

/** A proof whose signature is good by the key that it carries. */
export interface DpopProof {
  readonly jti: string;
  /** `htm`. */
  readonly method: string;
  /** `htu`. */
  readonly url: string;
  /** `iat`, Unix seconds. */
  readonly issuedAt: number;
  readonly nonce: string | null;
  /** `ath`: base64url SHA-256 of the access token; null where none is shown. */
  readonly accessTokenSha256: string | null;
  readonly publicKey: PublicKey;
  /** RFC 7638 thumbprint of the key: what a token's `cnf.jkt` has to be. */
  readonly thumbprint: string;
}

/** What a proof has to be for. */
export interface DpopRequest {
  readonly method: string;
  /** Every spelling of the request's URL, without query and fragment, that is ours. */
  readonly urls: readonly string[];
  /** The token that comes with it; null at the token endpoint. */
  readonly accessToken: string | null;
  /** Unix seconds. */
  readonly now: number;
}

/**
 * The proof in a `DPoP` header, for exactly this request, made just now.
 *
 * @throws TrustWardenError `dpop_invalid`.
 * @see RFC 9449 §4.3
 */
export function verifyDpopProof(text: string, request: DpopRequest): DpopProof {
  const proof = parseDpopProof(text);
  if (proof.method !== request.method) refuse("htm");
  if (!request.urls.includes(proof.url)) refuse("htu");
  const expected = request.accessToken === null ? null : formatAccessTokenDigest(request.accessToken);
  if (proof.accessTokenSha256 !== expected) refuse("ath");
  if (proof.issuedAt > request.now + CLOCK_SKEW_SECONDS) refuse("from the future");
  if (request.now - proof.issuedAt > MAX_PROOF_AGE_SECONDS) refuse("too old");
  return proof;
}

/**
 * A proof whose signature is good, whatever it is for; an auditor compares it with what the record says.
 *
 * @throws TrustWardenError `dpop_invalid`.
 */
export function parseDpopProof(text: string): DpopProof {
  const jws = parseJws(text, FORM);
  const publicKey = parseKey(jws.unverifiedHeader.jwk);
  if (!isJwsOf(publicKey, jws)) refuse("signature");
  const claims = jws.unverifiedPayload;
  return {
    jti: textOf(claims.jti, JTI, "jti"),
    method: textOf(claims.htm, /^[A-Z]{1,16}$/, "htm"),
    url: textOf(claims.htu, /^[\x21-\x7e]{1,2048}$/, "htu"),
    issuedAt: instant(claims.iat),
    nonce: claims.nonce === undefined ? null : textOf(claims.nonce, NONCE, "nonce"),
    accessTokenSha256: claims.ath === undefined ? null : textOf(claims.ath, /^[A-Za-z0-9_-]{43}$/, "ath"),
    publicKey,
    thumbprint: formatThumbprint(publicKey),
  };
}

/** Signs a proof for one request. @see RFC 9449 §4.2 */
export function issueDpopProof(options: {
  readonly method: string;
  readonly url: string;
  readonly jti: string;
  /** Unix seconds. */
  readonly now: number;
  readonly signer: Signer;
  readonly nonce?: string;
  readonly accessToken?: string;
}): string {
  const { method, url, jti, now, signer, nonce, accessToken } = options;
  return issueJws({
    header: { typ: FORM.typ, jwk: { ...formatP256Jwk(signer.publicKey) } },
    payload: {
      htm: method,
      htu: url,
      iat: now,
      jti,
      ...(nonce === undefined ? {} : { nonce }),
      ...(accessToken === undefined ? {} : { ath: formatAccessTokenDigest(accessToken) }),
    },
    signer,
  });
}

/** `ath` of an access token. */
export function formatAccessTokenDigest(accessToken: string): string {
  return encodeBase64url(sha256(encodeUtf8(accessToken)));
}

function parseKey(jwk: JsonObject[string] | undefined): PublicKey {
  if (!isJsonObject(jwk)) return refuse("jwk");
  if (Object.keys(jwk).some((name) => !JWK_MEMBERS.includes(name))) refuse("jwk");
  try {
    return parseP256Jwk(jwk);
  } catch (cause) {
    if (!(cause instanceof TrustWardenError)) throw cause;
    throw new TrustWardenError("dpop_invalid", { reason: "jwk" }, { cause });
  }
}

function textOf(value: JsonObject[string] | undefined, pattern: RegExp, name: string): string {
  return typeof value === "string" && pattern.test(value) ? value : refuse(name);
}

function instant(value: JsonObject[string] | undefined): number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0 ? value : refuse("iat");
}

function refuse(reason: string): never {
  throw new TrustWardenError("dpop_invalid", { reason });
}
