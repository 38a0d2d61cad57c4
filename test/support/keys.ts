/** Keys for tests: made here, used here, worth nothing. */
import { createPublicKey, generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import type { Signer } from "@trustwarden/core/signer.ts";

/** A fresh P-256 signer whose private key is at hand, as an attacker's own key would be. */
export function createTestSigner(): Signer & { readonly privateKey: KeyObject } {
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  return {
    algorithm: "ES256",
    privateKey,
    publicKey: createPublicKey(privateKey),
    sign: (data) => sign("sha256", data, { key: privateKey, dsaEncoding: "ieee-p1363" }),
  };
}
