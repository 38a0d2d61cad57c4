/**
 * What names a human, at rest: sealed under a key that is itself sealed under the unseal key, which is elsewhere.
 *
 * Whoever copies the data directory reads no name and no address of people and links, and cannot try addresses out: how one
 * looks is kept as a keyed digest. What waits for a second admin is sealed too, since an invitation names an address
 * (docs/decisions/0057). The same key makes the challenges of passkeys, by other labels.
 */
import { formatAddressLook } from "@trustwarden/core/address.ts";
import { encodeBase64url, encodeUtf8, parseBase64url, parseUtf8 } from "@trustwarden/core/bytes.ts";
import { hmacSha256 } from "@trustwarden/core/crypto.ts";
import type { Random } from "@trustwarden/core/id.ts";
import { formatCanonicalJson, parseJsonObject } from "@trustwarden/core/json.ts";
import { UnsealKey } from "../signer/unseal-key.ts";

const MAX_CHARS = 4096;
/** No body of a request begins so: they are JSON, or empty. */
const SEALED_TEXT = "sealed:";

/** What is sealed of a person. */
export interface PersonDetails {
  /** As others may see it; empty for none. */
  readonly name: string;
  /** As it was given; null for none. */
  readonly address: string | null;
}

/** Holds keys: never logged. */
export class PersonSeal {
  readonly #sealing: UnsealKey;
  readonly #texts: UnsealKey;
  readonly #looks: Uint8Array;
  readonly #subjects: Uint8Array;
  /** MAC key of challenges. */
  readonly challengeKey: Uint8Array;

  /** @param key - 32 random bytes. */
  constructor(key: Uint8Array, random: Random) {
    this.#sealing = new UnsealKey(derive(key, "person-details"), random);
    this.#texts = new UnsealKey(derive(key, "texts"), random);
    this.#looks = derive(key, "address-looks");
    this.#subjects = derive(key, "provider-subjects");
    this.challengeKey = derive(key, "passkey-challenges");
  }

  /** @param context - Whose it is; the same must be given to open. */
  seal({ name, address }: PersonDetails, context: string): Uint8Array {
    const plaintext = encodeUtf8(formatCanonicalJson({ name, address }));
    return this.#sealing.seal({ plaintext, context: encodeUtf8(context) });
  }

  /** @throws TrustWardenError `seal_broken`. */
  open(sealed: Uint8Array, context: string): PersonDetails {
    const text = parseUtf8(this.#sealing.open({ sealed, context: encodeUtf8(context) }));
    const { name, address } = parseJsonObject(text, MAX_CHARS);
    return {
      name: typeof name === "string" ? name : "",
      address: typeof address === "string" ? address : null,
    };
  }

  /** A text as it is kept, such as the body of what waits for a second admin: an invitation's names an address. */
  sealText(text: string, context: string): string {
    const sealed = this.#texts.seal({ plaintext: encodeUtf8(text), context: encodeUtf8(context) });
    return `${SEALED_TEXT}${encodeBase64url(sealed)}`;
  }

  /** The text; one of before, when none was sealed, is as it was. @throws TrustWardenError `seal_broken`. */
  openText(kept: string, context: string): string {
    if (!kept.startsWith(SEALED_TEXT)) return kept;
    const sealed = parseBase64url(kept.slice(SEALED_TEXT.length));
    return parseUtf8(this.#texts.open({ sealed, context: encodeUtf8(context) }));
  }

  /** Keyed digest of how an address looks; null for none. */
  lookOf(address: string | null): string | null {
    if (address === null) return null;
    return encodeBase64url(hmacSha256(this.#looks, encodeUtf8(formatAddressLook(address))));
  }

  /** Keyed digest of an identity provider's name for somebody, which may be an address. */
  digestOfSubject(subject: string): string {
    return encodeBase64url(hmacSha256(this.#subjects, encodeUtf8(subject)));
  }
}

/** One key, one use. */
function derive(key: Uint8Array, label: string): Uint8Array {
  return hmacSha256(key, encodeUtf8(`trustwarden-people-v1\0${label}`));
}
