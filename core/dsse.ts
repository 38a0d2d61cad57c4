/**
 * DSSE envelopes: how every TrustWarden record, ticket, grant and proof is signed.
 *
 * The signature covers the exact payload bytes and their type (PAE), so nobody has to canonicalise to verify, and a
 * document of one type can never be read as another. One signature an envelope, base64 as in the DSSE text.
 *
 * @see DSSE protocol v1.0.0, https://github.com/secure-systems-lab/dsse/blob/master/protocol.md
 */
import { concatBytes, encodeBase64, encodeUtf8, parseBase64, parseBase64url, parseUtf8 } from "./bytes.ts";
import { isP256Signature } from "./crypto.ts";
import { TrustWardenError } from "./error.ts";
import {
  encodeCanonicalJson,
  formatCanonicalJson,
  isJsonObject,
  type Json,
  type JsonObject,
  parseCanonicalObject,
} from "./json.ts";
import { type Assertion, isPasskey, type OwnerKey, readDeviceSignature, requireAsserted } from "./passkey.ts";
import type { Signer } from "./signer.ts";

/** Largest envelope that we read; the ledger's own limit is lower (16 KiB by default). */
const MAX_ENVELOPE_CHARS = 65_535;

/** What a DSSE payload is; the type is under the signature. */
export type PayloadType = `application/vnd.trustwarden.${PayloadName}.v1+json`;
export type PayloadName =
  | "intent"
  | "presented-intent"
  | "decision"
  | "outcome"
  | "control"
  | "ticket"
  | "entry"
  | "grant"
  | "possession"
  | "approval"
  | "transfer"
  | "owner-request"
  | "succession"
  | "evidence";

/** A parsed envelope whose signature nobody has checked yet. */
export interface UnverifiedEnvelope {
  readonly payloadType: string;
  /** Exact bytes under the signature. */
  readonly payload: Uint8Array;
  /** Who claims to have signed; only a hint for finding the key, never an identity. */
  readonly unverifiedKeyid: string;
  /** 64 bytes r||s. */
  readonly signature: Uint8Array;
  /** What a passkey signed along; null for every other key. */
  readonly assertion: Assertion | null;
}

/** The payload type of a name. */
export function payloadTypeOf(name: PayloadName): PayloadType {
  return `application/vnd.trustwarden.${name}.v1+json`;
}

/** Pre-authentication encoding: the bytes that are signed. */
export function encodePae(payloadType: string, payload: Uint8Array): Uint8Array {
  return concatBytes(encodePaeHead(payloadType, payload.length), payload);
}

/** The pre-authentication encoding of a payload up to its first byte. */
export function encodePaeHead(payloadType: string, payloadBytes: number): Uint8Array {
  const typeBytes = encodeUtf8(payloadType).length;
  return encodeUtf8(`DSSEv1 ${typeBytes} ${payloadType} ${payloadBytes} `);
}

/**
 * Signs a payload (as JCS) and returns the envelope's JSON text, itself canonical.
 *
 * @param keyid - base64url SHA-256 of the signer's SVID (DER), or of its SPKI where there is no SVID (owners), or
 *   the JWK thumbprint (proofs of possession).
 */
export function issueEnvelope(name: PayloadName, payload: JsonObject, signer: Signer, keyid: string): string {
  return signDraft(draftEnvelope(name, payload, keyid), signer);
}

/** An envelope that only lacks its signature: for a key that signs elsewhere. */
export interface EnvelopeDraft {
  /** The bytes of the payload. */
  readonly payload: Uint8Array;
  /** What is to be signed. */
  readonly pae: Uint8Array;
  /** The envelope's text. @param signature - 64 bytes r||s over `pae`, or over an assertion whose challenge is its digest. */
  complete(signature: Uint8Array, assertion?: Assertion): string;
}

/** `issueEnvelope` for a key that signs elsewhere. */
export function draftEnvelope(name: PayloadName, payload: JsonObject, keyid: string): EnvelopeDraft {
  const payloadType = payloadTypeOf(name);
  const bytes = encodeCanonicalJson(payload);
  const complete = (signature: Uint8Array, assertion?: Assertion): string => {
    const webauthn = assertion === undefined ? {} : { webauthn: formatAssertion(assertion) };
    return formatCanonicalJson({
      payload: encodeBase64(bytes),
      payloadType,
      signatures: [{ keyid, sig: encodeBase64(signature), ...webauthn }],
    });
  };
  return { payload: bytes, pae: encodePae(payloadType, bytes), complete };
}

/** The envelope's text, signed by a key that is at hand. */
export function signDraft({ pae, complete }: EnvelopeDraft, signer: Signer): string {
  return complete(signer.sign(pae));
}

/** What a browser answers when it was asked for an assertion, base64url. */
export interface AssertionResponse {
  readonly authenticatorData: string;
  readonly clientDataJSON: string;
  readonly signature: string;
}

