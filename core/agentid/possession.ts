/**
 * The proof that whoever asks for an identity holds the private key it is for.
 *
 * Signed by the new key over the server's nonce, the key's thumbprint and the digest of the document it goes with: a
 * proof cannot be replayed, moved to another key, or attached to somebody else's ticket or grant. Whether the nonce
 * is one that the server gave and nobody used is the caller's check.
 */
import { formatThumbprint, formatThumbprintOf, type PublicKey, parseP256PublicKey } from "../crypto.ts";
import { issueEnvelope, parseEnvelope, parseUnverifiedPayload, verifyEnvelope } from "../dsse.ts";
import { TrustWardenError } from "../error.ts";
import { Fields } from "../fields.ts";
import type { Signer } from "../signer.ts";

/** What a proof is bound to. */
export interface PossessionClaim {
  /** base64url, as the server gave it. */
  readonly nonce: string;
  /** base64url SHA-256 of the ticket's or grant's text (`digestOfEnrolment`); for a renewal, of the current SVID. */
  readonly enrolmentSha256: string;
}

/** A key whose possession is proven. */
export interface Possession {
  /** To be consumed by the caller. */
  readonly nonce: string;
  /** RFC 7638, base64url. */
  readonly thumbprint: string;
  readonly publicKey: PublicKey;
}

/** Signs a proof with the new key. */
export function issuePossession({ nonce, enrolmentSha256 }: PossessionClaim, signer: Signer): string {
  const thumbprint = formatThumbprint(signer.publicKey);
  const payload = { v: 1, nonce, thumbprint, enrolment_sha256: enrolmentSha256 };
  return issueEnvelope("possession", payload, signer, thumbprint);
}

/**
 * The key of a proof that was made by it, for this document.
 *
 * @param options.nonce - when given, the proof must name exactly this one.
 * @throws TrustWardenError `public_key_refused`, `signature_invalid`, `possession_invalid`, `nonce_invalid`, and the
 *   DSSE and JSON codes.
 */
export function verifyPossession(options: {
  readonly envelope: string;
  readonly spki: Uint8Array;
  readonly enrolmentSha256: string;
  readonly nonce?: string;
}): Possession {
  const publicKey = parseP256PublicKey(options.spki);
  const thumbprint = formatThumbprintOf(options.spki);
  const parsed = parseEnvelope(options.envelope);
  const members = new Fields(verifyEnvelope(parsed, "possession", publicKey), "possession_invalid");
  members.version();
  const nonce = members.digest("nonce");
  const claimed = { thumbprint: members.digest("thumbprint"), enrolment: members.digest("enrolment_sha256") };
  members.end();
  if (claimed.thumbprint !== thumbprint || parsed.unverifiedKeyid !== thumbprint) throw invalid("thumbprint");
  // A proof made for one ticket must not enrol another one with the same key.
  if (claimed.enrolment !== options.enrolmentSha256) throw invalid("enrolment_sha256");
  if (options.nonce !== undefined && nonce !== options.nonce) throw new TrustWardenError("nonce_invalid");
  return { nonce, thumbprint, publicKey };
}

/**
 * What a proof claims to be bound to; only for finding what it follows, which `verifyPossession` then demands.
 *
 * @throws TrustWardenError `possession_invalid`, and the DSSE and JSON codes.
 */
export function parseUnverifiedEnrolmentDigest(envelope: string): string {
  return new Fields(parseUnverifiedPayload(parseEnvelope(envelope)), "possession_invalid").digest(
    "enrolment_sha256",
  );
}

function invalid(field: string): TrustWardenError {
  return new TrustWardenError("possession_invalid", { field });
}
