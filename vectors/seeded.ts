/**
 * Keys, certificates and randomness that are the same in every run, so that the vectors are.
 *
 * The keys are made from their names and worth nothing. ECDSA signs with a nonce that is a function of key and message
 * (as RFC 6979 does, though not by its exact derivation), because the vectors have to come out byte for byte the same.
 */
import { createECDH, createHmac, createPrivateKey, createPublicKey, type KeyObject, sign } from "node:crypto";
import { type Authority, createAuthority } from "@trustwarden/core/agentid/authority.ts";
import { formatSpiffeId, parseTrustDomain, type SpiffeId } from "@trustwarden/core/agentid/spiffe-id.ts";
import { createSerial, issueLeafCertificate } from "@trustwarden/core/agentid/svid-profile.ts";
import { concatBytes, encodeBase64url, encodeHex, encodeUtf8 } from "@trustwarden/core/bytes.ts";
import { encodeSpki, sha256 } from "@trustwarden/core/crypto.ts";
import type { Random } from "@trustwarden/core/id.ts";
import type { Signer } from "@trustwarden/core/signer.ts";

/** 2026-11-14T22:13:20Z: the one clock of the vectors, Unix seconds. */
export const NOW = 1_794_694_400;

/** SEC1 DER of a P-256 private key without its public half: header, scalar, curve. */
const SEC1 = {
  head: Buffer.from("30310201010420", "hex"),
  tail: Buffer.from("a00a06082a8648ce3d030107", "hex"),
};
/** PKCS #8 DER of an Ed25519 private key up to its 32 bytes. */
const ED25519_HEAD = Buffer.from("302e020100300506032b657004220420", "hex");
/** The order of P-256. */
const ORDER = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n;

/** A P-256 signer whose key and signatures are functions of its name. */
export function seededSigner(name: string): Signer {
  const { scalar, privateKey } = seededKey(name);
  return {
    algorithm: "ES256",
    publicKey: createPublicKey(privateKey),
    sign: (data) => signWith(scalar, data),
  };
}

/** PKCS #8 DER of the key of `seededSigner`, for cases in which an SDK signs. */
export function seededPkcs8(name: string): Uint8Array {
  return new Uint8Array(seededKey(name).privateKey.export({ format: "der", type: "pkcs8" }));
}

/** An Ed25519 signer whose key is a function of its name. */
export function seededLogSigner(name: string): Signer {
  const key = concatBuffers(ED25519_HEAD, sha256(encodeUtf8(`trustwarden vectors ${name}`)));
  const privateKey = createPrivateKey({ key, format: "der", type: "pkcs8" });
  return {
    algorithm: "Ed25519",
    publicKey: createPublicKey(privateKey),
    sign: (data) => sign(null, data, privateKey),
  };
}

/** Bytes that are a function of the name and of how many were taken before. */
export function seededRandom(name: string): Random {
  let count = 0;
  return (length) => {
    count += 1;
    return sha256(encodeUtf8(`${name} ${count}`)).slice(0, length);
  };
}

/** A trust domain with its keys. */
export interface VectorDomain extends Authority {
  readonly intermediateSigner: Signer;
  readonly rootSigner: Signer;
}

/** An identity of a trust domain. */
export interface VectorParty {
  readonly id: SpiffeId;
  readonly signer: Signer;
  /** DER, leaf first, without the root. */
  readonly chain: readonly Uint8Array[];
  /** base64url SHA-256 of the leaf. */
  readonly sha256: string;
  /** SubjectPublicKeyInfo DER. */
  readonly spki: Uint8Array;
}

/** The trust domain of a name. */
export function createVectorDomain(name: string): VectorDomain {
  const rootSigner = seededSigner(`${name} root`);
  const intermediateSigner = seededSigner(`${name} intermediate`);
  const authority = createAuthority({
    trustDomain: parseTrustDomain(name),
    rootSigner,
    intermediateSigner,
    jwtSigner: seededSigner(`${name} jwt`),
    random: seededRandom(name),
    now: NOW - 3600,
  });
  return { ...authority, rootSigner, intermediateSigner };
}

/** A party of a trust domain, with an SVID of one hour. */
export function createVectorParty(domain: VectorDomain, segments: readonly string[], now = NOW): VectorParty {
  const id = formatSpiffeId(domain.trustDomain, segments);
  const signer = seededSigner(id);
  const spki = encodeSpki(signer.publicKey);
  const leaf = issueLeafCertificate({
    id,
    spki,
    ca: domain.intermediate,
    signer: domain.intermediateSigner,
    serial: createSerial(seededRandom(`${id} ${now}`)),
    now,
    notAfter: now + 3600,
  });
  return { id, signer, chain: [leaf, domain.intermediate.der], sha256: encodeBase64url(sha256(leaf)), spki };
}

function seededKey(name: string): { readonly scalar: Uint8Array; readonly privateKey: KeyObject } {
  const scalar = sha256(encodeUtf8(`trustwarden vectors ${name}`));
  const key = concatBuffers(SEC1.head, scalar, SEC1.tail);
  return { scalar, privateKey: createPrivateKey({ key, format: "der", type: "sec1" }) };
}

/** s = (z + r d) / k, with the nonce k from an HMAC of the message under the key. */
function signWith(scalar: Uint8Array, data: Uint8Array): Uint8Array {
  const digest = sha256(data);
  const k = toNumber(createHmac("sha256", scalar).update(digest).digest()) % ORDER;
  const curve = createECDH("prime256v1");
  curve.setPrivateKey(toBytes(k));
  const r = toNumber(curve.getPublicKey().subarray(1, 33)) % ORDER;
  const s = (inverse(k) * (toNumber(digest) + r * (toNumber(scalar) % ORDER))) % ORDER;
  if (r === 0n || s === 0n) throw new Error("a nonce that cannot be used");
  return concatBytes(toBytes(r), toBytes(s));
}

/** By Fermat: the order is a prime. */
function inverse(value: bigint): bigint {
  let result = 1n;
  let base = value % ORDER;
  for (let exponent = ORDER - 2n; exponent > 0n; exponent >>= 1n) {
    if ((exponent & 1n) === 1n) result = (result * base) % ORDER;
    base = (base * base) % ORDER;
  }
  return result;
}

function toNumber(bytes: Uint8Array): bigint {
  return BigInt(`0x${encodeHex(bytes)}`);
}

function toBytes(value: bigint): Uint8Array {
  return new Uint8Array(Buffer.from(value.toString(16).padStart(64, "0"), "hex"));
}

function concatBuffers(...parts: readonly Uint8Array[]): Buffer {
  return Buffer.concat(parts);
}
