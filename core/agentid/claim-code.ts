/**
 * Claim codes: what an agent that registered itself shows to the human who is to answer for it.
 *
 * Sixteen characters of Crockford's base32 (80 random bits), in groups of four for whoever types them. A code finds a waiting
 * agent and proves nothing else: what comes of it is a ticket that fits the key of the agent that got the code and no other.
 *
 * @see docs/decisions/0086-agents-that-ask-to-be-claimed.md
 */
import { encodeBase64url, encodeUtf8 } from "../bytes.ts";
import { sha256 } from "../crypto.ts";
import { TrustWardenError } from "../error.ts";
import type { Random } from "../id.ts";

const ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const LENGTH = 16;
const GROUP = /.{4}(?=.)/g;
const CODE = /^[0-9A-HJKMNP-TV-Z]{16}$/;
/** What people type for the groups, and the letters that are no digits of Crockford's. */
const MAX_TYPED = 64;

/** A fresh code, such as `7K2M-Q9TR-0XWF-3BHN`. */
export function createClaimCode(random: Random): string {
  // 256 is a multiple of 32: each digit is as likely as the others.
  const digits = [...random(LENGTH)].map((byte) => ALPHABET[byte % ALPHABET.length]).join("");
  return digits.replace(GROUP, "$&-");
}

/**
 * base64url SHA-256 of a code as it is kept, from what a human typed: in any case, with or without dashes and spaces, O for 0, I
 * and L for 1. Without a key: nobody tries 80 bits within the ten minutes of a code.
 *
 * @throws TrustWardenError `claim_unknown`, as for a code that nobody has.
 */
export function digestOfClaimCode(typed: string): string {
  const code = typed
    .slice(0, MAX_TYPED)
    .toUpperCase()
    .replace(/[\s-]/g, "")
    .replace(/O/g, "0")
    .replace(/[IL]/g, "1");
  if (!CODE.test(code)) throw new TrustWardenError("claim_unknown", { reason: "form" });
  return encodeBase64url(sha256(encodeUtf8(code)));
}
