/**
 * Issues the three certificates of a trust domain: root, intermediate and leaf, each with one fixed profile.
 *
 * Nothing comes from a request but the public key: no CSR is read, so there is no attacker-chosen name, usage or
 * lifetime to filter (CVE-2021-27098). Every certificate is parsed and proven again before it is returned.
 *
 * @see X509-SVID §2 to §4 and appendix A; RFC 5280 §4
 */
import { encodeHex, isEqualBytes } from "../bytes.ts";
import { encodeSpki, parseP256PublicKey, requireP256Key } from "../crypto.ts";
import { TrustWardenError } from "../error.ts";
import type { Random } from "../id.ts";
import type { Signer } from "../signer.ts";
import { type Certificate, parseCertificate } from "./certificate.ts";
import { KEY_USAGE, OID } from "./certificate-oids.ts";
import { encodeInteger, encodeSequence, encodeTrue } from "./der-writer.ts";
import { formatSpiffeId, type SpiffeId, type TrustDomain } from "./spiffe-id.ts";
import { requireAuthorityProfile, requireIssuedBy, requireLeafProfile } from "./svid-profile-check.ts";
import {
  authorityName,
  encodeCertificate,
  encodeTbs,
  encodeUsage,
  keyIdentifierOf,
  type Template,
  workloadName,
} from "./svid-profile-template.ts";
import { TbsStencils } from "./tbs-stencil.ts";

/** A verifier whose clock is a little behind still accepts a fresh certificate (SPIRE uses the same cushion). */
const NOT_BEFORE_CUSHION_SECONDS = 10;
/** Random bits in a serial are what keeps a chosen-prefix collision from being planned; RFC 5280 caps the length. */
const MIN_SERIAL_BYTES = 16;
const MAX_SERIAL_BYTES = 20;
/** Below the root: one intermediate. */
const ROOT_PATH_LEN = 1;
/** Below the intermediate: leaves only. */
const INTERMEDIATE_PATH_LEN = 0;

const LEAF_USAGE: Uint8Array = encodeUsage({
  // cA FALSE is the default and so not written, but the extension is: py-spiffe refuses a leaf without it.
  basicConstraints: encodeSequence(),
  keyUsage: [KEY_USAGE.digitalSignature],
  extKeyUsage: [OID.serverAuth, OID.clientAuth],
});

/** By the very certificate, so that nothing outlives the authority that it is about. */
const stencilsOf = new WeakMap<CaCertificate, TbsStencils>();

/** An authority's certificate that is known to be one of ours: it can sign and says who for. */
export type CaCertificate = Certificate & { readonly isCa: true; readonly ski: Uint8Array };

/** Serial and times of a new certificate. */
interface Issuance {
  /** From `createSerial`. */
  readonly serial: Uint8Array;
  /** Unix seconds. */
  readonly now: number;
  /** Unix seconds; shortened to the issuer's own `notAfter`. */
  readonly notAfter: number;
}

/** What a leaf says, and whose it is. */
type LeafIssuance = Issuance & {
  readonly id: SpiffeId;
  readonly spki: Uint8Array;
  readonly ca: CaCertificate;
};

/** A fresh serial: 17 bytes, positive, 134 of its bits random, and the same in DER and in hex. */
export function createSerial(random: Random): Uint8Array {
  const serial = random(MIN_SERIAL_BYTES + 1).slice();
  serial[0] = 0x40 | ((serial[0] ?? 0) & 0x3f);
  return serial;
}

/**
 * The certificate of one of our authorities, from DER.
 *
 * @throws TrustWardenError `svid_malformed` or, when it may not issue for the trust domain, `svid_untrusted`.
 */
export function parseCaCertificate(der: Uint8Array, trustDomain: TrustDomain): CaCertificate {
  const certificate = parseCertificate(der);
  requireAuthorityProfile(certificate, trustDomain, 0);
  const { ski } = certificate;
  if (certificate.uris.length !== 1 || ski === undefined) {
    throw new TrustWardenError("svid_untrusted", { reason: "not an authority of ours" });
  }
  return { ...certificate, isCa: true, ski };
}

/**
 * A certificate (or a revocation list) that only lacks its signature: for a key that signs elsewhere, in a hardware
 * token or a cloud KMS.
 */
