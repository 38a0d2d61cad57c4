import { createHmac, generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import type { JsonObject } from "@trustwarden/core/json.ts";
import { describe, expect, it } from "vitest";
import { isJwtSignature, JWT_SVID_ALGORITHMS, parseJwtKey } from "./jwt-signature.ts";

const data = Buffer.from("header.payload");
const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 });
const keys: Readonly<Record<string, { readonly privateKey: KeyObject; readonly publicKey: KeyObject }>> = {
  ES256: generateKeyPairSync("ec", { namedCurve: "P-256" }),
  ES384: generateKeyPairSync("ec", { namedCurve: "P-384" }),
  ES512: generateKeyPairSync("ec", { namedCurve: "P-521" }),
};

/** Signs as RFC 7518 has it, by other means than the code under test: its own options for each family. */
function signWith(algorithm: string): { readonly signature: Buffer; readonly publicKey: KeyObject } {
  const hash = `sha${algorithm.slice(2)}`;
  const pair = keys[algorithm];
  if (pair !== undefined)
    return {
      signature: sign(hash, data, { key: pair.privateKey, dsaEncoding: "ieee-p1363" }),
      publicKey: pair.publicKey,
    };
  const padding = algorithm.startsWith("PS")
    ? { padding: 6, saltLength: Number(algorithm.slice(2)) / 8 }
    : {};
  return { signature: sign(hash, data, { key: rsa.privateKey, ...padding }), publicKey: rsa.publicKey };
}

const jwkOf = (key: KeyObject, more: JsonObject = {}): JsonObject => ({
  ...JSON.parse(JSON.stringify(key.export({ format: "jwk" }))),
  ...more,
});

describe("signatures of JWT-SVIDs", () => {
  it.each([...JWT_SVID_ALGORITHMS])(
    "JV-2 by %s are good under its key, read from a JWK, and under no other algorithm",
    (algorithm) => {
      const { signature, publicKey } = signWith(algorithm);
      const key = parseJwtKey(jwkOf(publicKey));
      if (key === undefined) expect.unreachable("a key of this algorithm was left out");
      for (const named of JWT_SVID_ALGORITHMS)
        expect(isJwtSignature({ algorithm: named, key, data, signature }), named).toBe(named === algorithm);
      const changed = Buffer.from("header.PAYLOAD");
      expect(isJwtSignature({ algorithm, key, data: changed, signature })).toBe(false);
      const bent = Buffer.from(signature);
      bent[7] = (bent[7] ?? 0) ^ 1;
      expect(isJwtSignature({ algorithm, key, data, signature: bent })).toBe(false);
      expect(isJwtSignature({ algorithm, key, data, signature: signature.subarray(1) })).toBe(false);
    },
  );

  it("JV-6: no key is used as another kind's, and PSS has the salt of RFC 7518 alone", () => {
    const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    const der = sign("sha256", data, privateKey);
    for (const algorithm of ["RS256", "PS256"])
      expect(isJwtSignature({ algorithm, key: publicKey, data, signature: der }), algorithm).toBe(false);
    const short = sign("sha384", data, { key: privateKey, dsaEncoding: "ieee-p1363" });
    expect(isJwtSignature({ algorithm: "ES384", key: publicKey, data, signature: short })).toBe(false);
    const salted = (saltLength: number) =>
      isJwtSignature({
        algorithm: "PS256",
        key: rsa.publicKey,
        data,
        signature: sign("sha256", data, { key: rsa.privateKey, padding: 6, saltLength }),
      });
    expect([salted(32), salted(20), salted(0)]).toEqual([true, false, false]);
  });

  it("are good by the one algorithm that the key's JWK names, where it names one", () => {
    const { signature, publicKey } = signWith("RS256");
    const judge = (alg: string) => {
      const key = parseJwtKey(jwkOf(publicKey, { alg }));
      return key !== undefined && isJwtSignature({ algorithm: "RS256", key, data, signature });
    };
    expect(["RS256", "RS384", "PS256"].map(judge)).toEqual([true, false, false]);
  });

  it("JV-3 and JV-4: neither none nor an HMAC keyed with the public key is one, and JV-5 nor is EdDSA", () => {
    const { publicKey } = signWith("ES256");
    const pem = publicKey.export({ type: "spki", format: "pem" });
    const hmac = createHmac("sha256", pem).update(data).digest();
    expect([...JWT_SVID_ALGORITHMS].filter((name) => /none|^HS|EdDSA/.test(name))).toEqual([]);
    for (const algorithm of ["none", "HS256", "EdDSA", "constructor"])
      expect(isJwtSignature({ algorithm, key: publicKey, data, signature: hmac })).toBe(false);
    const ed25519 = generateKeyPairSync("ed25519").publicKey;
    expect(parseJwtKey(jwkOf(ed25519))).toBeUndefined();
  });
});

describe("keys of JWT bundles", () => {
  it("JB-6 are left out when they are of another kind, for another algorithm, not for verifying, or too short", () => {
    const { publicKey } = signWith("ES256");
    expect(parseJwtKey({ kty: "oct", k: "AAAA" })).toBeUndefined();
    expect(parseJwtKey({ kty: "future" })).toBeUndefined();
    expect(parseJwtKey(jwkOf(publicKey, { crv: "secp256k1" }))).toBeUndefined();
    expect(parseJwtKey(jwkOf(publicKey, { alg: "ECDH-ES" }))).toBeUndefined();
    expect(parseJwtKey(jwkOf(publicKey, { key_ops: ["encrypt"] }))).toBeUndefined();
    const short = generateKeyPairSync("rsa", { modulusLength: 1024 }).publicKey;
    expect(parseJwtKey(jwkOf(short))).toBeUndefined();
    expect(parseJwtKey(jwkOf(rsa.publicKey))).toBeDefined();
  });

  it("are refused when they are malformed or private", () => {
    const refused = expect.objectContaining({ code: "workload_answer_refused" });
    expect(() => parseJwtKey({ kty: "RSA", n: "AQ" })).toThrow(refused);
    expect(() => parseJwtKey({ kty: "EC", crv: "P-384", x: "AA", y: "AA" })).toThrow(refused);
    expect(() => parseJwtKey(jwkOf(rsa.privateKey))).toThrow(refused);
  });
});
