/**
 * The two forms of a P-256 signature: 64 bytes r||s inside TrustWarden, a DER SEQUENCE of two integers inside X.509.
 *
 * The strict form is decoded here, so that no lenient decoder of a cryptography library decides what a signature is.
 *
 * @see RFC 3279 §2.2.3
 */
import { DER_TAG, derMalformed, parseDer, parseMembers, parsePositiveInteger } from "./der-reader.ts";
import { encodeInteger, encodeSequence } from "./der-writer.ts";

/** Bytes of one P-256 scalar. */
const SCALAR_BYTES = 32;

/** The DER form of a 64-byte r||s signature. */
export function encodeDerSignature(signature: Uint8Array): Uint8Array {
  return encodeSequence(
    encodeInteger(signature.subarray(0, SCALAR_BYTES)),
    encodeInteger(signature.subarray(SCALAR_BYTES)),
  );
}

/**
 * The 64-byte r||s form of an untrusted DER signature; whether it is a good one is for `isP256Signature` to say.
 *
 * @throws TrustWardenError `der_malformed`.
 */
export function parseDerSignature(der: Uint8Array): Uint8Array {
  const members = parseMembers(parseDer(der), DER_TAG.sequence);
  if (members.length !== 2) throw derMalformed("signature");
  const signature = new Uint8Array(2 * SCALAR_BYTES);
  members.forEach((member, index) => {
    const scalar = parsePositiveInteger(member);
    if (scalar.length > SCALAR_BYTES) throw derMalformed("signature scalar");
    signature.set(scalar, (index + 1) * SCALAR_BYTES - scalar.length);
  });
  return signature;
}
