/**
 * Identifiers: ULIDs for things that live (owners, agents, instances), UUIDv7 for events. Both sort by time.
 *
 * Pure: time and randomness are arguments.
 */
import { encodeHex } from "./bytes.ts";
import { TrustWardenError } from "./error.ts";

/** `length` fresh random bytes. */
export type Random = (length: number) => Uint8Array;

const CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const UUID_V7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

/** A 26-character ULID. @param nowMs - Unix milliseconds. */
export function formatUlid(nowMs: number, random: Random): string {
  const bytes = new Uint8Array(16);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(Math.floor(nowMs)) << 16n);
  bytes.set(random(10), 6);
  let value = BigInt(`0x${encodeHex(bytes)}`);
  let text = "";
  for (let digit = 0; digit < 26; digit += 1) {
    text = `${CROCKFORD[Number(value & 31n)]}${text}`;
    value >>= 5n;
  }
  return text;
}

/** A UUIDv7 (RFC 9562 section 5.7). @param nowMs - Unix milliseconds. */
export function formatUuidV7(nowMs: number, random: Random): string {
  const bytes = new Uint8Array(16);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(Math.floor(nowMs)) << 16n);
  bytes.set(random(10), 6);
  bytes[6] = 0x70 | ((bytes[6] ?? 0) & 0x0f);
  bytes[8] = 0x80 | ((bytes[8] ?? 0) & 0x3f);
  const hex = encodeHex(bytes);
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
}

/**
 * An event id from untrusted text.
 *
 * @throws TrustWardenError `record_malformed` unless it is a lower-case UUIDv7.
 */
export function parseEventId(text: string): string {
  if (!UUID_V7.test(text)) throw new TrustWardenError("record_malformed", { field: "event_id" });
  return text;
}
