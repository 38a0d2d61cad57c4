/**
 * The little of the protobuf wire format that the Workload API uses, written here so that the suite can also send what
 * a library refuses to write: truncated, foreign and malformed messages.
 *
 * @see https://protobuf.dev/programming-guides/encoding/
 */

/** Values of each field in the order in which they came: varints as bigint, everything else as bytes. */
export type Fields = ReadonlyMap<number, readonly (bigint | Uint8Array)[]>;

const VARINT = 0;
const FIXED64 = 1;
const LENGTH_DELIMITED = 2;
const FIXED32 = 5;
const MAX_VARINT_BYTES = 10;

/**
 * Reads one message.
 *
 * @throws Error on anything that is not whole fields of known wire types.
 */
export function parseFields(message: Uint8Array): Fields {
  const fields = new Map<number, (bigint | Uint8Array)[]>();
  let offset = 0;
  const take = (length: number): Uint8Array => {
    if (length > message.length - offset) throw new Error("protobuf: the message ends inside a field");
    offset += length;
    return message.subarray(offset - length, offset);
  };
  const varint = (): bigint => {
    let value = 0n;
    for (let index = 0; index < MAX_VARINT_BYTES; index += 1) {
      const [byte = 0] = take(1);
      value |= BigInt(byte & 0x7f) << BigInt(7 * index);
      if (byte < 0x80) return value;
    }
    throw new Error("protobuf: a varint without an end");
  };
  while (offset < message.length) {
    const tag = varint();
    const type = Number(tag & 7n);
    const number = Number(tag >> 3n);
    if (number === 0) throw new Error("protobuf: field number 0");
    const values = fields.get(number) ?? [];
    fields.set(number, values);
    values.push(readValue(type, { take, varint }));
  }
  return fields;
}

function readValue(
  type: number,
  { take, varint }: { readonly take: (length: number) => Uint8Array; readonly varint: () => bigint },
): bigint | Uint8Array {
  if (type === VARINT) return varint();
  if (type === FIXED64) return take(8);
  if (type === FIXED32) return take(4);
  if (type === LENGTH_DELIMITED) return take(Number(varint()));
  throw new Error(`protobuf: wire type ${type}`);
}

/** All byte values of a field. @throws Error when one is a number. */
export function bytesOf(fields: Fields, number: number): readonly Uint8Array[] {
  return (fields.get(number) ?? []).map((value) => {
    if (typeof value === "bigint") throw new Error(`protobuf: field ${number} is a number, not bytes`);
    return value;
  });
}

/** The last value of a text field, as protobuf has it; empty when absent. @throws Error unless it is UTF-8. */
export function textOf(fields: Fields, number: number): string {
  return decodeText(bytesOf(fields, number).at(-1) ?? new Uint8Array());
}

/** The entries of a `map<string, bytes>` in the order in which they came. @throws Error when a key comes twice. */
export function mapOf(fields: Fields, number: number): ReadonlyMap<string, Uint8Array> {
  const entries = bytesOf(fields, number).map((entry) => {
    const parts = parseFields(entry);
    return [textOf(parts, 1), bytesOf(parts, 2).at(-1) ?? new Uint8Array()] as const;
  });
  const map = new Map(entries);
  if (map.size !== entries.length) throw new Error("protobuf: a map has a key twice");
  return map;
}

/** UTF-8 bytes as text. @throws TypeError on anything else. */
export function decodeText(bytes: Uint8Array): string {
  return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
}

/** A text or bytes field. */
export function encodeField(number: number, value: string | Uint8Array): Uint8Array {
  const bytes = typeof value === "string" ? new TextEncoder().encode(value) : value;
  return Buffer.concat([encodeVarint((number << 3) | LENGTH_DELIMITED), encodeVarint(bytes.length), bytes]);
}

/** An unsigned varint below 2^32. */
export function encodeVarint(value: number): Uint8Array {
  const bytes: number[] = [];
  let rest = value >>> 0;
  while (rest >= 0x80) {
    bytes.push((rest & 0x7f) | 0x80);
    rest >>>= 7;
  }
  return Uint8Array.from([...bytes, rest]);
}