export interface CertificateDraft {
  /** What is to be signed. */
  readonly tbs: Uint8Array;
  /**
   * The whole, read back and proven to be exactly what was asked for.
   *
   * @param signature - 64 bytes r||s over `tbs`.
   * @returns DER.
   * @throws TrustWardenError `svid_untrusted` when the signature is not the issuer's.
   */
  complete(signature: Uint8Array): Uint8Array;
}

/**
 * A self-signed root of a trust domain.
 *
 * @returns DER.
 * @throws TrustWardenError `ttl_malformed` when it would not be valid for even a second.
 */
export function issueRoot(
  options: Issuance & { readonly trustDomain: TrustDomain; readonly signer: Signer },
): Uint8Array {
  return signDraft(draftRoot({ ...options, spki: encodeSpki(options.signer.publicKey) }), options.signer);
}

/** `issueRoot` for a key that signs elsewhere. @throws TrustWardenError `ttl_malformed`. */
export function draftRoot(
  options: Issuance & { readonly trustDomain: TrustDomain; readonly spki: Uint8Array },
): CertificateDraft {
  const { trustDomain, spki } = options;
  requireSerial(options.serial);
  requireLater(options.notAfter, options.now);
  const subject = authorityName("root", options.serial);
  return draft(
    {
      ...authorityTemplate({ trustDomain, spki, subject, pathLen: ROOT_PATH_LEN }),
      serial: options.serial,
      issuer: subject,
      authorityKeyIdentifier: keyIdentifierOf(spki),
      notBefore: options.now - NOT_BEFORE_CUSHION_SECONDS,
      notAfter: options.notAfter,
    },
    (root) => {
      requireAuthorityProfile(root, trustDomain, ROOT_PATH_LEN);
      requireIssuedBy(root, root);
    },
  );
}

/**
 * An intermediate of a trust domain, which can issue leaves only.
 *
 * @param options.signer - the root's key.
 * @returns DER.
 * @throws TrustWardenError `public_key_refused`, `ttl_malformed`, `authority_expired` or `clock_rolled_back`.
 */
export function issueIntermediate(
  options: Issuance & {
    readonly trustDomain: TrustDomain;
    readonly spki: Uint8Array;
    readonly ca: CaCertificate;
    readonly signer: Signer;
  },
): Uint8Array {
  return signDraft(draftIntermediate(options), options.signer);
}

/**
 * `issueIntermediate` for a root's key that signs elsewhere.
 *
 * @throws TrustWardenError `public_key_refused`, `ttl_malformed`, `authority_expired` or `clock_rolled_back`.
 */
export function draftIntermediate(
  options: Issuance & {
    readonly trustDomain: TrustDomain;
    readonly spki: Uint8Array;
    readonly ca: CaCertificate;
  },
): CertificateDraft {
  const { trustDomain, spki, ca } = options;
  parseP256PublicKey(spki);
  requireAuthorityProfile(ca, trustDomain, 1);
  const subject = authorityName("intermediate", options.serial);
  return draft(
    {
      ...authorityTemplate({ trustDomain, spki, subject, pathLen: INTERMEDIATE_PATH_LEN }),
      ...under(ca, options),
    },
    (intermediate) => {
      requireAuthorityProfile(intermediate, trustDomain, INTERMEDIATE_PATH_LEN);
      requireIssuedBy(intermediate, ca);
    },
  );
}

/**
 * The X.509-SVID of a workload.
 *
 * @param options.signer - the key of `ca`.
 * @returns DER.
 * @throws TrustWardenError `public_key_refused`, `ttl_malformed`, `spiffe_id_malformed` for an id without a path or
 *   of another trust domain, `authority_expired`, or `clock_rolled_back` before the authority's own beginning.
 */
export function issueLeafCertificate(options: LeafIssuance & { readonly signer: Signer }): Uint8Array {
  return signDraft(draftLeafCertificate(options), options.signer);
}

