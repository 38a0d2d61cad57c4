import { createPublicKey, generateKeyPairSync, randomBytes } from "node:crypto";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parseBase64url } from "./bytes.ts";
import { formatP256Jwk, parseP256PublicKey, requireP256Key } from "./crypto.ts";
import { TrustWardenError } from "./error.ts";
import { isP256Point } from "./p256-point.ts";

const PRIME = 0xffffffff00000001000000000000000000000000ffffffffffffffffffffffffn;
const PREFIX = Buffer.from("3059301306072a8648ce3d020106082a8648ce3d03010703420004", "hex");
const bytesOf = (value: bigint): Buffer => Buffer.from(value.toString(16).padStart(64, "0"), "hex");
const numberOf = (bytes: Uint8Array): bigint => BigInt(`0x${Buffer.from(bytes).toString("hex")}`);

function freshPoint(): Buffer {
  const { publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const { x, y } = formatP256Jwk(publicKey);
  return Buffer.concat([parseBase64url(x), parseBase64url(y)]);
}

/** OpenSSL's opinion. */
function isImportable(point: Uint8Array): boolean {
  try {
    createPublicKey({ key: Buffer.concat([PREFIX, point]), format: "der", type: "spki" });
    return true;
  } catch {
    return false;
  }
}

describe("a point of P-256", () => {
  it("is every key that OpenSSL makes, and its negative", () => {
    for (let count = 0; count < 50; count += 1) {
      const point = freshPoint();
      expect(isP256Point(point)).toBe(true);
      const negative = Buffer.concat([point.subarray(0, 32), bytesOf(PRIME - numberOf(point.subarray(32)))]);
      expect([isP256Point(negative), isImportable(negative)]).toEqual([true, true]);
    }
  });

  it("is none with any bit changed, as OpenSSL finds too", () => {
    const point = freshPoint();
    for (let bit = 0; bit < 512; bit += 1) {
      const changed = Buffer.from(point);
      changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      expect(isP256Point(changed), `bit ${bit}`).toBe(isImportable(changed));
      expect(isP256Point(changed), `bit ${bit}`).toBe(false);
    }
  });

  it("has coordinates below the prime, in one spelling", () => {
    // The smallest x that is on the curve, so that x + p still has 32 bytes; y + p where that fits too.
    for (let x = 0n; x < 40n; x += 1n) {
      const y = rootOf(
        (x * x - 3n) * x + 0x5ac635d8aa3a93e7b3ebbd55769886bc651d06b0cc53b0f63bce3c3e27d2604bn,
      );
      if (y === undefined) continue;
      const point = Buffer.concat([bytesOf(x), bytesOf(y)]);
      expect([isP256Point(point), isImportable(point)]).toEqual([true, true]);
      const second = Buffer.concat([bytesOf(x + PRIME), bytesOf(y)]);
      expect([isP256Point(second), isImportable(second)]).toEqual([false, false]);
    }
  });

  it("is decided as OpenSSL decides it, for any bytes, extremes too", () => {
    const coordinate = fc.oneof(
      fc.uint8Array({ minLength: 32, maxLength: 32 }),
      fc.constantFrom(0n, 1n, PRIME - 1n, PRIME, PRIME + 1n, 2n ** 256n - 1n).map(bytesOf),
    );
    fc.assert(
      fc.property(coordinate, coordinate, (x, y) => {
        const point = Buffer.concat([x, y]);
        expect(isP256Point(point)).toBe(isImportable(point));
      }),
      { numRuns: 300 },
    );
  });

  it("has 64 bytes", () => {
    for (const length of [0, 63, 65, 128]) expect(isP256Point(randomBytes(length))).toBe(false);
  });

  it("is what a key is refused without, by the code and for the spellings that an import refuses", () => {
    const good = Buffer.concat([PREFIX, freshPoint()]);
    expect(() => requireP256Key(good)).not.toThrow();
    const offCurve = Buffer.from(good);
    offCurve[90] = (offCurve[90] ?? 0) ^ 1;
    const compressed = Buffer.from(good);
    compressed[26] = 2;
    for (const bad of [offCurve, compressed, good.subarray(1), Buffer.concat([good, Buffer.of(0)])]) {
      expect(codeOf(() => requireP256Key(bad))).toBe("public_key_refused");
      expect(codeOf(() => parseP256PublicKey(bad))).toBe("public_key_refused");
    }
  });
});

function codeOf(act: () => unknown): string | undefined {
  try {
    act();
  } catch (error) {
    return error instanceof TrustWardenError ? error.code : String(error);
  }
  return undefined;
}

/** A square root modulo the prime, which is 3 modulo 4; undefined where there is none. */
function rootOf(square: bigint): bigint | undefined {
  const reduced = ((square % PRIME) + PRIME) % PRIME;
  let [root, base, exponent] = [1n, reduced, (PRIME + 1n) / 4n];
  for (; exponent > 0n; exponent >>= 1n) {
    if ((exponent & 1n) === 1n) root = (root * base) % PRIME;
    base = (base * base) % PRIME;
  }
  return (root * root) % PRIME === reduced ? root : undefined;
}
