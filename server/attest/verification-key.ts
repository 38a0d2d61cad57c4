/**
 * Public keys of token issuers: read from a JWK Set, each usable for one kind of algorithm only.
 *
 * A key that is too weak, too large, private, symmetric or meant for encryption is left out, as if it were not there: a
 * set may hold keys for other purposes, and an oct key beside an RSA one is how HS256 is passed off as RS256.
 *
 * @see RFC 7517 §4 and §5; RFC 8725 §3.1 and §3.5
 */
import { parseBase64url } from "@trustwarden/core/bytes.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { isJsonObject, type Json, type JsonObject } from "@trustwarden/core/json.ts";
import { type CryptoKey, importJWK } from "jose";
import { refused, unavailable } from "./refusal.ts";

/** Algorithms that an issuer may be configured with; symmetric ones and `none` have no name here. */
export const ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "ES256", "ES384"] as const;
export type Algorithm = (typeof ALGORITHMS)[number];

/** Issuers publish a handful. */
const MAX_KEYS = 100;
/** Below 2048 bits is broken soon, above 4096 only costs time. */
const MIN_RSA_BITS = 2048;
const MAX_RSA_BITS = 4096;
/** 65537; every platform uses it, and small ones have been the ruin of careless verifiers. */
const RSA_EXPONENT = "AQAB";
const FAMILY = {
  RS256: "RSA",
  RS384: "RSA",
  RS512: "RSA",
  PS256: "RSA",
  ES256: "P-256",
  ES384: "P-384",
} as const satisfies Record<Algorithm, Family>;

type Family = "RSA" | "P-256" | "P-384";

/** One usable public key. */
export interface VerificationKey {
  readonly kid: string | undefined;
  /** The one algorithm that its publisher allows, if it says so. */
  readonly alg: string | undefined;
  readonly family: Family;
  /** Public members only. */
  readonly jwk: Readonly<Record<string, string>>;
}

/**
 * The usable keys of a JWK Set.
 *
 * @throws TrustWardenError `attestation_unavailable` for anything but a set of at most 100 keys.
 */
export function parseKeySet(set: JsonObject): readonly VerificationKey[] {
  const { keys } = set;
  if (!Array.isArray(keys) || keys.length > MAX_KEYS) throw unavailable("not a JWK Set");
  return keys.flatMap((jwk: Json) => (isJsonObject(jwk) ? usableKey(jwk) : []));
}

/**
 * The one key that a token names, or the only one there is.
 *
 * @throws TrustWardenError `attestation_refused`; undefined is returned for a name that is not in the set.
 */
export function findKey(
  keys: readonly VerificationKey[],
  kid: string | undefined,
): VerificationKey | undefined {
  const [first, second] = keys;
  if (kid === undefined) {
    if (second !== undefined) throw refused("a token must name its key where there are several");
    return first;
  }
  if (second === undefined && first?.kid === undefined) return first;
  const named = keys.filter((key) => key.kid === kid);
  if (named.length > 1) throw refused("two keys have this name");
  return named[0];
}

/**
 * The key, ready to verify with one algorithm.
 *
 * @throws TrustWardenError `attestation_refused` when the key is for another one.
 */
export async function importFor(key: VerificationKey, algorithm: Algorithm): Promise<CryptoKey> {
  if (key.family !== FAMILY[algorithm] || (key.alg !== undefined && key.alg !== algorithm)) {
    throw refused("the key is for another algorithm");
  }
  let imported: Awaited<ReturnType<typeof importJWK>>;
  try {
    imported = await importJWK({ ...key.jwk, kty: key.family === "RSA" ? "RSA" : "EC" }, algorithm);
  } catch (cause) {
    throw refused("the key is not one", cause);
  }
  if (imported instanceof Uint8Array) throw refused("the key is symmetric");
  return imported;
}

function usableKey(jwk: JsonObject): readonly VerificationKey[] {
  const { use, kid, alg, d, k } = jwk;
  const isForSignatures = use === undefined || use === "sig";
  if (
    !isForSignatures ||
    d !== undefined ||
    k !== undefined ||
    !isOptionalText(kid) ||
    !isOptionalText(alg)
  ) {
    return [];
  }
  const members = rsaMembers(jwk) ?? ecMembers(jwk);
  return members === undefined ? [] : [{ kid, alg, ...members }];
}

function rsaMembers({ kty, n, e }: JsonObject): Pick<VerificationKey, "family" | "jwk"> | undefined {
  if (kty !== "RSA" || typeof n !== "string" || e !== RSA_EXPONENT) return undefined;
  const bits = bitsOf(n);
  if (bits < MIN_RSA_BITS || bits > MAX_RSA_BITS) return undefined;
  return { family: "RSA", jwk: { n, e } };
}

function ecMembers({ kty, crv, x, y }: JsonObject): Pick<VerificationKey, "family" | "jwk"> | undefined {
  if (kty !== "EC" || (crv !== "P-256" && crv !== "P-384")) return undefined;
  if (typeof x !== "string" || typeof y !== "string") return undefined;
  return { family: crv, jwk: { crv, x, y } };
}

/** Bits of an unpadded base64url integer; 0 when it is not one. */
function bitsOf(n: string): number {
  try {
    const bytes = parseBase64url(n);
    const [first = 0] = bytes;
    return first === 0 ? 0 : bytes.length * 8 - (Math.clz32(first) - 24);
  } catch (error) {
    // A number in another spelling is no usable key; leaving it out is the refusal.
    if (error instanceof TrustWardenError) return 0;
    throw error;
  }
}

function isOptionalText(value: Json | undefined): value is string | undefined {
  return value === undefined || (typeof value === "string" && value !== "");
}
