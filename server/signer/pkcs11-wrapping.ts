/**
 * AES keys in a hardware token that wrap other keys: made there, never leaving it, asked to encrypt and decrypt.
 *
 * AES-256-GCM with a nonce of ours and the context as additional data, so that a wrapped key opens for what it was
 * wrapped for and nothing else. Synchronous like every use of a token; a data key is a few dozen bytes.
 *
 * @see PKCS #11 Current Mechanisms 2.40, section 2.12 (AES-GCM)
 */
import { concatBytes, encodeHex } from "@trustwarden/core/bytes.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { Random } from "@trustwarden/core/id.ts";
import { attributesOf, forgetSession, sessionOf, type TokenPlace } from "./pkcs11.ts";
import { CKA, type Pkcs11Session } from "./pkcs11-library.ts";

const CKO_SECRET_KEY = 4;
const ID_BYTES = 20;
const NONCE_BYTES = 12;
const KEY_BYTES = 32n;
const LABEL = Buffer.from("trustwarden-kek", "utf8");
const TRUE = Uint8Array.of(1);
const FALSE = Uint8Array.of(0);

/** A key and what it is bound to. */
interface KeyInContext {
  readonly key: Uint8Array;
  readonly context: Uint8Array;
}

/** @returns the key's name in the token (CKA_ID, hex). @throws TrustWardenError `signer_unavailable`. */
export function createTokenWrappingKey(place: TokenPlace, random: Random): string {
  const name = random(ID_BYTES);
  use(place, (session) =>
    session.generateAesKey([
      { type: CKA.token, value: TRUE },
      { type: CKA.private, value: TRUE },
      { type: CKA.sensitive, value: TRUE },
      { type: CKA.extractable, value: FALSE },
      { type: CKA.encrypt, value: TRUE },
      { type: CKA.decrypt, value: TRUE },
      { type: CKA.valueLength, value: new Uint8Array(new BigUint64Array([KEY_BYTES]).buffer) },
      { type: CKA.label, value: LABEL },
      { type: CKA.id, value: name },
    ]),
  );
  return encodeHex(name);
}

/** @returns nonce, ciphertext and tag. @throws TrustWardenError `signer_unavailable`. */
export function wrapInToken(
  place: TokenPlace,
  id: string,
  { key, context, random }: KeyInContext & { readonly random: Random },
): Uint8Array {
  const iv = random(NONCE_BYTES);
  return use(place, (session) =>
    concatBytes(iv, session.encrypt(keyIn(session, id), key, { iv, aad: context })),
  );
}

/** @throws TrustWardenError `signer_unavailable`, `seal_broken` for another key or context. */
export function unwrapInToken(place: TokenPlace, id: string, { key, context }: KeyInContext): Uint8Array {
  const iv = key.slice(0, NONCE_BYTES);
  return use(place, (session) =>
    session.decrypt(keyIn(session, id), key.slice(NONCE_BYTES), { iv, aad: context }),
  );
}

/** What was under the key never opens again. @throws TrustWardenError `signer_unavailable`. */
export function destroyTokenWrappingKey(place: TokenPlace, id: string): void {
  use(place, (session) => session.destroy(keyIn(session, id)));
}

function keyIn(session: Pkcs11Session, id: string): bigint {
  return session.findObject(attributesOf(CKO_SECRET_KEY, id));
}

function use<Result>(place: TokenPlace, work: (session: Pkcs11Session) => Result): Result {
  try {
    return work(sessionOf(place));
  } catch (error) {
    if (error instanceof TrustWardenError && error.code === "signer_unavailable") forgetSession(place);
    throw error;
  }
}
