/**
 * From BER, in which metadata services wrap their signatures, to the DER that the strict reader of core takes.
 *
 * Indefinite lengths get definite ones, and texts in pieces become whole; everything else keeps its bytes. Depth, number
 * and size of the elements are bounded before anything is allocated for them.
 *
 * @see X.690 §8.1.3 and §8.7
 */
import { concatBytes } from "@trustwarden/core/bytes.ts";
import { malformed } from "./refusal.ts";

/** Larger than any identity document with its certificates, and what the DER reader takes. */
const MAX_BER_BYTES = 16_384;
/** SignedData with certificates is about a dozen levels deep. */
const MAX_DEPTH = 24;
const MAX_ELEMENTS = 2000;
const CONSTRUCTED = 0x20;
const OCTET_STRING = 0x04;

interface Reader {
  readonly bytes: Uint8Array;
  elements: number;
}

interface Header {
  readonly tag: number;
  readonly contentStart: number;
  /** Undefined where the content ends with two zero bytes. */
  readonly contentEnd: number | undefined;
}

interface Converted {
  readonly der: Uint8Array;
  readonly end: number;
}

/**
 * The DER of one BER element that fills the bytes.
 *
 * @throws TrustWardenError `attestation_malformed`.
 */
export function convertToDer(bytes: Uint8Array): Uint8Array {
  if (bytes.length > MAX_BER_BYTES) throw malformed("signed data too long");
  const { der, end } = convertElement({ bytes, elements: 0 }, { start: 0, limit: bytes.length, depth: 0 });
  if (end !== bytes.length) throw malformed("trailing bytes");
  return der;
}

function convertElement(
  reader: Reader,
  { start, limit, depth }: { readonly start: number; readonly limit: number; readonly depth: number },
): Converted {
  reader.elements += 1;
  if (depth > MAX_DEPTH || reader.elements > MAX_ELEMENTS) throw malformed("too many or too deep elements");
  const { tag, contentStart, contentEnd } = readHeader(reader.bytes, start, limit);
  if ((tag & CONSTRUCTED) === 0) {
    if (contentEnd === undefined) throw malformed("length form");
    return { der: encode(tag, reader.bytes.subarray(contentStart, contentEnd)), end: contentEnd };
  }
  const members: Uint8Array[] = [];
  let offset = contentStart;
  while (!isEnd(reader.bytes, { offset, contentEnd, limit })) {
    const member = convertElement(reader, { start: offset, limit: contentEnd ?? limit, depth: depth + 1 });
    members.push(member.der);
    offset = member.end;
  }
  const der =
    tag === (OCTET_STRING | CONSTRUCTED) ? joinPieces(members) : encode(tag, concatBytes(...members));
  return { der, end: contentEnd ?? offset + 2 };
}

function readHeader(bytes: Uint8Array, start: number, limit: number): Header {
  const tag = bytes[start];
  const first = bytes[start + 1];
  if (tag === undefined || first === undefined || start + 2 > limit) throw malformed("truncated");
  if ((tag & 0x1f) === 0x1f) throw malformed("high tag number");
  if (first === 0x80) return { tag, contentStart: start + 2, contentEnd: undefined };
  const lengthBytes = first < 0x80 ? 0 : first & 0x7f;
  if (lengthBytes > 4) throw malformed("length form");
  const contentStart = start + 2 + lengthBytes;
  const length =
    lengthBytes === 0
      ? first
      : bytes.subarray(start + 2, contentStart).reduce((value, byte) => value * 256 + byte, 0);
  if (contentStart + length > limit) throw malformed("truncated");
  return { tag, contentStart, contentEnd: contentStart + length };
}

function isEnd(
  bytes: Uint8Array,
  {
    offset,
    contentEnd,
    limit,
  }: { readonly offset: number; readonly contentEnd: number | undefined; readonly limit: number },
): boolean {
  if (contentEnd !== undefined) return offset === contentEnd;
  if (offset + 2 > limit) throw malformed("truncated");
  return bytes[offset] === 0 && bytes[offset + 1] === 0;
}

/** One OCTET STRING of its pieces, which are whole already when this runs. */
function joinPieces(pieces: readonly Uint8Array[]): Uint8Array {
  const contents = pieces.map((piece) => {
    if (piece[0] !== OCTET_STRING) throw malformed("a piece of another type");
    return piece.subarray(contentOffset(piece));
  });
  return encode(OCTET_STRING, concatBytes(...contents));
}

/** Where the content of an element of ours begins. */
function contentOffset(der: Uint8Array): number {
  const first = der[1] ?? 0;
  return first < 0x80 ? 2 : 2 + (first & 0x7f);
}

function encode(tag: number, content: Uint8Array): Uint8Array {
  const { length } = content;
  if (length < 0x80) return concatBytes(Uint8Array.of(tag, length), content);
  if (length < 0x100) return concatBytes(Uint8Array.of(tag, 0x81, length), content);
  return concatBytes(Uint8Array.of(tag, 0x82, length >> 8, length & 0xff), content);
}
