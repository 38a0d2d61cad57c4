/**
 * Bytes and their text forms, strictly: one spelling for each value, so that no two texts mean the same bytes.
 */
import { TrustWardenError } from "./error.ts";

const utf8Encoder = new TextEncoder();
const utf8Decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** UTF-8 bytes of a text. */
export function encodeUtf8(text: string): Uint8Array {
  return utf8Encoder.encode(text);
}

/**
 * Text of UTF-8 bytes.
 *
 * @throws TrustWardenError `request_malformed` when the bytes are not valid UTF-8.
 */
export function parseUtf8(bytes: Uint8Array): string {
  try {
    return utf8Decoder.decode(bytes);
  } catch (cause) {
    throw new TrustWardenError("request_malformed", { reason: "not utf-8" }, { cause });
  }
}

/** Unpadded base64url (RFC 4648 section 5). */
export function encodeBase64url(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("base64url");
}

/**
 * Bytes of unpadded base64url; refuses padding, white space, the other alphabet and non-zero spare bits, which
 * lenient decoders take and which would give one token many spellings.
 *
 * @throws TrustWardenError `base64_malformed`.
 */
export function parseBase64url(text: string): Uint8Array {
  const bytes = Buffer.from(text, "base64url");
  if (bytes.toString("base64url") !== text) throw new TrustWardenError("base64_malformed");
  return ownCopy(bytes);
}

/** Padded standard base64 (RFC 4648 section 4). */
export function encodeBase64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("base64");
}

/**
 * Bytes of padded standard base64, one spelling only.
 *
 * @throws TrustWardenError `base64_malformed`.
 */
export function parseBase64(text: string): Uint8Array {
  return typeof Uint8Array.fromBase64 === "function" ? readBase64(text) : readBase64Again(text);
}

/** By the engine's own reader, which is strict but for white space: each four characters are three bytes, or the last ones. */
function readBase64(text: string): Uint8Array {
  let bytes: Uint8Array;
  try {
    bytes = Uint8Array.fromBase64(text, { lastChunkHandling: "strict" });
  } catch (cause) {
    throw new TrustWardenError("base64_malformed", {}, { cause });
  }
  if (text.length !== 4 * Math.ceil(bytes.length / 3)) throw new TrustWardenError("base64_malformed");
  return bytes;
}

/** For engines that have none: what is written again as it was read has one spelling. */
function readBase64Again(text: string): Uint8Array {
  const bytes = Buffer.from(text, "base64");
  if (bytes.toString("base64") !== text) throw new TrustWardenError("base64_malformed");
  return ownCopy(bytes);
}

/**
 * Small buffers are views of one of 64 KiB that all share: whoever sends one to another thread, or keeps it, would send or keep
 * the whole.
 */
function ownCopy(shared: Uint8Array): Uint8Array {
  return new Uint8Array(shared);
}

/** Lower-case hexadecimal. */
export function encodeHex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("hex");
}

/** One array holding all the parts in order. */
export function concatBytes(...parts: readonly Uint8Array[]): Uint8Array {
  let total = 0;
  for (const part of parts) total += part.length;
  const all = new Uint8Array(total);
  let offset = 0;
  for (const part of parts) {
    all.set(part, offset);
    offset += part.length;
  }
  return all;
}

/** Whether two byte strings are the same; not constant time, for public values only. */
export function isEqualBytes(left: Uint8Array, right: Uint8Array): boolean {
  return left.length === right.length && Buffer.compare(left, right) === 0;
}
