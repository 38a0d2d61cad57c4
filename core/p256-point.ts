/**
 * Whether two coordinates are a point of P-256: the curve's equation, and nothing else.
 *
 * Public values only, so nothing here has to take the same time for all of them. The curve's cofactor is 1 and the point at
 * infinity has no coordinates: whoever satisfies the equation is a public key that can be used.
 *
 * @see SEC 1 v2.0 section 3.2.2.1; NIST SP 800-186 section 3.2.1.3
 */
import { encodeHex } from "./bytes.ts";

/** Bytes of one coordinate. */
const COORDINATE_BYTES = 32;
const PRIME = 0xffffffff00000001000000000000000000000000ffffffffffffffffffffffffn;
const B = 0x5ac635d8aa3a93e7b3ebbd55769886bc651d06b0cc53b0f63bce3c3e27d2604bn;

/** @param coordinates - x and y, 64 bytes. */
export function isP256Point(coordinates: Uint8Array): boolean {
  if (coordinates.length !== 2 * COORDINATE_BYTES) return false;
  const x = numberOf(coordinates.subarray(0, COORDINATE_BYTES));
  const y = numberOf(coordinates.subarray(COORDINATE_BYTES));
  // A coordinate has one spelling: what is not below the prime is another's.
  if (x >= PRIME || y >= PRIME) return false;
  return (y * y - (x * x - 3n) * x - B) % PRIME === 0n;
}

function numberOf(bytes: Uint8Array): bigint {
  return BigInt(`0x${encodeHex(bytes)}`);
}
