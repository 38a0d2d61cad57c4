/** The browser's bytes and hashes beside the core's: the same answers, and the same refusals, for good and bad input. */
import { generateKeyPairSync, randomBytes, sign } from "node:crypto";
import * as coreBytes from "@trustwarden/core/bytes.ts";
import * as coreCrypto from "@trustwarden/core/crypto.ts";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import * as bytes from "./bytes.ts";
import * as crypto from "./crypto.ts";

/** What a call gives, or the code that it is refused with. */
function told(run: () => unknown): unknown {
  try {
    return run();
  } catch (error) {
    return error instanceof Error && "code" in error ? error.code : error;
  }
}
const plain = (value: unknown) => (value instanceof Uint8Array ? [...value] : value);

const p256 = generateKeyPairSync("ec", { namedCurve: "P-256" });
const ed25519 = generateKeyPairSync("ed25519");
const p256Spki = p256.publicKey.export({ type: "spki", format: "der" });
const edRaw = ed25519.publicKey.export({ type: "spki", format: "der" }).subarray(12);
const data = new Uint8Array(randomBytes(100));

describe("the browser's bytes", () => {
  it("have the names of the core's", () => {
    expect(Object.keys(bytes).sort()).toEqual(Object.keys(coreBytes).sort());
    expect(Object.keys(crypto).sort()).toEqual(Object.keys(coreCrypto).sort());
  });

  it("write and read what the core does", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 80 }), (array) => {
        expect(bytes.encodeBase64(array)).toBe(coreBytes.encodeBase64(array));
        expect(bytes.encodeBase64url(array)).toBe(coreBytes.encodeBase64url(array));
        expect(bytes.encodeHex(array)).toBe(coreBytes.encodeHex(array));
        expect(plain(bytes.parseBase64(coreBytes.encodeBase64(array)))).toEqual([...array]);
        expect(plain(bytes.parseBase64url(coreBytes.encodeBase64url(array)))).toEqual([...array]);
      }),
      { numRuns: 200 },
    );
  });

  it("refuse each spelling that the core refuses", () => {
    const texts = fc.oneof(fc.string({ maxLength: 12 }), fc.stringMatching(/^[A-Za-z0-9+/_=-]{0,12}$/));
    const odd = [
      "QQ",
      "QR==",
      "QQ==\n",
      " QQ==",
      "QQ=",
      "QQ===",
      "Q",
      "_w",
      "/w==",
      "A-==",
      "=",
      "====",
      "é",
      "QQ==QQ==",
    ];
    const same = (text: string) => {
      const parsers = [
        [bytes.parseBase64, coreBytes.parseBase64],
        [bytes.parseBase64url, coreBytes.parseBase64url],
      ] as const;
      for (const [ours, theirs] of parsers) {
        expect(plain(told(() => ours(text)))).toEqual(plain(told(() => theirs(text))));
      }
    };
    for (const text of odd) same(text);
    fc.assert(fc.property(texts, same), { numRuns: 300 });
  });

  it("refuse what is no UTF-8, and tell equal from unequal", () => {
    expect(told(() => bytes.parseUtf8(Uint8Array.of(0xff)))).toBe("request_malformed");
    expect(bytes.parseUtf8(bytes.encodeUtf8("é"))).toBe("é");
    expect(bytes.isEqualBytes(Uint8Array.of(1, 2), Uint8Array.of(1, 2))).toBe(true);
    expect(bytes.isEqualBytes(Uint8Array.of(1, 2), Uint8Array.of(1, 3))).toBe(false);
    expect(bytes.isEqualBytes(Uint8Array.of(1), Uint8Array.of(1, 3))).toBe(false);
  });
});

