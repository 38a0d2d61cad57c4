/** Which record an entry could be, without parsing it: of a million entries that are passed over, few are looked for. */
import { payloadTypeOf } from "@trustwarden/core/dsse.ts";

/** Whether an entry could be a record of a type; what it holds is base64, so the words are nowhere but in the envelope's own member. */
export function isOfType(entry: Uint8Array, type: Parameters<typeof payloadTypeOf>[0]): boolean {
  return Buffer.from(entry.buffer, entry.byteOffset, entry.length).includes(payloadTypeOf(type));
}
