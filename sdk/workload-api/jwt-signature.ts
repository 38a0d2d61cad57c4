/**
 * Signatures of JWT-SVIDs by all nine algorithms that the standard names, for workloads that meet other issuers than ours.
 *
 * Our own server and guard read ES256 alone (`core/agentid/jwt-svid.ts`) and never come here.
 *
 * @see JWT-SVID §2.1; RFC 7518 §3.3 to §3.5
 */
import { constants, createPublicKey, type KeyObject, verify } from "node:crypto";
import type { JsonObject } from "@trustwarden/core/json.ts";
import { refused } from "./messages.ts";

/** RFC 7518 §3.3. */
const MIN_RSA_BITS = 2048;
/** A larger key makes each check cost more than it is worth. */
const MAX_RSA_BITS = 8192;

/** How one algorithm signs: ECDSA on one curve, or RSA with one padding. */
type Algorithm =
  | { readonly hash: string; readonly curve: string }
  | { readonly hash: string; readonly padding: number };

const { RSA_PKCS1_PADDING: PKCS1, RSA_PKCS1_PSS_PADDING: PSS } = constants;
const ALGORITHMS: ReadonlyMap<string, Algorithm> = new Map<string, Algorithm>([
  ["ES256", { hash: "sha256", curve: "prime256v1" }],
  ["ES384", { hash: "sha384", curve: "secp384r1" }],
  ["ES512", { hash: "sha512", curve: "secp521r1" }],
  ["RS256", { hash: "sha256", padding: PKCS1 }],
  ["RS384", { hash: "sha384", padding: PKCS1 }],
  ["RS512", { hash: "sha512", padding: PKCS1 }],
  ["PS256", { hash: "sha256", padding: PSS }],
  ["PS384", { hash: "sha384", padding: PSS }],
  ["PS512", { hash: "sha512", padding: PSS }],
]);
const CURVES: ReadonlySet<unknown> = new Set(["P-256", "P-384", "P-521"]);
/** The one algorithm of a key whose JWK names it (RFC 7517 §4.4). */
const named = new WeakMap<KeyObject, string>();

/** Every `alg` that a JWT-SVID may have. */
export const JWT_SVID_ALGORITHMS: ReadonlySet<string> = new Set(ALGORITHMS.keys());

/**
 * Whether the signature is good. A key of another kind or curve than the algorithm's is never asked, nor one whose JWK
 * names another algorithm, so that no token chooses how its key is used.
 */
export function isJwtSignature({
  algorithm,
  key,
  data,
  signature,
}: {
  readonly algorithm: string;
  readonly key: KeyObject;
  readonly data: Uint8Array;
  readonly signature: Uint8Array;
}): boolean {
  const known = ALGORITHMS.get(algorithm);
  if (known === undefined || (named.get(key) ?? algorithm) !== algorithm) return false;
  if ("curve" in known) {
    if (key.asymmetricKeyDetails?.namedCurve !== known.curve) return false;
    return verify(known.hash, data, { key, dsaEncoding: "ieee-p1363" }, signature);
  }
  if (key.asymmetricKeyType !== "rsa") return false;
  const { padding } = known;
  const saltLength = padding === PSS ? { saltLength: constants.RSA_PSS_SALTLEN_DIGEST } : {};
  return verify(known.hash, data, { key, padding, ...saltLength }, signature);
}

/**
 * The public key of a JWK; undefined for a kind that signs no JWT-SVID, and for RSA keys of an odd size.
 *
 * @throws TrustWardenError `workload_answer_refused` for a malformed key of a kind that does, and for a private one.
 */
export function parseJwtKey(jwk: JsonObject): KeyObject | undefined {
  const { kty, crv, alg, key_ops, n, e, x, y, d } = jwk;
  if (alg !== undefined && !(typeof alg === "string" && JWT_SVID_ALGORITHMS.has(alg))) return undefined;
  if (Array.isArray(key_ops) && !key_ops.includes("verify")) return undefined;
  if (kty !== "RSA" && !(kty === "EC" && CURVES.has(crv))) return undefined;
  if (d !== undefined) throw refused("a private key in a bundle");
  const key = importJwk(kty === "RSA" ? { kty, n, e } : { kty, crv, x, y });
  if (typeof alg === "string") named.set(key, alg);
  return isOddSize(key) ? undefined : key;
}

/** Of an RSA key. @throws TrustWardenError `workload_answer_refused` for an exponent that no such key has. */
function isOddSize({ asymmetricKeyDetails: details = {} }: KeyObject): boolean {
  const { modulusLength: bits = MIN_RSA_BITS, publicExponent = 3n } = details;
  if (publicExponent < 3n || publicExponent % 2n === 0n) throw refused("not a public key");
  return bits < MIN_RSA_BITS || bits > MAX_RSA_BITS;
}

function importJwk(jwk: Readonly<Record<string, unknown>>): KeyObject {
  try {
    return createPublicKey({ key: jwk, format: "jwk" });
  } catch (cause) {
    throw refused("not a public key", cause);
  }
}