describe("the browser's signatures", () => {
  it("hash as the core does", () => {
    expect([...crypto.sha256(data)]).toEqual([...coreCrypto.sha256(data)]);
    expect([...crypto.hmacSha256(edRaw, data)]).toEqual([...coreCrypto.hmacSha256(edRaw, data)]);
    expect(crypto.isEqualSecret(data, data.slice())).toBe(true);
    expect(crypto.isEqualSecret(data, data.slice(1))).toBe(false);
    expect(crypto.isEqualSecret(Uint8Array.of(1), Uint8Array.of(2))).toBe(false);
  });

  it("take what Node signed, in both forms, and no bit less", () => {
    const key = crypto.parseP256PublicKey(p256Spki);
    for (let round = 0; round < 8; round += 1) {
      const message = new Uint8Array(randomBytes(40));
      const compact = new Uint8Array(
        sign("sha256", message, { key: p256.privateKey, dsaEncoding: "ieee-p1363" }),
      );
      const der = new Uint8Array(sign("sha256", message, { key: p256.privateKey, dsaEncoding: "der" }));
      const edSignature = new Uint8Array(sign(null, message, ed25519.privateKey));
      const edKey = crypto.parseEd25519PublicKey(edRaw);
      expect(crypto.isP256Signature(key, message, compact)).toBe(true);
      expect(crypto.isP256DerSignature(key, message, der)).toBe(true);
      expect(crypto.isEd25519Signature(edKey, message, edSignature)).toBe(true);
      const broken = (signature: Uint8Array) => signature.with(20, (signature[20] ?? 0) ^ 1);
      expect(crypto.isP256Signature(key, message, broken(compact))).toBe(false);
      expect(crypto.isP256DerSignature(key, message, broken(der))).toBe(false);
      expect(crypto.isEd25519Signature(edKey, message, broken(edSignature))).toBe(false);
      expect(crypto.isP256Signature(key, data, compact)).toBe(false);
      expect(crypto.isEd25519Signature(edKey, data, edSignature)).toBe(false);
      expect(crypto.isP256Signature(edKey, message, compact)).toBe(false);
      expect(crypto.isEd25519Signature(key, message, edSignature)).toBe(false);
    }
  });

  it("refuse what is no signature without a fuss, as the core does", () => {
    const core = coreCrypto.parseP256PublicKey(p256Spki);
    const key = crypto.parseP256PublicKey(p256Spki);
    for (const signature of [
      new Uint8Array(64),
      new Uint8Array(64).fill(255),
      new Uint8Array(63),
      new Uint8Array(),
    ]) {
      expect(crypto.isP256Signature(key, data, signature)).toBe(
        coreCrypto.isP256Signature(core, data, signature),
      );
      expect(crypto.isP256DerSignature(key, data, signature)).toBe(false);
    }
  });

  it("write keys as the core does and refuse the keys that it refuses", () => {
    const core = coreCrypto.parseP256PublicKey(p256Spki);
    const key = crypto.parseP256PublicKey(p256Spki);
    expect([...crypto.encodeSpki(key)]).toEqual([...coreCrypto.encodeSpki(core)]);
    expect(crypto.formatP256Jwk(key)).toEqual(coreCrypto.formatP256Jwk(core));
    expect(crypto.formatThumbprint(key)).toBe(coreCrypto.formatThumbprint(core));
    expect(crypto.formatThumbprintOf(p256Spki)).toBe(coreCrypto.formatThumbprintOf(p256Spki));
    expect([...crypto.encodeSpki(crypto.parseP256Jwk(crypto.formatP256Jwk(key)))]).toEqual([...p256Spki]);
    const edKey = crypto.parseEd25519PublicKey(edRaw);
    expect(key.equals(crypto.parseP256PublicKey(p256Spki))).toBe(true);
    expect(key.equals(edKey)).toBe(false);
    expect([...crypto.encodeSpki(edKey)]).toEqual([
      ...coreCrypto.encodeSpki(coreCrypto.parseEd25519PublicKey(edRaw)),
    ]);
    const offCurve = new Uint8Array(p256Spki).with(90, (p256Spki[90] ?? 0) ^ 1);
    for (const spki of [offCurve, p256Spki.subarray(1), new Uint8Array(91)]) {
      expect(told(() => crypto.parseP256PublicKey(spki))).toBe("public_key_refused");
      expect(told(() => coreCrypto.parseP256PublicKey(spki))).toBe("public_key_refused");
      expect(told(() => crypto.requireP256Key(spki))).toBe("public_key_refused");
    }
    for (const jwk of [
      {},
      { ...crypto.formatP256Jwk(key), x: "AA" },
      { ...crypto.formatP256Jwk(key), crv: "P-384" },
    ]) {
      expect(told(() => crypto.parseP256Jwk(jwk))).toBe("public_key_refused");
    }
    expect(told(() => crypto.parseEd25519PublicKey(new Uint8Array(31)))).toBe("public_key_refused");
  });
});
