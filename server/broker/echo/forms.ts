/**
 * The forms in which a secret is looked for: as bytes (here) under several readings of the stream (`readings.ts`).
 *
 * As it is, hexadecimal in either case, and base64 in both alphabets at each of the three places where it may begin
 * inside of a longer text (an `Authorization: Basic` holds it behind a user's name). What is looked for is the whole
 * secret: a part of it, a compressed or an encrypted one is not found.
 */
import { encodeUtf8 } from "@trustwarden/core/bytes.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { Pattern } from "./automaton.ts";

/** A shorter one would be found where nobody put it, and every answer would be full of masks. */
const MIN_SECRET_CHARS = 8;
/** A header line of most servers; the patterns of one secret take twelve times as many states. */
const MAX_SECRET_CHARS = 4096;
/** What can go onto a header line: printable ASCII, no space at either end. */
const SECRET_VALUE = /^[!-~](?:[ -~]*[!-~])?$/;

/**
 * A secret that can be injected, and found again.
 *
 * @throws TrustWardenError `secret_malformed`.
 */
export function parseSecretValue(text: string): string {
  if (text.length < MIN_SECRET_CHARS || text.length > MAX_SECRET_CHARS || !SECRET_VALUE.test(text)) {
    throw new TrustWardenError("secret_malformed", {
      reason: `a value is ${MIN_SECRET_CHARS} to ${MAX_SECRET_CHARS} printable ASCII characters`,
    });
  }
  return text;
}

/** Bits of base64 that belong to bytes before the secret, by how many such bytes share its group. */
const SHARED_CHARS = [0, 2, 3] as const;

/** Every byte string to look for. */
export function formsOf(secret: string, owner: number): readonly Pattern[] {
  const bytes = encodeUtf8(secret);
  const hex = Buffer.from(bytes).toString("hex");
  const plus = secret.includes(" ") ? [secret.replaceAll(" ", "+")] : [];
  const texts = [secret, ...plus, hex, hex.toUpperCase(), ...base64FormsOf(bytes)];
  return [...new Set(texts)].map((text) => ({ bytes: encodeUtf8(text), owner }));
}

/** The characters that depend on the secret alone, for each of the three places where it may begin. */
function base64FormsOf(bytes: Uint8Array): readonly string[] {
  return SHARED_CHARS.flatMap((shared, before) => {
    const encoded = Buffer.concat([Buffer.alloc(before), bytes]).toString("base64");
    const whole = Math.floor(((before + bytes.length) * 8) / 6);
    const own = encoded.slice(shared, whole);
    return [own, own.replaceAll("+", "-").replaceAll("/", "_")];
  });
}
