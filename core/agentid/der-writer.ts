/**
 * A small DER writer: exactly the types that our certificates hold, in their one encoding.
 *
 * @see X.690 §8 and §10; the reader of the same forms is `der-reader.ts`
 */
import { encodeUtf8 } from "../bytes.ts";
import { DER_TAG } from "./der-reader.ts";

/** RFC 5280 §4.1.2.5 switches from UTCTime to GeneralizedTime here: 2050-01-01T00:00:00Z, Unix seconds. */
const FIRST_GENERALIZED_TIME = 2_524_608_000;

/** An element with any identifier byte. */
export function encodeElement(tag: number, ...contents: readonly Uint8Array[]): Uint8Array {
  let length = 0;
  for (const part of contents) length += part.length;
  const head = lengthBytes(length);
  const element = new Uint8Array(1 + head.length + length);
  element[0] = tag;
  element.set(head, 1);
  let offset = 1 + head.length;
  for (const part of contents) {
    element.set(part, offset);
    offset += part.length;
  }
  return element;
}

/** A SEQUENCE of encoded members. */
export function encodeSequence(...members: readonly Uint8Array[]): Uint8Array {
  return encodeElement(DER_TAG.sequence, ...members);
}

/** A SET of one encoded member; larger sets would have to be sorted. */
export function encodeSetOfOne(member: Uint8Array): Uint8Array {
  return encodeElement(DER_TAG.set, member);
}

/** A context-specific constructed element, `[number]` with explicit content. */
export function encodeExplicit(number: number, content: Uint8Array): Uint8Array {
  return encodeElement(0xa0 | number, content);
}

/** A context-specific primitive element, `[number]` with implicit content. */
export function encodeImplicit(number: number, content: Uint8Array): Uint8Array {
  return encodeElement(0x80 | number, content);
}

/** A non-negative INTEGER from its big-endian magnitude. */
export function encodeInteger(magnitude: Uint8Array): Uint8Array {
  const first = magnitude.findIndex((byte) => byte !== 0);
  const minimal = first === -1 ? Uint8Array.of(0) : magnitude.subarray(first);
  const sign = (minimal[0] ?? 0) >= 0x80 ? Uint8Array.of(0) : new Uint8Array(0);
  return encodeElement(DER_TAG.integer, sign, minimal);
}

/** TRUE; FALSE is always a default in our formats and so never written. */
export function encodeTrue(): Uint8Array {
  return encodeElement(DER_TAG.boolean, Uint8Array.of(0xff));
}

/** An OBJECT IDENTIFIER from its dotted form. */
export function encodeOid(dotted: string): Uint8Array {
  const [root = 0, second = 0, ...rest] = dotted.split(".").map(Number);
  return encodeElement(DER_TAG.oid, Uint8Array.from([root * 40 + second, ...rest].flatMap(base128)));
}

/** An OCTET STRING. */
export function encodeOctetString(bytes: Uint8Array): Uint8Array {
  return encodeElement(DER_TAG.octetString, bytes);
}

/** A BIT STRING of whole bytes. */
export function encodeBitString(bytes: Uint8Array): Uint8Array {
  return encodeElement(DER_TAG.bitString, Uint8Array.of(0), bytes);
}

/** A BIT STRING of named bits, at least one, each below 8. */
export function encodeNamedBits(...bits: readonly number[]): Uint8Array {
  const value = bits.reduce((sum, bit) => sum | (0x80 >> bit), 0);
  return encodeElement(DER_TAG.bitString, Uint8Array.of(7 - Math.max(...bits), value));
}

/** A UTF8String. */
export function encodeUtf8String(text: string): Uint8Array {
  return encodeElement(DER_TAG.utf8String, encodeText(text));
}

/** A PrintableString; the caller passes only its characters. */
export function encodePrintableString(text: string): Uint8Array {
  return encodeElement(DER_TAG.printableString, encodeText(text));
}

/** A time in the type that RFC 5280 prescribes for its year. @param unixSeconds - whole seconds, up to year 9999. */
export function encodeTime(unixSeconds: number): Uint8Array {
  const iso = new Date(unixSeconds * 1000).toISOString();
  const digits =
    iso.slice(0, 4) +
    iso.slice(5, 7) +
    iso.slice(8, 10) +
    iso.slice(11, 13) +
    iso.slice(14, 16) +
    iso.slice(17, 19);
  return unixSeconds < FIRST_GENERALIZED_TIME
    ? encodeElement(DER_TAG.utcTime, encodeText(`${digits.slice(2)}Z`))
    : encodeElement(DER_TAG.generalizedTime, encodeText(`${digits}Z`));
}

/** UTF-8. Our texts are short and plain: an encoder's bytes are outside the engine's heap, which costs more than writing them. */
function encodeText(text: string): Uint8Array {
  const bytes = new Uint8Array(text.length);
  for (let index = 0; index < text.length; index += 1) {
    const unit = text.charCodeAt(index);
    if (unit > 0x7f) return encodeUtf8(text);
    bytes[index] = unit;
  }
  return bytes;
}

function lengthBytes(length: number): readonly number[] {
  if (length < 0x80) return [length];
  if (length < 0x100) return [0x81, length];
  if (length < 0x10000) return [0x82, length >> 8, length & 0xff];
  if (length < 0x1000000) return [0x83, length >> 16, (length >> 8) & 0xff, length & 0xff];
  throw new Error("nothing of ours is longer than 16 MiB");
}

function base128(arc: number): readonly number[] {
  const bytes = [arc % 128];
  for (let rest = Math.floor(arc / 128); rest > 0; rest = Math.floor(rest / 128))
    bytes.unshift(0x80 | (rest % 128));
  return bytes;
}
