/** Public keys from untrusted bytes: one algorithm, one spelling, one refusal. */
import { generateKeyPairSync } from "node:crypto";
import { describe, expect, it } from "vitest";
import { expectCode } from "../test/support/expect-code.ts";
import { encodeSpki, formatThumbprint, formatThumbprintOf, parseP256PublicKey } from "./crypto.ts";

const ALGORITHM = Buffer.from("301306072a8648ce3d020106082a8648ce3d030107", "hex");

/** SubjectPublicKeyInfo of a P-256 key with any bytes in the place of the point. */
function spkiOf(point: Uint8Array): Uint8Array {
  const bits = Buffer.concat([Uint8Array.of(0x03, point.length + 1, 0), point]);
  return Buffer.concat([Uint8Array.of(0x30, ALGORITHM.length + bits.length), ALGORITHM, bits]);
}

describe("a P-256 public key", () => {
  const { publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const point = encodeSpki(publicKey).subarray(-65);

  it("is read from its one spelling", () => {
    expect(encodeSpki(parseP256PublicKey(spkiOf(point)))).toEqual(encodeSpki(publicKey));
  });

  it("has one thumbprint, by the key and by its bytes", () => {
    expect(formatThumbprintOf(spkiOf(point))).toBe(formatThumbprint(publicKey));
  });

  it("is refused off the curve, at infinity, compressed, hybrid, of another curve, and with anything behind", () => {
    const sign = (point[64] ?? 0) & 1;
    const refused = [
      spkiOf(Buffer.concat([Uint8Array.of(4), Buffer.alloc(64, 7)])),
      spkiOf(Buffer.concat([Uint8Array.of(4), Buffer.alloc(64, 255)])),
      spkiOf(Uint8Array.of(0)),
      spkiOf(Buffer.concat([Uint8Array.of(2 + sign), point.subarray(1, 33)])),
      spkiOf(Buffer.concat([Uint8Array.of(6 + sign), point.subarray(1)])),
      encodeSpki(generateKeyPairSync("ec", { namedCurve: "secp256k1" }).publicKey),
      Buffer.concat([spkiOf(point), Uint8Array.of(0)]),
    ];
    for (const spki of refused) expectCode(() => parseP256PublicKey(spki), "public_key_refused");
  });
});
