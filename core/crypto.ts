/**
 * The only place in core that touches a cryptography library: hashes, signature checks and public keys.
 *
 * Deliberately small, so that a browser build can replace this one file. Making signatures is the business of a
 * `Signer`; nothing here holds a private key. P-256 signatures are 64 bytes r||s everywhere except inside X.509.
 */
import {
  createHash,
  createHmac,
  createPublicKey,
  type KeyObject,
  timingSafeEqual,
  verify,
} from "node:crypto";
import { encodeBase64url, encodeUtf8 } from "./bytes.ts";
import { TrustWardenError } from "./error.ts";

/** An imported public key. Importing costs 0.3 ms, checking 0.1 ms: keep it beside the certificate it came from. */
export type PublicKey = KeyObject;

/** SHA-256 digest, 32 bytes. */
export function sha256(data: Uint8Array): Uint8Array {
  return createHash("sha256").update(data).digest();
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
 * @throws TrustWardenError `public_key_refused` for any other algorithm or curve, or a point off the curve.
 */
export function parseP256PublicKey(spki: Uint8Array): PublicKey {
  const key = importSpki(spki);
  if (key.asymmetricKeyType !== "ec" || key.asymmetricKeyDetails?.namedCurve !== "prime256v1") {
    throw new TrustWardenError("public_key_refused", { reason: "not P-256" });
  }
  // One spelling a key: compressed points and odd parameters re-encode differently.
  if (!Buffer.from(reencode(key)).equals(spki)) {
    throw new TrustWardenError("public_key_refused", { reason: "not the canonical encoding" });
  }
  return key;
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
  return key.export({ type: "spki", format: "der" });
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

/** OpenSSL imports the point at infinity as a key, and fails when it is to write it down. */
function reencode(key: PublicKey): Uint8Array {
  try {
    return encodeSpki(key);
  } catch (cause) {
    throw new TrustWardenError("public_key_refused", { reason: "not a point" }, { cause });
  }
}

function importJwk(jwk: Readonly<Record<string, string>>): PublicKey {
  try {
    return createPublicKey({ key: { ...jwk }, format: "jwk" });
  } catch (cause) {
    throw new TrustWardenError("public_key_refused", { reason: "not a public key" }, { cause });
  }
}
