/**
 * The browser's `core/crypto.ts`: hashes, signature checks and public keys in plain JavaScript.
 *
 * WebCrypto answers by promises, and the verifier is synchronous from end to end, so that a proof is checked by the very
 * code of the SDK; hence a pure implementation. It only verifies: nothing here sees a secret. A test holds this file and
 * the core's side by side, over good and bad keys and signatures.
 *
 * @see docs/decisions/0050-console.md
 */
import { ed25519 } from "@noble/curves/ed25519.js";
import { p256 } from "@noble/curves/nist.js";
import { hmac } from "@noble/hashes/hmac.js";
import { sha256 as hash } from "@noble/hashes/sha2.js";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import {
  concatBytes,
  encodeBase64url,
  encodeHex,
  encodeUtf8,
  isEqualBytes,
  parseBase64url,
} from "./bytes.ts";

/** SubjectPublicKeyInfo of a P-256 key up to the two coordinates of its uncompressed point (RFC 5480). */
const P256_SPKI_PREFIX = Uint8Array.from([
  0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48,
  0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00, 0x04,
]);
/** The same of an Ed25519 key (RFC 8410). */
const ED25519_SPKI_PREFIX = Uint8Array.from([
  0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
]);
const COORDINATE_BYTES = 32;

/** A public key: its kind, and the point as it is written. */
export interface PublicKey {
  readonly kind: "P-256" | "Ed25519";
  /** P-256: the uncompressed point without its first byte, 64 bytes. Ed25519: 32 bytes. */
  readonly raw: Uint8Array;
  /** As Node's keys are compared; the core asks for it by this name. */
  equals(other: PublicKey): boolean;
}

/** SHA-256 digest, 32 bytes. */
export function sha256(data: Uint8Array): Uint8Array {
  return hash(data);
}

/** HMAC-SHA-256, 32 bytes. */
export function hmacSha256(key: Uint8Array, data: Uint8Array): Uint8Array {
  return hmac(hash, key, data);
}

/** Equality without an early end. Nothing in the browser is secret; the core's callers ask for it by this name. */
export function isEqualSecret(left: Uint8Array, right: Uint8Array): boolean {
  if (left.length !== right.length) return false;
  let difference = 0;
  for (const [index, byte] of left.entries()) difference |= byte ^ (right[index] ?? 0);
  return difference === 0;
}

/** A P-256 public key from SubjectPublicKeyInfo DER. @throws TrustWardenError `public_key_refused`. */
export function parseP256PublicKey(spki: Uint8Array): PublicKey {
  const isUncompressed =
    spki.length === P256_SPKI_PREFIX.length + 2 * COORDINATE_BYTES &&
    P256_SPKI_PREFIX.every((byte, index) => spki[index] === byte);
  if (!isUncompressed) throw refused("not an uncompressed P-256 key");
  return p256Key(spki.slice(P256_SPKI_PREFIX.length));
}

/** Refuses what `parseP256PublicKey` refuses. @throws TrustWardenError `public_key_refused`. */
export function requireP256Key(spki: Uint8Array): void {
  parseP256PublicKey(spki);
}

/** An Ed25519 public key from its 32 raw bytes. @throws TrustWardenError `public_key_refused`. */
export function parseEd25519PublicKey(raw: Uint8Array): PublicKey {
  if (raw.length !== 32) throw refused("not 32 bytes");
  return keyOf("Ed25519", raw.slice());
}

/** A P-256 public key from a JWK. @throws TrustWardenError `public_key_refused`. */
export function parseP256Jwk(jwk: {
  readonly kty?: unknown;
  readonly crv?: unknown;
  readonly x?: unknown;
  readonly y?: unknown;
}): PublicKey {
  if (jwk.kty !== "EC" || jwk.crv !== "P-256" || typeof jwk.x !== "string" || typeof jwk.y !== "string") {
    throw refused("not a P-256 JWK");
  }
  try {
    const [x, y] = [parseBase64url(jwk.x), parseBase64url(jwk.y)];
    if (x.length === COORDINATE_BYTES && y.length === COORDINATE_BYTES) return p256Key(concatBytes(x, y));
  } catch (cause) {
    throw new TrustWardenError("public_key_refused", { reason: "not a public key" }, { cause });
  }
  throw refused("not a public key");
}

