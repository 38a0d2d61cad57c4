/**
 * Passkeys as WebAuthn has them: what a browser sends becomes a public key, or an assertion of one, or nothing.
 *
 * Only ES256: the key of an owner is a P-256 key wherever it comes from, so that what it signs can be checked offline by
 * the same few lines (docs/decisions/0049). Users are always verified by the authenticator: a stolen key alone opens nothing.
 * The library is loaded when somebody comes with a passkey, and not before.
 *
 * @see W3C WebAuthn Level 3 §7.1, §7.2
 */

import type { AuthenticationResponse, RegistrationResponse } from "@trustwarden/core/api/people.ts";
import { encodeBase64url, encodeUtf8, parseBase64url, parseUtf8 } from "@trustwarden/core/bytes.ts";
import { encodeSpki, formatP256Jwk, parseP256Jwk, parseP256PublicKey } from "@trustwarden/core/crypto.ts";
import { type ErrorCode, TrustWardenError } from "@trustwarden/core/error.ts";
import { parseJsonObject } from "@trustwarden/core/json.ts";
import type { NewPasskey, PasskeyState } from "../store/people-ports.ts";

/** COSE: ECDSA with SHA-256. */
export const ES256 = -7;
const MAX_CLIENT_DATA_CHARS = 4096;
/** Of an uncompressed point: 4, x, y. */
const POINT_BYTES = 65;

/** Where assertions are made, and over what. */
export interface Ceremony {
  readonly challenge: string;
  /** Of the console. */
  readonly origin: string;
  /** Host name of the origin. */
  readonly rpId: string;
}

/**
 * Nobody is asked for a statement of who made the device. Whoever brings one anyway brings certificates, and the library
 * fetches the revocation lists that these name: a place inside our network, of a stranger's choice.
 *
 * @see W3C WebAuthn Level 3 §8.2 (self attestation), §8.7
 */
async function requireNoCertificates({ response }: RegistrationResponse): Promise<void> {
  const { decodeAttestationObject } = await import("@simplewebauthn/server/helpers");
  const { format, certificates } = refusing(() => {
    const decoded = decodeAttestationObject(Uint8Array.from(parseBase64url(response.attestationObject)));
    return { format: decoded.get("fmt"), certificates: decoded.get("attStmt").get("x5c") };
  });
  const isOwnWord = format === "none" || (format === "packed" && certificates === undefined);
  if (!isOwnWord) refuse("attestation");
}

/** A page of another origin that frames ours is no place to touch a key (§7.1, §7.2: `crossOrigin`). */
function requireUnframed(clientDataJson: string): void {
  const framed = refusing(() => {
    const text = parseUtf8(parseBase64url(clientDataJson));
    const { crossOrigin, topOrigin } = parseJsonObject(text, MAX_CLIENT_DATA_CHARS);
    return (crossOrigin !== undefined && crossOrigin !== false) || topOrigin !== undefined;
  });
  if (framed) refuse("framed");
}

/** The challenge that a browser says was signed; it is verified with the rest. @throws TrustWardenError `passkey_invalid`. */
export function unverifiedChallengeOf(clientDataJson: string): string {
  return refusing(() => {
    const { challenge } = parseJsonObject(parseUtf8(parseBase64url(clientDataJson)), MAX_CLIENT_DATA_CHARS);
    return typeof challenge === "string" ? challenge : refuse("challenge");
  });
}