/** The envelope's text, signed by a passkey that was asked for `challengeOf(draft.pae)`. @throws TrustWardenError `passkey_invalid`. */
export function completeByPasskey({ complete }: EnvelopeDraft, response: AssertionResponse): string {
  return complete(readDeviceSignature(parseBase64url(response.signature)), {
    authenticatorData: parseBase64url(response.authenticatorData),
    clientDataJson: parseBase64url(response.clientDataJSON),
  });
}

/**
 * The envelope of untrusted text.
 *
 * @throws TrustWardenError `dsse_malformed` (and the JSON codes) unless it has exactly our members, one signature of
 *   64 bytes, strict base64, and is written canonically: one envelope, one spelling, one digest.
 */
export function parseEnvelope(text: string): UnverifiedEnvelope {
  const json = parseCanonicalObject(text, MAX_ENVELOPE_CHARS);
  if (json === null) throw new TrustWardenError("dsse_malformed", { reason: "not canonical" });
  const { payload, payloadType, signatures, ...rest } = json;
  if (typeof payload !== "string" || typeof payloadType !== "string" || Object.keys(rest).length > 0) {
    throw new TrustWardenError("dsse_malformed", { reason: "members" });
  }
  if (!Array.isArray(signatures) || signatures.length !== 1) {
    throw new TrustWardenError("dsse_malformed", { reason: "one signature expected" });
  }
  const [only] = signatures;
  if (!isJsonObject(only)) throw new TrustWardenError("dsse_malformed", { reason: "signature members" });
  const { keyid, sig, webauthn, ...more } = only;
  if (typeof keyid !== "string" || typeof sig !== "string" || Object.keys(more).length > 0) {
    throw new TrustWardenError("dsse_malformed", { reason: "signature members" });
  }
  const signature = parseBase64(sig);
  if (signature.length !== 64) throw new TrustWardenError("dsse_malformed", { reason: "signature length" });
  const assertion = webauthn === undefined ? null : parseAssertion(webauthn);
  return { payloadType, payload: parseBase64(payload), unverifiedKeyid: keyid, signature, assertion };
}

function formatAssertion({ authenticatorData, clientDataJson }: Assertion): JsonObject {
  return {
    authenticator_data: encodeBase64(authenticatorData),
    client_data: encodeBase64(clientDataJson),
  };
}

function parseAssertion(json: Json): Assertion {
  if (!isJsonObject(json)) throw new TrustWardenError("dsse_malformed", { reason: "assertion" });
  const { authenticator_data: data, client_data: client, ...rest } = json;
  if (typeof data !== "string" || typeof client !== "string" || Object.keys(rest).length > 0) {
    throw new TrustWardenError("dsse_malformed", { reason: "assertion" });
  }
  return { authenticatorData: parseBase64(data), clientDataJson: parseBase64(client) };
}

/**
 * The payload of an envelope that `key` signed as a document of the named type.
 *
 * @throws TrustWardenError `signature_invalid` for another key, another type or altered bytes; the JSON codes when
 *   the signed payload is not a canonical JSON object.
 */
export function verifyEnvelope(envelope: UnverifiedEnvelope, name: PayloadName, key: OwnerKey): JsonObject {
  requireSigned(envelope, name, key);
  return parsePayload(envelope);
}

/**
 * Proves an envelope whose payload was parsed already: what was read from exactly these bytes may now be believed.
 *
 * @throws TrustWardenError `signature_invalid` for another key, another type or altered bytes.
 */
export function requireSigned(envelope: UnverifiedEnvelope, name: PayloadName, key: OwnerKey): void {
  if (envelope.payloadType !== payloadTypeOf(name)) {
    throw new TrustWardenError("signature_invalid", { reason: "payload type", expected: name });
  }
  const { assertion, signature } = envelope;
  const pae = encodePae(envelope.payloadType, envelope.payload);
  // A key of a file proves no human, and a device's signs nothing else than assertions: neither is taken for the other.
  if (isPasskey(key) !== (assertion !== null)) {
    throw new TrustWardenError("signature_invalid", { reason: "form of the signature", type: name });
  }
  if (isPasskey(key)) {
    if (assertion !== null) requireAsserted(key, pae, { assertion, signature });
    return;
  }
  if (!isP256Signature(key, pae, signature)) {
    throw new TrustWardenError("signature_invalid", { reason: "signature", type: name });
  }
}

/** The payload's JSON before anyone has proven it; for finding out which key to check. */
export function parseUnverifiedPayload(envelope: UnverifiedEnvelope): JsonObject {
  return parsePayload(envelope);
}

function parsePayload(envelope: UnverifiedEnvelope): JsonObject {
  const text = parseUtf8(envelope.payload);
  const json = parseCanonicalObject(text, MAX_ENVELOPE_CHARS);
  if (json === null) throw new TrustWardenError("dsse_malformed", { reason: "payload not canonical" });
  return json;
}
