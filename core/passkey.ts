/**
 * What a human signs by a passkey: a WebAuthn assertion whose challenge is the digest of one document.
 *
 * The assertion goes along in the document's envelope, so whoever has the key of the person's own event in the ledger
 * checks it offline, as any signature: that it was made for exactly these bytes, at an origin of the host that the key is
 * bound to, by somebody whom the device had verified. Only one spelling of what a browser signs is read, the one that
 * WebAuthn promises, so that four verifiers cannot read it differently.
 *
 * @see W3C WebAuthn Level 3 §5.8.1.2 (limited verification algorithm), §6.1, §7.2
 */
import { concatBytes, encodeBase64url, encodeUtf8, isEqualBytes } from "./bytes.ts";
import { isP256Signature, type PublicKey, sha256 } from "./crypto.ts";
import { TrustWardenError } from "./error.ts";

/** Without extensions, which nobody asks for. */
const AUTHENTICATOR_DATA_BYTES = 37;
const MAX_CLIENT_DATA_BYTES = 1024;
/** Tags of DER. */
const SEQUENCE = 0x30;
const INTEGER = 0x02;
const COORDINATE_BYTES = 32;
const USER_PRESENT = 0x01;
const USER_VERIFIED = 0x04;
const BACKUP_ELIGIBLE = 0x08;
const BACKED_UP = 0x10;
/** Bits of attested data and of extensions: there are none. */
const MORE_DATA = 0xc0;
/** What stands before the end, or before members of a later version; `crossOrigin` admits no frame of another page. */
const CLIENT_DATA =
  /^\{"type":"webauthn\.get","challenge":"([A-Za-z0-9_-]{43})","origin":"(https?:\/\/([a-z0-9.-]{1,253})(?::[0-9]{1,5})?)","crossOrigin":false[,}]/;

/** What a device adds to a signature. */
export interface Assertion {
  /** Digest of the host, flags, and the device's count. */
  readonly authenticatorData: Uint8Array;
  /** What the browser says it was for, as JSON. */
  readonly clientDataJson: Uint8Array;
}

/** A key that only a device has, and where it may be used. */
export interface Passkey {
  readonly publicKey: PublicKey;
  /** Host that the key was made for, as the log says; null where it does not, and the origin's host has to be it. */
  readonly rpId: string | null;
  /** The one origin that counts; null for whoever checks later, by the host. */
  readonly origin: string | null;
}

/** A key that owners sign with: of a file, or of a device. */
export type OwnerKey = PublicKey | Passkey;

/** What a device says about itself and its use. */
export interface AuthenticatorData {
  readonly counter: number;
  readonly isBackupEligible: boolean;
  readonly isBackedUp: boolean;
}

/** Whether a key is a device's. */
export function isPasskey(key: OwnerKey): key is Passkey {
  return "rpId" in key;
}

/** The public key itself, whatever holds its other half. */
export function publicKeyOf(key: OwnerKey): PublicKey {
  return isPasskey(key) ? key.publicKey : key;
}

/** The challenge for a document. @param pae - what a key of a file would sign. */
export function challengeOf(pae: Uint8Array): string {
  return encodeBase64url(sha256(pae));
}

/** The flags and the count; whether they are signed is another question. @throws TrustWardenError `passkey_invalid`. */
export function readAuthenticatorData(data: Uint8Array): AuthenticatorData {
  const flags = data[32];
  if (data.length !== AUTHENTICATOR_DATA_BYTES || flags === undefined) throw refused("authenticator data");
  return {
    counter: new DataView(data.buffer, data.byteOffset, data.length).getUint32(33),
    isBackupEligible: (flags & BACKUP_ELIGIBLE) !== 0,
    isBackedUp: (flags & BACKED_UP) !== 0,
  };
}

/**
 * A signature as a device writes it, as r||s of 64 bytes.
 *
 * @throws TrustWardenError `passkey_invalid` for anything but two positive integers of at most 32 bytes in DER.
 * @see SEC 1 §C.5; X.690 §8.3, §10
 */
export function readDeviceSignature(der: Uint8Array): Uint8Array {
  const raw = new Uint8Array(2 * COORDINATE_BYTES);
  if (der[0] !== SEQUENCE || der[1] !== der.length - 2) throw refused("signature");
  let at = 2;
  for (const end of [COORDINATE_BYTES, 2 * COORDINATE_BYTES]) {
    const length = der[at + 1] ?? 0;
    const value = der.subarray(at + 2, at + 2 + length);
    const digits = value[0] === 0 ? value.subarray(1) : value;
    const isWhole = der[at] === INTEGER && length > 0 && value.length === length;
    if (!isWhole || digits.length > COORDINATE_BYTES) throw refused("signature");
    raw.set(digits, end - digits.length);
    at += 2 + length;
  }
  if (at !== der.length) throw refused("signature");
  return raw;
}

/**
 * Refuses whatever a verified human has not signed with this key for these bytes.
 *
 * @throws TrustWardenError `signature_invalid`; its `reason` says what was another.
 */
export function requireAsserted(
  key: Passkey,
  pae: Uint8Array,
  { assertion, signature }: { readonly assertion: Assertion; readonly signature: Uint8Array },
): void {
  const { authenticatorData, clientDataJson } = assertion;
  const [flags = 0] = authenticatorData.subarray(32, 33);
  const isForm =
    authenticatorData.length === AUTHENTICATOR_DATA_BYTES &&
    clientDataJson.length <= MAX_CLIENT_DATA_BYTES &&
    (flags & MORE_DATA) === 0;
  if (!isForm) throw invalid("authenticator data");
  if ((flags & USER_PRESENT) === 0 || (flags & USER_VERIFIED) === 0) throw invalid("user not verified");
  requireClientData(key, challengeOf(pae), assertion);
  const signed = concatBytes(authenticatorData, sha256(clientDataJson));
  if (!isP256Signature(key.publicKey, signed, signature)) throw invalid("signature");
}

function requireClientData(
  { rpId, origin }: Passkey,
  challenge: string,
  { authenticatorData, clientDataJson }: Assertion,
): void {
  // Whatever is not ASCII matches nothing.
  const [, signedChallenge, signedOrigin = "", host = ""] =
    CLIENT_DATA.exec(String.fromCharCode(...clientDataJson)) ?? [];
  if (signedChallenge === undefined) throw invalid("client data");
  if (signedChallenge !== challenge) throw invalid("challenge");
  const isThere = origin === null ? isSecure(signedOrigin, host) : signedOrigin === origin;
  if (!isThere) throw invalid("origin");
  const isOfHost = isEqualBytes(authenticatorData.subarray(0, 32), sha256(encodeUtf8(host)));
  if (!isOfHost || (rpId !== null && rpId !== host)) throw invalid("relying party");
}

/** Browsers offer passkeys in no other places. */
function isSecure(origin: string, host: string): boolean {
  return origin.startsWith("https://") || host === "localhost";
}

function invalid(reason: string): TrustWardenError {
  return new TrustWardenError("signature_invalid", { reason });
}

function refused(reason: string): TrustWardenError {
  return new TrustWardenError("passkey_invalid", { reason });
}