/** @throws TrustWardenError `passkey_invalid`. */
export async function verifyRegistration(
  response: RegistrationResponse,
  { challenge, origin, rpId }: Ceremony,
): Promise<NewPasskey> {
  const { verifyRegistrationResponse } = await import("@simplewebauthn/server");
  const { convertCOSEtoPKCS } = await import("@simplewebauthn/server/helpers");
  const { transports = [], ...signed } = response.response;
  requireUnframed(signed.clientDataJSON);
  await requireNoCertificates(response);
  const verified = await refusingAsync(() =>
    verifyRegistrationResponse({
      response: { ...response, response: { ...signed, transports }, clientExtensionResults: {} },
      expectedChallenge: challenge,
      expectedOrigin: origin,
      expectedRPID: rpId,
      requireUserVerification: true,
      supportedAlgorithmIDs: [ES256],
    }),
  );
  if (!verified.verified) refuse("registration");
  const { credential, credentialDeviceType, credentialBackedUp, userVerified } = verified.registrationInfo;
  if (!userVerified) refuse("user not verified");
  const point = convertCOSEtoPKCS(credential.publicKey);
  return {
    credentialId: credential.id,
    spki: refusing(() => encodeSpki(parsePoint(point))),
    counter: credential.counter,
    isBackupEligible: credentialDeviceType === "multiDevice",
    isBackedUp: credentialBackedUp,
    transports,
    rpId,
  };
}

/** @throws TrustWardenError `passkey_invalid`. */
export async function verifyAssertion(
  response: AuthenticationResponse,
  passkey: PasskeyState,
  { challenge, origin, rpId }: Ceremony,
): Promise<{ readonly counter: number; readonly isBackedUp: boolean }> {
  const { verifyAuthenticationResponse } = await import("@simplewebauthn/server");
  const { isoCBOR } = await import("@simplewebauthn/server/helpers");
  requireUnframed(response.response.clientDataJSON);
  const verified = await refusingAsync(() =>
    verifyAuthenticationResponse({
      response: { ...response, clientExtensionResults: {} },
      expectedChallenge: challenge,
      expectedOrigin: origin,
      expectedRPID: rpId,
      requireUserVerification: true,
      credential: {
        id: passkey.credentialId,
        publicKey: isoCBOR.encode(coseOf(passkey.spki)),
        counter: passkey.counter,
      },
    }),
  );
  const { newCounter, credentialBackedUp, credentialDeviceType, userVerified } = verified.authenticationInfo;
  if (!verified.verified || !userVerified) refuse("assertion");
  // Whether a key may be copied is said when it is made and never changes (§6.1.3).
  if ((credentialDeviceType === "multiDevice") !== passkey.isBackupEligible) refuse("backup eligibility");
  return { counter: newCounter, isBackedUp: credentialBackedUp };
}

/** COSE_Key of a P-256 key: kty EC2, alg ES256, crv P-256. @see RFC 9053 §7.1.1 */
function coseOf(spki: Uint8Array): Map<number, number | Uint8Array<ArrayBuffer>> {
  const { x, y } = formatP256Jwk(parseP256PublicKey(spki));
  return new Map<number, number | Uint8Array<ArrayBuffer>>([
    [1, 2],
    [3, ES256],
    [-1, 1],
    [-2, Uint8Array.from(parseBase64url(x))],
    [-3, Uint8Array.from(parseBase64url(y))],
  ]);
}

function parsePoint(point: Uint8Array) {
  if (point.length !== POINT_BYTES || point[0] !== 4) refuse("public key");
  const [x, y] = [point.subarray(1, 33), point.subarray(33)].map(encodeBase64url);
  return parseP256Jwk({ kty: "EC", crv: "P-256", x: x ?? "", y: y ?? "" });
}

/** Whatever the library throws is a refusal; its words may hold what the browser sent. */
async function refusingAsync<T>(run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (cause) {
    throw wrap(cause);
  }
}

function refusing<T>(run: () => T): T {
  try {
    return run();
  } catch (cause) {
    throw wrap(cause);
  }
}

function wrap(cause: unknown): TrustWardenError {
  const code: ErrorCode = "passkey_invalid";
  return cause instanceof TrustWardenError && cause.code === code
    ? cause
    : new TrustWardenError(code, { reason: "not as WebAuthn has it" }, { cause });
}

function refuse(reason: string): never {
  throw new TrustWardenError("passkey_invalid", { reason });
}

/** The user handle that an authenticator keeps with a discoverable key. */
export function formatUserHandle(personId: string): string {
  return encodeBase64url(encodeUtf8(personId));
}
