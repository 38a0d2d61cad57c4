/**
 * The Workload API's messages as bytes: the little of protobuf that they need, read strictly.
 *
 * Texts are UTF-8 or refused, lengths stay inside the message, unknown fields are ignored, a map has a key once.
 *
 * @see SPIFFE_Workload_API.md §5, §6; https://protobuf.dev/programming-guides/encoding/
 */
import { TrustWardenError } from "@trustwarden/core/error.ts";

const LENGTH_DELIMITED = 2;
/** What other wire types take: a varint is read, the fixed ones are skipped. */
const FIXED_BYTES: Readonly<Record<number, number>> = { 1: 8, 5: 4 };
const MAX_VARINT_BYTES = 10;
/** Answers hold a handful of SVIDs and bundles; more is not honest. */
const MAX_FIELDS = 4096;
const EMPTY = new Uint8Array();

/** Bytes of every length-delimited field, by its number. */
type Fields = ReadonlyMap<number, readonly Uint8Array[]>;

/** An X.509-SVID as it came; nothing of it is proven. */
export interface UnverifiedX509Svid {
  readonly spiffeId: string;
  /** Concatenated DER. */
  readonly chain: Uint8Array;
  readonly keyPkcs8: Uint8Array;
  /** Concatenated DER. */
  readonly bundle: Uint8Array;
  readonly hint: string;
}

export interface UnverifiedX509State {
  readonly svids: readonly UnverifiedX509Svid[];
  /** DER by the SPIFFE ID of the trust domain. */
  readonly federatedBundles: ReadonlyMap<string, Uint8Array>;
}

export interface UnverifiedJwtSvid {
  readonly spiffeId: string;
  readonly svid: string;
  readonly hint: string;
}

export interface UnverifiedWitSvid extends UnverifiedJwtSvid {
  /** Private JWK, as text. */
  readonly keyJwk: string;
}

export function encodeWitSvidRequest(spiffeId: string): Uint8Array {
  return spiffeId === "" ? EMPTY : encodeText(1, spiffeId);
}

export function encodeJwtSvidRequest(audience: readonly string[], spiffeId: string): Uint8Array {
  const id = spiffeId === "" ? [] : [encodeText(2, spiffeId)];
  return Buffer.concat([...audience.map((one) => encodeText(1, one)), ...id]);
}

export function encodeValidateRequest(audience: string, svid: string): Uint8Array {
  return Buffer.concat([encodeText(1, audience), encodeText(2, svid)]);
}

/** @throws TrustWardenError `workload_answer_refused`; so do all below. */
export function parseX509Response(message: Uint8Array): UnverifiedX509State {
  const fields = parseFields(message);
  const svids = all(fields, 1).map((bytes) => {
    const svid = parseFields(bytes);
    return {
      spiffeId: text(svid, 1),
      chain: last(svid, 2),
      keyPkcs8: last(svid, 3),
      bundle: last(svid, 4),
      hint: text(svid, 5),
    };
  });
  return { svids, federatedBundles: map(fields, 3) };
}

export function parseX509BundlesResponse(message: Uint8Array): ReadonlyMap<string, Uint8Array> {
  return map(parseFields(message), 2);
}

export function parseJwtSvidResponse(message: Uint8Array): readonly UnverifiedJwtSvid[] {
  return all(parseFields(message), 1).map((bytes) => {
    const svid = parseFields(bytes);
    return { spiffeId: text(svid, 1), svid: text(svid, 2), hint: text(svid, 3) };
  });
}

export function parseJwtBundlesResponse(message: Uint8Array): ReadonlyMap<string, Uint8Array> {
  return map(parseFields(message), 1);
}

export function parseWitSvidResponse(message: Uint8Array): readonly UnverifiedWitSvid[] {
  return all(parseFields(message), 1).map((bytes) => {
    const svid = parseFields(bytes);
    return { spiffeId: text(svid, 1), svid: text(svid, 2), keyJwk: text(svid, 3), hint: text(svid, 4) };
  });
}

/** On the wire a text is bytes that have to be UTF-8, which is checked where they are read. */
export function parseWitBundlesResponse(message: Uint8Array): ReadonlyMap<string, Uint8Array> {
  return map(parseFields(message), 1);
}

/** The id alone; the claims are read from the token, which they only repeat. */
export function parseValidateResponse(message: Uint8Array): string {
  return text(parseFields(message), 1);
}

function parseFields(message: Uint8Array): Fields {
  const fields = new Map<number, Uint8Array[]>();
  let offset = 0;
  const varint = (): number => {
    let value = 0;
    for (let index = 0; index < MAX_VARINT_BYTES; index += 1) {
      const byte = message[offset];
      if (byte === undefined) throw refused("a number is cut off");
      offset += 1;
      value += (byte & 0x7f) * 2 ** (7 * index);
      if (byte < 0x80) return value;
    }
    throw refused("a number without an end");
  };
  for (let count = 0; offset < message.length; count += 1) {
    if (count === MAX_FIELDS) throw refused("too many fields");
    const tag = varint();
    const [number, type] = [Math.floor(tag / 8), tag % 8];
    const fixed = FIXED_BYTES[type];
    if (number === 0 || (type !== 0 && type !== LENGTH_DELIMITED && fixed === undefined))
      throw refused("wire type");
    if (type === 0) {
      varint();
      continue;
    }
    const length = fixed ?? varint();
    const value = message.subarray(offset, offset + length);
    if (value.length < length) throw refused("a field is cut off");
    offset += length;
    if (type === LENGTH_DELIMITED) fields.set(number, [...(fields.get(number) ?? []), value]);
  }
  return fields;
}

function all(fields: Fields, number: number): readonly Uint8Array[] {
  return fields.get(number) ?? [];
}

/** The last one counts, as protobuf has it. */
function last(fields: Fields, number: number): Uint8Array {
  return all(fields, number).at(-1) ?? EMPTY;
}

function text(fields: Fields, number: number): string {
  return decodeText(last(fields, number));
}

function map(fields: Fields, number: number): ReadonlyMap<string, Uint8Array> {
  const found = new Map<string, Uint8Array>();
  for (const bytes of all(fields, number)) {
    const entry = parseFields(bytes);
    const key = text(entry, 1);
    // Two bundles of one trust domain: each reader would believe another.
    if (found.has(key)) throw refused("a key comes twice");
    found.set(key, last(entry, 2));
  }
  return found;
}

/** UTF-8 bytes as text. @throws TrustWardenError `workload_answer_refused`. */
export function decodeText(bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new TrustWardenError("workload_answer_refused", { reason: "not UTF-8" }, { cause });
  }
}

/** An answer that nobody may believe. */
export function refused(reason: string, cause?: unknown): TrustWardenError {
  return new TrustWardenError("workload_answer_refused", { reason }, { cause });
}

function encodeText(number: number, value: string): Uint8Array {
  const bytes = new TextEncoder().encode(value);
  return Buffer.concat([Uint8Array.of((number << 3) | LENGTH_DELIMITED), encodeLength(bytes.length), bytes]);
}

function encodeLength(length: number): Uint8Array {
  const bytes: number[] = [];
  let rest = length;
  for (; rest >= 0x80; rest >>>= 7) bytes.push((rest & 0x7f) | 0x80);
  return Uint8Array.from([...bytes, rest]);
}
