/**
 * Challenges for passkeys, and nonces for identity providers.
 *
 * Handing one out costs no memory: it carries what it is for and until when, under a MAC. That it counts once
 * is decided by the transaction of the command that it allows, so that it holds across processes and restarts.
 */
import { concatBytes, encodeBase64url, encodeUtf8, parseBase64url } from "@trustwarden/core/bytes.ts";
import { hmacSha256, isEqualSecret, sha256 } from "@trustwarden/core/crypto.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { Random } from "@trustwarden/core/id.ts";
import type { UsedChallenge } from "../store/people-ports.ts";

/** As long as somebody may look for the key that has to be touched. */
const CHALLENGE_SECONDS = 300;
const RANDOM_BYTES = 16;
const EXPIRY_BYTES = 4;
const MAC_BYTES = 32;
const BODY_BYTES = RANDOM_BYTES + EXPIRY_BYTES;

/** What is to be allowed by a passkey. */
export type PasskeyPurpose =
  | "register"
  | "log-in"
  | "add-passkey"
  | "remove-passkey"
  /** A word for one provider is no word for another. */
  | `add-identity:${string}`;
/** `provider:<name>` is a sign-in through that identity provider. */
type ChallengePurpose = PasskeyPurpose | `provider:${string}`;

/** Makes challenges and knows them again. */
export class Challenges {
  readonly #key: Uint8Array;
  readonly #random: Random;

  constructor(key: Uint8Array, random: Random) {
    this.#key = key;
    this.#random = random;
  }

  /** @param now - Unix seconds. */
  issue(purpose: ChallengePurpose, now: number): { readonly challenge: string; readonly expiresAt: number } {
    const expiresAt = now + CHALLENGE_SECONDS;
    const body = new Uint8Array(BODY_BYTES);
    body.set(this.#random(RANDOM_BYTES));
    new DataView(body.buffer).setUint32(RANDOM_BYTES, expiresAt);
    return { challenge: encodeBase64url(concatBytes(body, this.#macOf(purpose, body))), expiresAt };
  }

  /** @throws TrustWardenError `challenge_invalid` for what is not ours, for another purpose, or over. */
  verify(challenge: string, purpose: ChallengePurpose, now: number): UsedChallenge {
    const bytes = parseBase64url(challenge);
    if (bytes.length !== BODY_BYTES + MAC_BYTES) refuse("length");
    const body = bytes.slice(0, BODY_BYTES);
    if (!isEqualSecret(this.#macOf(purpose, body), bytes.slice(BODY_BYTES)))
      refuse("not ours, or not for this");
    const expiresAt = new DataView(body.buffer).getUint32(RANDOM_BYTES);
    if (now >= expiresAt) refuse("expired");
    return { id: encodeBase64url(sha256(bytes)), expiresAt };
  }

  #macOf(purpose: ChallengePurpose, body: Uint8Array): Uint8Array {
    return hmacSha256(this.#key, concatBytes(body, encodeUtf8(purpose)));
  }
}

function refuse(reason: string): never {
  throw new TrustWardenError("challenge_invalid", { reason });
}
