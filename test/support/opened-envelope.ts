/** What an SDK has signed just now: its members, proven by the key that it was given. */
import type { PublicKey } from "@trustwarden/core/crypto.ts";
import { type PayloadName, parseEnvelope, verifyEnvelope } from "@trustwarden/core/dsse.ts";
import type { JsonObject } from "@trustwarden/core/json.ts";

export function openedBy(
  text: string,
  name: PayloadName,
  key: PublicKey,
): { readonly keyid: string; readonly payload: JsonObject } {
  const envelope = parseEnvelope(text);
  return { keyid: envelope.unverifiedKeyid, payload: verifyEnvelope(envelope, name, key) };
}
