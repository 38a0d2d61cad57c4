/**
 * A strict DER reader: one encoding for each value, one level at a time.
 *
 * It never recurses: callers descend by a fixed schema, so ten thousand nested elements cost no more than their
 * outermost one. Indefinite lengths, long forms of short lengths, high tag numbers and padded integers are refused,
 * because two parsers that read the same bytes differently are how a forged certificate gets past one of them.
 *
 * @see X.690 §8 and §10; RFC 5280 §4.1
 */
import { parseUtf8 } from "../bytes.ts";
import { TrustWardenError } from "../error.ts";

/** Several times our largest certificate. */
const MAX_DER_BYTES = 16_384;
/** More than any sequence in a certificate that we accept. */
const MAX_ELEMENTS = 64;
/** Bytes of the longest length that is read: 16 MiB, more than any caller allows. */
const MAX_LENGTH_BYTES = 3;
/** Longer arcs occur in no algorithm or extension that we know. */
const MAX_OID_BYTES = 32;
const UTC_TIME = /^(\d{2})(\d{2})(\d{2})(\d{2})(\d{2})(\d{2})Z$/;
const GENERALIZED_TIME = /^(\d{4})(\d{2})(\d{2})(\d{2})(\d{2})(\d{2})Z$/;

/** Universal tags of the types that certificates use. */
export const DER_TAG = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  oid: 0x06,
  enumerated: 0x0a,
  utf8String: 0x0c,
  printableString: 0x13,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
  set: 0x31,
} as const;

/** One element: identifier byte, content, and all its bytes. */
export interface DerElement {
  readonly tag: number;
  readonly content: Uint8Array;
  readonly raw: Uint8Array;
}

/**
 * The single element that fills the bytes.
 *
 * @param maxBytes - 16 KiB unless given.
 * @throws TrustWardenError `der_malformed`, also for more bytes than allowed.
 */
export function parseDer(bytes: Uint8Array, maxBytes = MAX_DER_BYTES): DerElement {
  if (bytes.length > maxBytes) throw derMalformed("too long");
  const element = readElement(bytes, 0);
  if (element.raw.length !== bytes.length) throw derMalformed("trailing bytes");
  return element;
}

/**
 * The element that the bytes begin with.
 *
 * @throws TrustWardenError `der_malformed`.
 */
export function parseFirst(bytes: Uint8Array): DerElement {
  return readElement(bytes, 0);
}

/**
 * The members of a constructed element of the given tag, not descending further.
 *
 * @param maxElements - 64 unless given.
 * @throws TrustWardenError `der_malformed`.
 */
export function parseMembers(
  element: DerElement | undefined,
  tag: number,
  maxElements = MAX_ELEMENTS,
): readonly DerElement[] {
  const content = parseContent(element, tag);
  const members: DerElement[] = [];
  let offset = 0;
  while (offset < content.length) {
    if (members.length === maxElements) throw derMalformed("too many elements");
    const member = readElement(content, offset);
    members.push(member);
    offset += member.raw.length;
  }
  return members;
}

/**
 * The content of an element that must be there and have the given tag.
 *
 * @throws TrustWardenError `der_malformed`.
 */
export function parseContent(element: DerElement | undefined, tag: number): Uint8Array {
  if (element === undefined) throw derMalformed("element missing");
  if (element.tag !== tag) throw derMalformed("unexpected tag");
  return element.content;
}

/**
 * The magnitude of a positive INTEGER, without the sign byte.
 *
 * @throws TrustWardenError `der_malformed` for zero, a negative number or a padded one.
 */
export function parsePositiveInteger(element: DerElement | undefined): Uint8Array {
  const content = parseContent(element, DER_TAG.integer);
  const [first, second] = content;
  if (first === undefined || first >= 0x80) throw derMalformed("integer not positive");
  if (first !== 0) return content;
  if (second === undefined) throw derMalformed("integer not positive");
  if (second < 0x80) throw derMalformed("integer padded");
  return content.subarray(1);
}

/**
 * A small non-negative INTEGER (up to 127), as versions and path lengths are.
 *
 * @throws TrustWardenError `der_malformed`.
 */
export function parseSmallInteger(element: DerElement | undefined): number {
  const content = parseContent(element, DER_TAG.integer);
  const [value] = content;
  if (content.length !== 1 || value === undefined || value >= 0x80) throw derMalformed("integer not small");
  return value;
}

/**
 * A BOOLEAN.
 *
 * @throws TrustWardenError `der_malformed` unless it is written as 00 or FF.
 */
export function parseBoolean(element: DerElement | undefined): boolean {
  const content = parseContent(element, DER_TAG.boolean);
  const [value] = content;
  if (content.length !== 1 || (value !== 0 && value !== 0xff)) throw derMalformed("boolean");
  return value === 0xff;
}

/**
 * An OBJECT IDENTIFIER in dotted form.
 *
 * @throws TrustWardenError `der_malformed`.
 */