/** SubjectPublicKeyInfo DER of a key. */
export function encodeSpki({ kind, raw }: PublicKey): Uint8Array {
  return concatBytes(kind === "P-256" ? P256_SPKI_PREFIX : ED25519_SPKI_PREFIX, raw);
}

/** The public JWK members of a P-256 key. */
export function formatP256Jwk({ kind, raw }: PublicKey): {
  readonly kty: "EC";
  readonly crv: "P-256";
  readonly x: string;
  readonly y: string;
} {
  if (kind !== "P-256") throw new Error("a P-256 key has two coordinates");
  const [x, y] = [raw.subarray(0, COORDINATE_BYTES), raw.subarray(COORDINATE_BYTES)];
  return { kty: "EC", crv: "P-256", x: encodeBase64url(x), y: encodeBase64url(y) };
}

/** RFC 7638 thumbprint of a P-256 key, base64url. */
export function formatThumbprint(key: PublicKey): string {
  const { x, y } = formatP256Jwk(key);
  return encodeBase64url(sha256(encodeUtf8(`{"crv":"P-256","kty":"EC","x":"${x}","y":"${y}"}`)));
}

/** `formatThumbprint` of a key in the form that `parseP256PublicKey` takes, which it must have taken. */
export function formatThumbprintOf(spki: Uint8Array): string {
  return formatThumbprint(p256Key(spki.slice(P256_SPKI_PREFIX.length)));
}

/** Whether a 64-byte r||s P-256 signature over SHA-256(data) is good. */
export function isP256Signature(key: PublicKey, data: Uint8Array, signature: Uint8Array): boolean {
  return signature.length === 64 && isP256(key, { data, signature, format: "compact" });
}

/** Whether a DER-encoded P-256 signature over SHA-256(data) is good; X.509 only. */
export function isP256DerSignature(key: PublicKey, data: Uint8Array, signature: Uint8Array): boolean {
  return isP256(key, { data, signature, format: "der" });
}

/** Whether an Ed25519 signature is good. */
export function isEd25519Signature(
  { kind, raw }: PublicKey,
  data: Uint8Array,
  signature: Uint8Array,
): boolean {
  if (kind !== "Ed25519" || signature.length !== 64) return false;
  try {
    // The rules of RFC 8032, as OpenSSL's: no other spelling of a point or of a scalar.
    return ed25519.verify(signature, data, raw, { zip215: false });
  } catch {
    // Bytes that are no signature or no point are a bad signature, and nothing is accepted by it.
    return false;
  }
}

function isP256(
  { kind, raw }: PublicKey,
  signed: {
    readonly data: Uint8Array;
    readonly signature: Uint8Array;
    readonly format: "compact" | "der";
  },
): boolean {
  if (kind !== "P-256") return false;
  try {
    // Both spellings of s are good, as they are to OpenSSL; records are told apart by their payload.
    return p256.verify(signed.signature, signed.data, concatBytes(Uint8Array.of(4), raw), {
      format: signed.format,
      lowS: false,
      prehash: true,
    });
  } catch {
    // Bytes that are no signature are a bad signature, and nothing is accepted by it.
    return false;
  }
}

/** @throws TrustWardenError `public_key_refused` for a point off the curve. */
function p256Key(raw: Uint8Array): PublicKey {
  try {
    p256.Point.fromHex(`04${encodeHex(raw)}`).assertValidity();
  } catch (cause) {
    throw new TrustWardenError("public_key_refused", { reason: "not a public key" }, { cause });
  }
  return keyOf("P-256", raw);
}

function keyOf(kind: PublicKey["kind"], raw: Uint8Array): PublicKey {
  return { kind, raw, equals: (other) => other.kind === kind && isEqualBytes(other.raw, raw) };
}

function refused(reason: string): TrustWardenError {
  return new TrustWardenError("public_key_refused", { reason });
}
