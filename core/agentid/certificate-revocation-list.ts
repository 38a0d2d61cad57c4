/**
 * Certificate revocation lists, for verifiers that know nothing but X.509: which serials of one issuer are void.
 *
 * Our own verifiers do not wait for lists: they hold a lease (`core/revocation/`). A list is as old as its reader's copy,
 * and its `nextUpdate` is how long a stolen certificate may outlive its revocation there.
 *
 * @see RFC 5280 §5
 */
import { isEqualBytes } from "../bytes.ts";
import { isP256Signature } from "../crypto.ts";
import { TrustWardenError } from "../error.ts";
import type { Signer } from "../signer.ts";
import type { Certificate } from "./certificate.ts";
import {
  type CrlContent,
  encodeCrl,
  encodeTbsCrl,
  MAX_CRL_BYTES,
  parseTbsCrl,
  type RevokedCertificate,
  requireEcdsaWithSha256,
} from "./certificate-revocation-list-der.ts";
import { encodeDerSignature, parseDerSignature } from "./certificate-signature.ts";
import { DER_TAG, derMalformed, parseBitString, parseDer, parseMembers } from "./der-reader.ts";
import type { CaCertificate, CertificateDraft } from "./svid-profile.ts";

/** A well-formed list; nobody has checked its signature yet. */
export interface CertificateRevocationList extends CrlContent {
  readonly der: Uint8Array;
  /** The signed part. */
  readonly tbs: Uint8Array;
  /** 64 bytes r||s. */
  readonly signature: Uint8Array;
}

/**
 * A list of the certificates that `ca` issued and that are void, complete: a serial that is not on it is not revoked.
 *
 * @param options.signer - the key of `ca`.
 * @param options.number - larger than that of every list of this issuer before.
 * @param options.now - Unix seconds.
 * @param options.ttlSeconds - until the next update; cut to the issuer's own life.
 * @returns DER.
 * @throws TrustWardenError `crl_untrusted` when `ca` may not sign lists or the signer is not its own, or
 *   `authority_expired`.
 */
export function issueCertificateRevocationList(options: {
  readonly ca: CaCertificate;
  readonly signer: Signer;
  readonly number: number;
  readonly now: number;
  readonly ttlSeconds: number;
  readonly revoked: readonly RevokedCertificate[];
}): Uint8Array {
  const { signer } = options;
  if (signer.algorithm !== "ES256") throw new Error("lists are signed with ES256");
  const { tbs, complete } = draftCertificateRevocationList(options);
  return complete(signer.sign(tbs));
}

/**
 * `issueCertificateRevocationList` for a key that signs elsewhere.
 *
 * @throws TrustWardenError `authority_expired`; completing it, `crl_untrusted` for another key's signature.
 */
export function draftCertificateRevocationList(options: {
  readonly ca: CaCertificate;
  readonly number: number;
  readonly now: number;
  readonly ttlSeconds: number;
  readonly revoked: readonly RevokedCertificate[];
}): CertificateDraft {
  const { ca, number, now, ttlSeconds, revoked } = options;
  if (ca.notAfter <= now) throw new TrustWardenError("authority_expired", { notAfter: ca.notAfter, now });
  const nextUpdate = Math.min(now + ttlSeconds, ca.notAfter);
  const tbs = encodeTbsCrl({
    issuer: ca.subject,
    aki: ca.ski,
    number,
    thisUpdate: now,
    nextUpdate,
    revoked,
  });
  const complete = (signature: Uint8Array): Uint8Array => {
    const der = encodeCrl(tbs, encodeDerSignature(signature));
    // Nothing leaves that a strict reader would refuse, or read differently.
    const made = verifyCertificateRevocationList(der, ca, now);
    const isExact =
      made.number === number && made.nextUpdate === nextUpdate && made.revoked.length === revoked.length;
    if (!isExact) throw new Error("the list made is not the one asked for");
    return der;
  };
  return { tbs, complete };
}

/**
 * The list in untrusted DER.
 *
 * @throws TrustWardenError `crl_malformed` for anything but strict DER of our one profile, above 14 MB.
 */
export function parseCertificateRevocationList(der: Uint8Array): CertificateRevocationList {
  try {
    return parseFields(Uint8Array.from(der));
  } catch (cause) {
    if (!(cause instanceof TrustWardenError)) throw cause;
    throw new TrustWardenError("crl_malformed", { reason: cause.details.reason ?? cause.code }, { cause });
  }
}

/**
 * Proves that a list is its issuer's and in force.
 *
 * @param issuer - proven by the caller.
 * @param now - Unix seconds.
 * @throws TrustWardenError `crl_malformed`, `crl_untrusted`, or `crl_expired` outside of its two dates.
 * @see RFC 5280 §6.3.3
 */
export function verifyCertificateRevocationList(
  der: Uint8Array,
  issuer: Certificate,
  now: number,
): CertificateRevocationList {
  const list = parseCertificateRevocationList(der);
  if (!issuer.isCa || issuer.keyUsage?.cRLSign !== true) throw untrusted("issuer may not sign lists");
  if (!isEqualBytes(list.issuer, issuer.subject)) throw untrusted("issuer's name");
  if (issuer.ski === undefined || !isEqualBytes(list.aki, issuer.ski)) throw untrusted("key identifier");
  if (!isP256Signature(issuer.publicKey, list.tbs, list.signature)) throw untrusted("signature");
  const { thisUpdate, nextUpdate } = list;
  if (!(now >= thisUpdate && now < nextUpdate))
    throw new TrustWardenError("crl_expired", { thisUpdate, nextUpdate, now });
  return list;
}

function parseFields(der: Uint8Array): CertificateRevocationList {
  const [tbs, algorithm, signature, ...rest] = parseMembers(parseDer(der, MAX_CRL_BYTES), DER_TAG.sequence);
  if (tbs === undefined || rest.length > 0) throw derMalformed("list");
  requireEcdsaWithSha256(algorithm);
  return {
    der,
    tbs: tbs.raw,
    signature: parseDerSignature(parseBitString(signature)),
    ...parseTbsCrl(tbs),
  };
}

function untrusted(reason: string): TrustWardenError {
  return new TrustWardenError("crl_untrusted", { reason });
}