/** What `issueLeafCertificate` signs, and its proof of what it signed. @throws TrustWardenError as it does. */
export function draftLeafCertificate(options: LeafIssuance): CertificateDraft {
  const { id, spki, ca } = options;
  requireP256Key(spki);
  // An authority's id has no path, so what goes on behind it is a path of its trust domain.
  if (!ca.uris.some((uri) => id.startsWith(`${uri}/`))) {
    throw new TrustWardenError("spiffe_id_malformed", { reason: "not a workload of this trust domain" });
  }
  const template = { subject: workloadName(id), spki, uri: id, usage: LEAF_USAGE, ...under(ca, options) };
  const tbs = leafStencils(ca).encode(template);
  return draft(
    template,
    (leaf) => {
      requireLeafProfile(leaf);
      requireIssuedBy(leaf, ca);
    },
    tbs,
  );
}

function leafStencils(ca: CaCertificate): TbsStencils {
  const stencils = stencilsOf.get(ca) ?? new TbsStencils();
  stencilsOf.set(ca, stencils);
  return stencils;
}

function authorityTemplate(options: {
  readonly trustDomain: TrustDomain;
  readonly spki: Uint8Array;
  readonly subject: Uint8Array;
  readonly pathLen: number;
}): Pick<Template, "subject" | "spki" | "uri" | "usage"> {
  return {
    subject: options.subject,
    spki: options.spki,
    uri: formatSpiffeId(options.trustDomain, []),
    usage: encodeUsage({
      basicConstraints: encodeSequence(encodeTrue(), encodeInteger(Uint8Array.of(options.pathLen))),
      keyUsage: [KEY_USAGE.keyCertSign, KEY_USAGE.cRLSign],
      extKeyUsage: [],
    }),
  };
}

/** What a certificate takes from its issuer: name, key identifier, and a validity inside the issuer's own. */
function under(
  ca: CaCertificate,
  { serial, now, notAfter }: Issuance,
): Pick<Template, "serial" | "issuer" | "authorityKeyIdentifier" | "notBefore" | "notAfter"> {
  requireSerial(serial);
  requireLater(notAfter, now);
  if (ca.notAfter <= now) throw new TrustWardenError("authority_expired", { notAfter: ca.notAfter, now });
  if (ca.notBefore > now) throw new TrustWardenError("clock_rolled_back", { notBefore: ca.notBefore, now });
  return {
    serial,
    issuer: ca.subject,
    authorityKeyIdentifier: ca.ski,
    notBefore: Math.max(now - NOT_BEFORE_CUSHION_SECONDS, ca.notBefore),
    notAfter: Math.min(notAfter, ca.notAfter),
  };
}

function signDraft({ tbs, complete }: CertificateDraft, signer: Signer): Uint8Array {
  if (signer.algorithm !== "ES256") throw new Error("certificates are signed with ES256");
  return complete(signer.sign(tbs));
}

/** The template as a draft, whose result is read back and given out only when it is exactly what was asked for. */
function draft(
  template: Template,
  requireProfile: (made: Certificate) => void,
  tbs = encodeTbs(template),
): CertificateDraft {
  const complete = (signature: Uint8Array): Uint8Array => {
    const der = encodeCertificate(tbs, signature);
    const made = parseCertificate(der);
    requireProfile(made);
    requireMadeFrom(made, template, tbs);
    return der;
  };
  return { tbs, complete };
}

function requireMadeFrom(made: Certificate, template: Template, tbs: Uint8Array): void {
  const isExact =
    isEqualBytes(made.tbs, tbs) &&
    isEqualBytes(made.spki, template.spki) &&
    made.serialHex === encodeHex(template.serial) &&
    made.notBefore === template.notBefore &&
    made.notAfter === template.notAfter &&
    made.uris.length === 1 &&
    made.uris[0] === template.uri;
  if (!isExact) throw new Error("the certificate made is not the one asked for");
}

function requireSerial(serial: Uint8Array): void {
  const [first = 0] = serial;
  const isLengthGood = serial.length >= MIN_SERIAL_BYTES && serial.length <= MAX_SERIAL_BYTES;
  if (!isLengthGood || first === 0 || first >= 0x80)
    throw new Error("the serial does not come from createSerial");
}

function requireLater(notAfter: number, now: number): void {
  if (!Number.isSafeInteger(now) || !Number.isSafeInteger(notAfter) || notAfter <= now) {
    throw new TrustWardenError("ttl_malformed", { reason: "no lifetime in whole seconds", notAfter, now });
  }
}
