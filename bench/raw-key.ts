/** P-256 without TrustWarden: what the machine can do at best, one thread. */
import { generateKeyPairSync, type KeyObject, sign, verify } from "node:crypto";

/** A key as `node:crypto` has it. */
export function createRawKey(): { readonly privateKey: KeyObject; readonly publicKey: KeyObject } {
  return generateKeyPairSync("ec", { namedCurve: "P-256" });
}

/** A function that checks `count` good signatures over messages of the given length. */
export function createRawVerification(count: number, messageBytes: number): () => void {
  const { privateKey, publicKey } = createRawKey();
  const key = { key: publicKey, dsaEncoding: "ieee-p1363" } as const;
  const message = new Uint8Array(messageBytes);
  const signature = sign("sha256", message, { key: privateKey, dsaEncoding: "ieee-p1363" });
  return () => {
    for (let done = 0; done < count; done += 1) {
      if (!verify("sha256", message, key, signature)) throw new Error("a good signature was refused");
    }
  };
}
