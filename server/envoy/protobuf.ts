/**
 * The wire format of Protocol Buffers, as far as one service needs it: fields of bytes and of small numbers.
 *
 * What we do not know is skipped, as the format wants it; groups, which nobody sends, are refused.
 *
 * @see https://protobuf.dev/programming-guides/encoding/
 */
import { concatBytes, encodeUtf8, parseUtf8 } from "@trustwarden/core/bytes.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";

const VARINT = 0;
const FIXED64 = 1;
const LENGTH = 2;
const FIXED32 = 5;
/** Fields of one message; a request has a header for each of its own. */
const MAX_FIELDS = 1024;

/** The length-delimited fields of one message by their number, in order. */
export type Message = ReadonlyMap<number, readonly Uint8Array[]>;

/** @throws TrustWardenError `request_malformed`. */
export function parseMessage(bytes: Uint8Array): Message {
  const fields = new Map<number, Uint8Array[]>();
  let at = 0;
  for (let count = 0; at < bytes.length; count += 1) {
    if (count >= MAX_FIELDS) refuse("too many fields");
    const tag = readVarint(bytes, at);
    at = tag.next;
    const number = Math.floor(tag.value / 8);
    const type = tag.value % 8;
    if (type === LENGTH) {
      const length = readVarint(bytes, at);
      const end = length.next + length.value;
      if (end > bytes.length) refuse("cut short");
      const known = fields.get(number) ?? [];
      known.push(bytes.subarray(length.next, end));
      fields.set(number, known);
      at = end;
    } else at = skip(bytes, at, type);
  }
  return fields;
}

/** A message in a field; empty when it is absent. The last one counts, as the format says. */
export function messageIn(message: Message, field: number): Message {
  const bytes = message.get(field)?.at(-1);
  return bytes === undefined ? new Map() : parseMessage(bytes);
}

/** Text in a field; empty when it is absent. */
export function textIn(message: Message, field: number): string {
  const bytes = message.get(field)?.at(-1);
  return bytes === undefined ? "" : parseUtf8(bytes);
}

/** A length-delimited field. */
export function encodeField(field: number, content: Uint8Array | string): Uint8Array {
  const bytes = typeof content === "string" ? encodeUtf8(content) : content;
  return concatBytes(encodeVarint(field * 8 + LENGTH), encodeVarint(bytes.length), bytes);
}

/** A field of a small number that is not negative. */
export function encodeNumber(field: number, value: number): Uint8Array {
  return concatBytes(encodeVarint(field * 8 + VARINT), encodeVarint(value));
}

function skip(bytes: Uint8Array, at: number, type: number): number {
  const next =
    type === VARINT
      ? readVarint(bytes, at).next
      : type === FIXED64
        ? at + 8
        : type === FIXED32
          ? at + 4
          : refuse("wire type");
  return next <= bytes.length ? next : refuse("cut short");
}

/** Up to ten bytes; a value that is no exact number is only ever skipped or too long. */
function readVarint(bytes: Uint8Array, from: number): { readonly value: number; readonly next: number } {
  let value = 0;
  for (let index = 0; index < 10; index += 1) {
    const byte = bytes[from + index];
    if (byte === undefined) return refuse("cut short");
    value += (byte & 0x7f) * 2 ** (7 * index);
    if (byte < 0x80) return { value, next: from + index + 1 };
  }
  return refuse("number too long");
}

function encodeVarint(value: number): Uint8Array {
  const bytes: number[] = [];
  for (let rest = value; ; rest = Math.floor(rest / 128)) {
    if (rest < 0x80) return Uint8Array.from([...bytes, rest]);
    bytes.push((rest % 128) + 0x80);
  }
}

function refuse(reason: string): never {
  throw new TrustWardenError("request_malformed", { reason });
}
