/**
 * The only place in core that touches a cryptography library: hashes, signature checks and public keys.
 *
 * Deliberately small, so that a browser build can replace this one file. Making signatures is the business of a
 * `Signer`; nothing here holds a private key. P-256 signatures are 64 bytes r||s everywhere except inside X.509.
 */
import { createHmac, createPublicKey, hash, type KeyObject, timingSafeEqual, verify } from "node:crypto";
import { concatBytes, encodeBase64url, encodeUtf8, parseBase64url } from "./bytes.ts";
import { TrustWardenError } from "./error.ts";
import { isP256Point } from "./p256-point.ts";

/** SubjectPublicKeyInfo of a P-256 key up to the two coordinates of its uncompressed point (RFC 5480). */
const P256_SPKI_PREFIX = Buffer.from("3059301306072a8648ce3d020106082a8648ce3d03010703420004", "hex");
const P256_SPKI_BYTES = P256_SPKI_PREFIX.length + 64;

const DIGEST_BYTES = 32;

/** An imported public key. Importing costs 0.3 ms, checking 0.1 ms: keep it beside the certificate it came from. */
export type PublicKey = KeyObject;

/** SHA-256 digest, 32 bytes. */
export function sha256(data: Uint8Array): Uint8Array {
  // As text, since a buffer from outside the engine's heap costs as much again as the hash of a kilobyte, and its collection.
  const text = hash("sha256", data, "latin1");
  const digest = new Uint8Array(DIGEST_BYTES);
  for (let index = 0; index < DIGEST_BYTES; index += 1) digest[index] = text.charCodeAt(index);
  return digest;
}

/** HMAC-SHA-256, 32 bytes; our salted commitments (`docs/threat-model.md`, privacy). */
export function hmacSha256(key: Uint8Array, data: Uint8Array): Uint8Array {
  return createHmac("sha256", key).update(data).digest();
}

/** Constant-time equality, for anything secret or derived from a secret. */
export function isEqualSecret(left: Uint8Array, right: Uint8Array): boolean {
  return left.length === right.length && timingSafeEqual(left, right);
}

/**
 * A P-256 public key from SubjectPublicKeyInfo DER.
 *
 * @throws TrustWardenError `public_key_refused` for any other algorithm, curve or spelling, or a point off the curve.
 */
export function parseP256PublicKey(spki: Uint8Array): PublicKey {
  // One spelling a key, or one key could be certified again as another. OpenSSL is no judge of that: it takes
  // compressed and hybrid points, and the point at infinity, and writes each down as it came.
  if (!isUncompressedP256(spki)) {
    throw new TrustWardenError("public_key_refused", { reason: "not an uncompressed P-256 key" });
  }
  return importSpki(spki);
}

/**
 * Refuses what `parseP256PublicKey` refuses, without importing the key: for whoever certifies it and checks nothing with it.
 *
 * @throws TrustWardenError `public_key_refused`.
 */
export function requireP256Key(spki: Uint8Array): void {
  if (!isUncompressedP256(spki) || !isP256Point(spki.subarray(P256_SPKI_PREFIX.length)))
    throw new TrustWardenError("public_key_refused", { reason: "not an uncompressed P-256 key" });
}

/**
 * An Ed25519 public key from its 32 raw bytes.
 *
 * @throws TrustWardenError `public_key_refused`.
 */
export function parseEd25519PublicKey(raw: Uint8Array): PublicKey {
  if (raw.length !== 32) throw new TrustWardenError("public_key_refused", { reason: "not 32 bytes" });
  return importJwk({ kty: "OKP", crv: "Ed25519", x: encodeBase64url(raw) });
}

/**
 * A P-256 public key from a JWK.
 *
 * @throws TrustWardenError `public_key_refused`.
 */
export function parseP256Jwk(jwk: {
  readonly kty?: unknown;
  readonly crv?: unknown;
  readonly x?: unknown;
  readonly y?: unknown;
}): PublicKey {
  if (jwk.kty !== "EC" || jwk.crv !== "P-256" || typeof jwk.x !== "string" || typeof jwk.y !== "string") {
    throw new TrustWardenError("public_key_refused", { reason: "not a P-256 JWK" });
  }
  return importJwk({ kty: "EC", crv: "P-256", x: jwk.x, y: jwk.y });
}

/** SubjectPublicKeyInfo DER of a key. */
export function encodeSpki(key: PublicKey): Uint8Array {
  if (key.asymmetricKeyDetails?.namedCurve !== "prime256v1")
    return key.export({ type: "spki", format: "der" });
  // OpenSSL's encoder takes five times as long as the coordinates with the one prefix that every such key has.
  const { x, y } = formatP256Jwk(key);
  return concatBytes(P256_SPKI_PREFIX, parseBase64url(x), parseBase64url(y));
}

/** The public JWK members of a P-256 key. */
export function formatP256Jwk(key: PublicKey): {
  readonly kty: "EC";
  readonly crv: "P-256";
  readonly x: string;
  readonly y: string;
} {
  const { x, y } = key.export({ format: "jwk" });
  if (x === undefined || y === undefined) throw new Error("a P-256 key has two coordinates");
  return { kty: "EC", crv: "P-256", x, y };
}

/** RFC 7638 thumbprint of a P-256 key, base64url. */
export function formatThumbprint(key: PublicKey): string {
  const { x, y } = formatP256Jwk(key);
  return thumbprintOf(x, y);
}

/** `formatThumbprint` of a key in the form that `parseP256PublicKey` takes, which it must have taken. */
export function formatThumbprintOf(spki: Uint8Array): string {
  const point = P256_SPKI_PREFIX.length;
  return thumbprintOf(
    encodeBase64url(spki.subarray(point, point + 32)),
    encodeBase64url(spki.subarray(point + 32)),
  );
}

function thumbprintOf(x: string, y: string): string {
  return encodeBase64url(sha256(encodeUtf8(`{"crv":"P-256","kty":"EC","x":"${x}","y":"${y}"}`)));
}

/** Whether a 64-byte r||s P-256 signature over SHA-256(data) is good. */
export function isP256Signature(key: PublicKey, data: Uint8Array, signature: Uint8Array): boolean {
  if (signature.length !== 64) return false;
  return verify("sha256", data, { key, dsaEncoding: "ieee-p1363" }, signature);
}

/** Whether a DER-encoded P-256 signature over SHA-256(data) is good; X.509 only. */
export function isP256DerSignature(key: PublicKey, data: Uint8Array, signature: Uint8Array): boolean {
  return verify("sha256", data, { key, dsaEncoding: "der" }, signature);
}

/** Whether an Ed25519 signature is good. */
export function isEd25519Signature(key: PublicKey, data: Uint8Array, signature: Uint8Array): boolean {
  return signature.length === 64 && verify(null, data, key, signature);
}

function importSpki(spki: Uint8Array): PublicKey {
  try {
    return createPublicKey({ key: Buffer.from(spki), format: "der", type: "spki" });
  } catch (cause) {
    throw new TrustWardenError("public_key_refused", { reason: "not a public key" }, { cause });
  }
}

/** Whether this is the form that we certify: named curve, uncompressed point, nothing behind. */
function isUncompressedP256(spki: Uint8Array): boolean {
  return (
    spki.length === P256_SPKI_BYTES && P256_SPKI_PREFIX.every((expected, index) => spki[index] === expected)
  );
}

function importJwk(jwk: Readonly<Record<string, string>>): PublicKey {
  try {
    return createPublicKey({ key: { ...jwk }, format: "jwk" });
  } catch (cause) {
    throw new TrustWardenError("public_key_refused", { reason: "not a public key" }, { cause });
  }
}
