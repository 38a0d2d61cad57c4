/**
 * The browser's `core/bytes.ts`: the same names and the same strictness, without Node's `Buffer`.
 *
 * The build puts this file in the place of the core's; a test holds the two side by side.
 */
import { TrustWardenError } from "@trustwarden/core/error.ts";

const utf8Encoder = new TextEncoder();
const utf8Decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** As many code units as `String.fromCharCode` takes at once. */
const CHUNK = 8192;

/** UTF-8 bytes of a text. */
export function encodeUtf8(text: string): Uint8Array {
  return utf8Encoder.encode(text);
}

/** Text of UTF-8 bytes. @throws TrustWardenError `request_malformed`. */
export function parseUtf8(bytes: Uint8Array): string {
  try {
    return utf8Decoder.decode(bytes);
  } catch (cause) {
    throw new TrustWardenError("request_malformed", { reason: "not utf-8" }, { cause });
  }
}

/** Unpadded base64url. */
export function encodeBase64url(bytes: Uint8Array): string {
  return encodeBase64(bytes).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
}

/** Bytes of unpadded base64url, one spelling only. @throws TrustWardenError `base64_malformed`. */
export function parseBase64url(text: string): Uint8Array {
  const padded = text
    .replaceAll("-", "+")
    .replaceAll("_", "/")
    .padEnd(Math.ceil(text.length / 4) * 4, "=");
  const bytes = decode(padded);
  if (encodeBase64url(bytes) !== text) throw new TrustWardenError("base64_malformed");
  return bytes;
}

/** Padded standard base64. */
export function encodeBase64(bytes: Uint8Array): string {
  let binary = "";
  for (let start = 0; start < bytes.length; start += CHUNK) {
    binary += String.fromCharCode(...bytes.subarray(start, start + CHUNK));
  }
  return btoa(binary);
}

/** Bytes of padded standard base64, one spelling only. @throws TrustWardenError `base64_malformed`. */
export function parseBase64(text: string): Uint8Array {
  const bytes = decode(text);
  if (encodeBase64(bytes) !== text) throw new TrustWardenError("base64_malformed");
  return bytes;
}

/** Lower-case hexadecimal. */
export function encodeHex(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += byte.toString(16).padStart(2, "0");
  return text;
}

/** One array holding all the parts in order. */
export function concatBytes(...parts: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(parts.reduce((total, { length }) => total + length, 0));
  let offset = 0;
  for (const part of parts) {
    all.set(part, offset);
    offset += part.length;
  }
  return all;
}

/** Whether two byte strings are the same; not constant time, for public values only. */
export function isEqualBytes(left: Uint8Array, right: Uint8Array): boolean {
  return left.length === right.length && left.every((byte, index) => byte === right[index]);
}

/** The browser's decoder is lenient, so whoever calls it writes the bytes again and compares. */
function decode(text: string): Uint8Array {
  try {
    return Uint8Array.from(atob(text), (char) => char.charCodeAt(0));
  } catch (cause) {
    throw new TrustWardenError("base64_malformed", {}, { cause });
  }
}
