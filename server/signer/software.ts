/**
 * Signers whose private key is in this process's memory.
 *
 * The key is held in a closure as an OpenSSL handle: it is no property of the signer, so that printing, logging or
 * serialising a signer shows nothing. Other custodies (PKCS#11, AWS KMS) are other files beside this one.
 */
import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { Signer } from "@trustwarden/core/signer.ts";

/**
 * A signer over an unencrypted PKCS#8 private key: P-256 gives ES256, Ed25519 gives Ed25519.
 *
 * @throws TrustWardenError `config_invalid` for anything else.
 */
export function createSoftwareSigner(privateKeyPkcs8: Uint8Array): Signer {
  const privateKey = importPrivateKey(privateKeyPkcs8);
  const publicKey = createPublicKey(privateKey);
  const type = privateKey.asymmetricKeyType;
  if (type === "ed25519") {
    return { algorithm: "Ed25519", publicKey, sign: (data) => sign(null, data, privateKey) };
  }
  if (type === "ec" && privateKey.asymmetricKeyDetails?.namedCurve === "prime256v1") {
    const key = { key: privateKey, dsaEncoding: "ieee-p1363" } as const;
    return { algorithm: "ES256", publicKey, sign: (data) => sign("sha256", data, key) };
  }
  throw new TrustWardenError("config_invalid", { reason: "the private key is neither P-256 nor Ed25519" });
}

/** A fresh private key as unencrypted PKCS#8 DER; seal it before it is written anywhere. */
export function createPrivateKeyPkcs8(algorithm: Signer["algorithm"]): Uint8Array {
  const { privateKey } =
    algorithm === "ES256"
      ? generateKeyPairSync("ec", { namedCurve: "P-256" })
      : generateKeyPairSync("ed25519");
  return privateKey.export({ type: "pkcs8", format: "der" });
}

function importPrivateKey(pkcs8: Uint8Array): KeyObject {
  try {
    return createPrivateKey({ key: Buffer.from(pkcs8), format: "der", type: "pkcs8" });
  } catch {
    // OpenSSL's message may quote the input, so the cause stays here.
    throw new TrustWardenError("config_invalid", { reason: "not a PKCS#8 private key" });
  }
}
