/**
 * Refuses requests that the protobuf library reads leniently: a text that is announced longer than the message, which it
 * cuts short, and text that is not UTF-8, which it repairs. One message has one meaning here, or none.
 *
 * Requests of both services are flat, so only the fields of the message itself are looked at.
 *
 * @see https://protobuf.dev/programming-guides/encoding/
 */
import { isUtf8 } from "node:buffer";
import type { ServiceDefinition } from "@grpc/proto-loader";

const VARINT = 0;
const FIXED64 = 1;
const LENGTH_DELIMITED = 2;
const FIXED32 = 5;
const MAX_VARINT_BYTES = 10;

/** The same service, whose requests have to be whole. A refused one ends its call with Internal. */
export function requireStrictRequests(service: ServiceDefinition): ServiceDefinition {
  return Object.fromEntries(
    Object.entries(service).map(([name, method]) => [
      name,
      {
        ...method,
        requestDeserialize: (bytes: Buffer) => {
          requireWholeFields(bytes);
          return method.requestDeserialize(bytes);
        },
      },
    ]),
  );
}

/** @throws RangeError unless the message is whole fields, and every text or bytes field is UTF-8. */
export function requireWholeFields(message: Buffer): void {
  let offset = 0;
  const readVarint = (): number => {
    let value = 0;
    for (let index = 0; index < MAX_VARINT_BYTES; index += 1) {
      const byte = message[offset];
      if (byte === undefined) throw new RangeError("the message ends inside a number");
      offset += 1;
      value += (byte & 0x7f) * 2 ** (7 * index);
      if (byte < 0x80) return value;
    }
    throw new RangeError("a number without an end");
  };
  while (offset < message.length) {
    const tag = readVarint();
    const length = { [VARINT]: 0, [FIXED64]: 8, [FIXED32]: 4 }[tag % 8];
    if (tag < 8 || (length === undefined && tag % 8 !== LENGTH_DELIMITED))
      throw new RangeError("an unknown field");
    if (tag % 8 === VARINT) readVarint();
    const size = length ?? readVarint();
    const value = message.subarray(offset, offset + size);
    if (value.length < size) throw new RangeError("the message ends inside a field");
    if (length === undefined && !isUtf8(value)) throw new RangeError("text that is not UTF-8");
    offset += size;
  }
}
