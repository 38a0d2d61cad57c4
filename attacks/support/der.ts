/** DER as attackers write it: any tag, any length, any nesting. */

/** One element around its content. */
export function der(tag: number, ...parts: readonly Uint8Array[]): Buffer {
  const content = Buffer.concat(parts);
  const { length } = content;
  const form =
    length < 128
      ? [length]
      : length < 65_536
        ? [0x82, length >> 8, length & 255]
        : [0x83, length >> 16, (length >> 8) & 255, length & 255];
  return Buffer.concat([Uint8Array.of(tag, ...form), content]);
}

/** Sequences within sequences. */
export function nestedDer(depth: number): Buffer {
  let element = der(0x05);
  for (let level = 0; level < depth; level += 1) element = der(0x30, element);
  return element;
}

/** AlgorithmIdentifier of a P-256 key. */
export const P256_ALGORITHM = Buffer.from("301306072a8648ce3d020106082a8648ce3d030107", "hex");
/** AlgorithmIdentifier of an RSA key. */
export const RSA_ALGORITHM = Buffer.from("300d06092a864886f70d0101010500", "hex");

/** SubjectPublicKeyInfo around any key bytes. */
export function spkiOf(algorithm: Uint8Array, key: Uint8Array): Buffer {
  return der(0x30, algorithm, der(0x03, Uint8Array.of(0), key));
}

/** An RSA key of any size; whether anybody could use it is not the question. */
export function rsaSpki(bits: number, exponent: number): Buffer {
  const modulus = der(0x02, Uint8Array.of(0), Buffer.alloc(bits / 8, 0xab));
  return spkiOf(RSA_ALGORITHM, der(0x30, modulus, Uint8Array.of(2, 1, exponent)));
}
