/**
 * Public keys of rows that are asked for again and again, an owner's or a parent's: imported once. Importing costs about as
 * much as half a signature, and by the bytes themselves nothing has to be forgotten when a row changes.
 */
import { encodeBase64url, parseBase64url } from "@trustwarden/core/bytes.ts";
import { type PublicKey, parseP256PublicKey } from "@trustwarden/core/crypto.ts";
import { rememberParsed } from "./store/parsed-texts.ts";

const importText = rememberParsed((text) => parseP256PublicKey(parseBase64url(text)));

/** `parseP256PublicKey` of a row's key. @throws TrustWardenError `public_key_refused`. */
export function importKeyOnce(spki: Uint8Array): PublicKey {
  return importText(encodeBase64url(spki));
}
