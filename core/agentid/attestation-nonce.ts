/**
 * The nonce that a cloud's metadata service puts into its signed document, made from the server's own.
 *
 * Azure takes ten digits; the server's nonces are longer. Both sides shorten them in the same way, and a document that
 * was made for another nonce fits one in ten thousand million.
 */
import { encodeUtf8 } from "../bytes.ts";
import { sha256 } from "../crypto.ts";

const DIGITS = 10;

/** Ten decimal digits of a server's nonce. */
export function formatAzureNonce(nonce: string): string {
  const digest = sha256(encodeUtf8(nonce));
  const number = new DataView(digest.buffer, digest.byteOffset).getBigUint64(0);
  return String(number % 10n ** BigInt(DIGITS)).padStart(DIGITS, "0");
}
