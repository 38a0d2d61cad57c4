/** Keys for tests: made here, used here, worth nothing. */
import { createPublicKey, generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import type { Signer } from "@trustwarden/core/signer.ts";

/** A P-256 signer whose private key is at hand, as an attacker's own key would be; a fresh one unless it is given. */
export function createTestSigner(
  privateKey = generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey,
): Signer & { readonly privateKey: KeyObject } {
  return {
    algorithm: "ES256",
    privateKey,
    publicKey: createPublicKey(privateKey),
    sign: (data) => sign("sha256", data, { key: privateKey, dsaEncoding: "ieee-p1363" }),
  };
}
