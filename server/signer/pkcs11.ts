/**
 * Keys in a hardware token: made there, never leaving it, signing there.
 *
 * Synchronous, so that the writer may sign with them in its transaction. P-256 only. A token that does not answer stops
 * issuance; it never falls back to another key.
 *
 * @see PKCS #11 Current Mechanisms 2.40, section 2.3 (ECDSA)
 */
import { encodeHex } from "@trustwarden/core/bytes.ts";
import { encodeSpki, parseP256PublicKey, sha256 } from "@trustwarden/core/crypto.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { Random } from "@trustwarden/core/id.ts";
import type { Signer } from "@trustwarden/core/signer.ts";
import { type Attribute, CKA, Pkcs11Session } from "./pkcs11-library.ts";

/** Which token, and what opens it. Holds a secret: never logged. */
export interface TokenPlace {
  /** Path of the token's PKCS#11 library. */
  readonly module: string;
  /** The token's label. */
  readonly token: string;
  readonly pin: string;
}

const CKO_PUBLIC_KEY = 2;
const CKO_PRIVATE_KEY = 3;
const P256_OID_DER = Uint8Array.of(0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07);
/** SubjectPublicKeyInfo of a P-256 key, up to its point. */
const SPKI_PREFIX = Buffer.from("3059301306072a8648ce3d020106082a8648ce3d030107034200", "hex");
/** OCTET STRING of an uncompressed point of 65 bytes. */
const POINT_PREFIX = Uint8Array.of(0x04, 0x41);
const POINT_BYTES = 65;
const SIGNATURE_BYTES = 64;
const ID_BYTES = 20;
const LABEL = Buffer.from("trustwarden", "utf8");
const TRUE = Uint8Array.of(1);
const FALSE = Uint8Array.of(0);

/** Sessions of this thread: opening one is a round trip to the token. */
const sessions = new Map<string, Pkcs11Session>();

/**
 * Makes a key in the token; it can never be read out of it.
 *
 * @returns its name in the token (CKA_ID, hex) and its public key.
 * @throws TrustWardenError `signer_unavailable`.
 */
export function createTokenKey(
  place: TokenPlace,
  random: Random,
): { readonly id: string; readonly spki: Uint8Array } {
  const name = random(ID_BYTES);
  const both: readonly Attribute[] = [
    { type: CKA.token, value: TRUE },
    { type: CKA.label, value: LABEL },
    { type: CKA.id, value: name },
  ];
  sessionOf(place).generateKeyPair(
    [...both, { type: CKA.ecParams, value: P256_OID_DER }, { type: CKA.verify, value: TRUE }],
    [
      ...both,
      { type: CKA.private, value: TRUE },
      { type: CKA.sensitive, value: TRUE },
      { type: CKA.extractable, value: FALSE },
      { type: CKA.sign, value: TRUE },
    ],
  );
  const id = encodeHex(name);
  return { id, spki: readSpki(place, id) };
}

/** A signer whose key stays in the token. @throws TrustWardenError `signer_unavailable`, `public_key_refused`. */
export function openTokenSigner(place: TokenPlace, id: string): Signer {
  const session = sessionOf(place);
  const publicKey = parseP256PublicKey(readSpki(place, id));
  const key = session.findObject(attributesOf(CKO_PRIVATE_KEY, id));
  return {
    algorithm: "ES256",
    publicKey,
    sign: (data) => session.sign(key, sha256(data), SIGNATURE_BYTES),
  };
}

/** Removes both halves of a key from the token; nothing happens when it is not there. */
export function destroyTokenKey(place: TokenPlace, id: string): void {
  const session = sessionOf(place);
  for (const kind of [CKO_PRIVATE_KEY, CKO_PUBLIC_KEY]) {
    try {
      session.destroy(session.findObject(attributesOf(kind, id)));
    } catch (error) {
      // Safe: what cannot be found cannot sign either, and the token itself refuses what it does not have.
      if (!(error instanceof TrustWardenError)) throw error;
    }
  }
}

function readSpki(place: TokenPlace, id: string): Uint8Array {
  const session = sessionOf(place);
  const encoded = session.readAttribute(session.findObject(attributesOf(CKO_PUBLIC_KEY, id)), CKA.ecPoint);
  const isPoint =
    encoded.length === POINT_PREFIX.length + POINT_BYTES &&
    encoded[0] === POINT_PREFIX[0] &&
    encoded[1] === POINT_PREFIX[1];
  if (!isPoint) throw new TrustWardenError("signer_unavailable", { reason: "not a P-256 point" });
  const spki = new Uint8Array(Buffer.concat([SPKI_PREFIX, encoded.subarray(POINT_PREFIX.length)]));
  return encodeSpki(parseP256PublicKey(spki));
}

/** What finds an object of a kind by its name. */
export function attributesOf(kind: number, id: string): readonly Attribute[] {
  const value = new Uint8Array(new BigUint64Array([BigInt(kind)]).buffer);
  return [
    { type: CKA.class, value },
    { type: CKA.id, value: new Uint8Array(Buffer.from(id, "hex")) },
  ];
}

/** The session of this thread. @throws TrustWardenError `signer_unavailable`. */
export function sessionOf(place: TokenPlace): Pkcs11Session {
  const key = keyOf(place);
  const session = sessions.get(key) ?? new Pkcs11Session(place);
  sessions.set(key, session);
  return session;
}

/** The next use opens a new one: a token that was away does not know the old one any more. */
export function forgetSession(place: TokenPlace): void {
  sessions.delete(keyOf(place));
}

function keyOf({ module, token }: TokenPlace): string {
  return `${module}\0${token}`;
}