export function parseOid(element: DerElement | undefined): string {
  const content = parseContent(element, DER_TAG.oid);
  if (content.length === 0 || content.length > MAX_OID_BYTES) throw derMalformed("oid length");
  const arcs: number[] = [];
  let arc = 0;
  let isStart = true;
  for (const byte of content) {
    if (isStart && byte === 0x80) throw derMalformed("oid padded");
    arc = arc * 128 + (byte & 0x7f);
    if (!Number.isSafeInteger(arc)) throw derMalformed("oid arc");
    isStart = byte < 0x80;
    if (isStart) {
      arcs.push(arc);
      arc = 0;
    }
  }
  if (!isStart) throw derMalformed("oid truncated");
  const [joint = 0, ...rest] = arcs;
  const root = Math.min(2, Math.floor(joint / 40));
  return [root, joint - root * 40, ...rest].join(".");
}

/**
 * The bytes of a BIT STRING that holds whole bytes.
 *
 * @throws TrustWardenError `der_malformed`.
 */
export function parseBitString(element: DerElement | undefined): Uint8Array {
  const content = parseContent(element, DER_TAG.bitString);
  if (content[0] !== 0) throw derMalformed("bit string with spare bits");
  return content.subarray(1);
}

/**
 * The set positions of a BIT STRING of named bits (X.690 §11.2.2: no trailing zero bits).
 *
 * @throws TrustWardenError `der_malformed`, also when no bit is set.
 */
export function parseNamedBits(element: DerElement | undefined): ReadonlySet<number> {
  const content = parseContent(element, DER_TAG.bitString);
  const [spare] = content;
  const last = content.at(-1);
  if (spare === undefined || last === undefined || content.length < 2 || content.length > 3 || spare > 7) {
    throw derMalformed("named bits");
  }
  // The lowest bit in use is set, and every spare bit below it is clear.
  if ((last & ((2 << spare) - 1)) !== 1 << spare) throw derMalformed("named bits padded");
  const bits = new Set<number>();
  for (let bit = 0; bit < (content.length - 1) * 8; bit += 1) {
    if (((content[1 + (bit >> 3)] ?? 0) & (0x80 >> (bit & 7))) !== 0) bits.add(bit);
  }
  return bits;
}

/**
 * A UTCTime or GeneralizedTime as RFC 5280 §4.1.2.5 allows it, in Unix seconds.
 *
 * @throws TrustWardenError `der_malformed` for fractions, offsets, days that do not exist, or the wrong type for the
 *   year (UTCTime through 2049, GeneralizedTime from 2050).
 */
export function parseTime(element: DerElement | undefined): number {
  if (element === undefined) throw derMalformed("element missing");
  const isUtcTime = element.tag === DER_TAG.utcTime;
  if (!isUtcTime && element.tag !== DER_TAG.generalizedTime) throw derMalformed("unexpected tag");
  const parts = (isUtcTime ? UTC_TIME : GENERALIZED_TIME).exec(parsePrintable(element.content));
  if (parts === null) throw derMalformed("time");
  const [year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0] = parts.slice(1).map(Number);
  const fullYear = isUtcTime ? year + (year < 50 ? 2000 : 1900) : year;
  if (!isUtcTime && fullYear < 2050) throw derMalformed("time type");
  const milliseconds = Date.UTC(fullYear, month - 1, day, hour, minute, second);
  // Date.UTC carries the 30th of February into March; only a real instant comes back as it was written.
  const date = new Date(milliseconds);
  const isReal =
    date.getUTCFullYear() === fullYear &&
    date.getUTCMonth() === month - 1 &&
    date.getUTCDate() === day &&
    date.getUTCHours() === hour &&
    date.getUTCMinutes() === minute &&
    date.getUTCSeconds() === second;
  if (!isReal) throw derMalformed("time does not exist");
  return milliseconds / 1000;
}

/**
 * Text of printable ASCII bytes without spaces: no NUL and no controls, which have cut names short in C parsers.
 *
 * @throws TrustWardenError `der_malformed`.
 */
export function parsePrintable(bytes: Uint8Array): string {
  for (const byte of bytes) if (byte < 0x21 || byte > 0x7e) throw derMalformed("text not printable");
  return parseUtf8(bytes);
}

/** The error of every refusal here and in the certificate parser. */
export function derMalformed(reason: string): TrustWardenError {
  return new TrustWardenError("der_malformed", { reason });
}

function readElement(bytes: Uint8Array, start: number): DerElement {
  const tag = bytes[start];
  const first = bytes[start + 1];
  if (tag === undefined || first === undefined) throw derMalformed("truncated");
  if ((tag & 0x1f) === 0x1f) throw derMalformed("high tag number");
  const lengthBytes = first < 0x80 ? 0 : first & 0x7f;
  if (first === 0x80 || lengthBytes > MAX_LENGTH_BYTES) throw derMalformed("length form");
  const contentStart = start + 2 + lengthBytes;
  const length =
    lengthBytes === 0 ? first : readLongLength(bytes.subarray(start + 2, contentStart), lengthBytes);
  const end = contentStart + length;
  if (end > bytes.length) throw derMalformed("truncated");
  return { tag, content: bytes.subarray(contentStart, end), raw: bytes.subarray(start, end) };
}

function readLongLength(bytes: Uint8Array, count: number): number {
  if (bytes.length !== count) throw derMalformed("truncated");
  const length = bytes.reduce((value, byte) => value * 256 + byte, 0);
  if (length < (count === 1 ? 0x80 : 256 ** (count - 1))) throw derMalformed("length not minimal");
  return length;
}
