/**
 * X.509 certificates as SPIFFE uses them, read strictly from DER.
 *
 * Only version 3 with P-256 keys and ecdsa-with-SHA256 is read; RSA, P-384 and the rest are refused, so there is no
 * weak key to look for. Parsing proves nothing about who signed: see `x509-svid.ts`.
 *
 * @see RFC 5280 §4.1; X509-SVID
 */
import { encodeBase64url, encodeHex } from "../bytes.ts";
import { isP256Signature, type PublicKey, parseP256PublicKey, requireP256Key, sha256 } from "../crypto.ts";
import { TrustWardenError } from "../error.ts";
import { type KeyUsage, parseExtensions } from "./certificate-extensions.ts";
import { OID, OTHER_ALGORITHMS } from "./certificate-oids.ts";
import { parseDerSignature } from "./certificate-signature.ts";
import {
  DER_TAG,
  type DerElement,
  derMalformed,
  parseBitString,
  parseContent,
  parseDer,
  parseMembers,
  parseOid,
  parsePositiveInteger,
  parseSmallInteger,
  parseTime,
} from "./der-reader.ts";

/** RFC 5280 §4.1.2.2. */
const MAX_SERIAL_BYTES = 20;

/** One well-formed certificate; nobody has checked its signature yet. */
export interface Certificate {
  readonly der: Uint8Array;
  /** The signed part. */
  readonly tbs: Uint8Array;
  /** 64 bytes r||s. */
  readonly signature: Uint8Array;
  /** Lower-case hex of the serial's magnitude, whole bytes, without a sign byte. */
  readonly serialHex: string;
  /** DER of the issuer's name. */
  readonly issuer: Uint8Array;
  /** DER of the subject's name. */
  readonly subject: Uint8Array;
  /** Unix seconds. */
  readonly notBefore: number;
  /** Unix seconds; TrustWarden treats the certificate as expired from this second on. */
  readonly notAfter: number;
  /** Proven to be a point of the curve when it was read, and imported when something is first checked with it. */
  readonly publicKey: PublicKey;
  /** SubjectPublicKeyInfo DER. */
  readonly spki: Uint8Array;
  /** base64url of SHA-256 over `der`: the `svid_sha256` and `keyid` of records. */
  readonly sha256: string;
  readonly uris: readonly string[];
  readonly isSanCritical: boolean;
  readonly isCa: boolean;
  /** Whether BasicConstraints is there and critical. */
  readonly isBasicConstraintsCritical: boolean;
  /** How many intermediates may follow below; undefined where it is not limited. */
  readonly pathLen: number | undefined;
  readonly keyUsage: KeyUsage | undefined;
  /** Dotted purposes, at least one; undefined where the extension is absent. */
  readonly extKeyUsage: readonly string[] | undefined;
  readonly ski: Uint8Array | undefined;
  readonly aki: Uint8Array | undefined;
}

/**
 * The certificate in untrusted DER.
 *
 * @throws TrustWardenError `svid_key_refused` for a good key or signature of a kind that we do not use, `svid_malformed`
 *   for anything but strict DER, above 16 KiB, for a repeated extension or an unknown critical one.
 */
export function parseCertificate(der: Uint8Array): Certificate {
  try {
    // A copy, so that a caller who reuses its buffer cannot change what was checked.
    return parseFields(Uint8Array.from(der));
  } catch (cause) {
    if (!(cause instanceof TrustWardenError)) throw cause;
    if (cause.code === "svid_key_refused") throw cause;
    throw new TrustWardenError("svid_malformed", { reason: cause.details.reason ?? cause.code }, { cause });
  }
}

/** Whether `issuer`'s key signed `certificate`; says nothing about whether it was allowed to. */
export function isSignedBy(certificate: Certificate, issuer: Certificate): boolean {
  return isP256Signature(issuer.publicKey, certificate.tbs, certificate.signature);
}

/** Whether the name is the empty one. */
export function isEmptyName(name: Uint8Array): boolean {
  return name.length === 2;
}

function parseFields(der: Uint8Array): Certificate {
  const [tbs, algorithm, signature, ...rest] = parseMembers(parseDer(der), DER_TAG.sequence);
  if (tbs === undefined || rest.length > 0) throw derMalformed("certificate");
  const [version, serial, innerAlgorithm, issuer, validity, subject, spki, extensions, ...more] =
    parseMembers(tbs, DER_TAG.sequence);
  if (spki === undefined || more.length > 0) throw derMalformed("tbs certificate");
  requireVersion3(version);
  requireEcdsaWithSha256(innerAlgorithm);
  requireEcdsaWithSha256(algorithm);
  requireOurKind(spki);
  const { subjectAltName, basicConstraints, ...profile } = parseExtensions(extensions);
  requireP256Key(spki.raw);
  let publicKey: PublicKey | undefined;
  return {
    der,
    tbs: tbs.raw,
    signature: parseDerSignature(parseBitString(signature)),
    serialHex: parseSerial(serial),
    issuer: parseName(issuer),
    subject: parseName(subject),
    ...parseValidity(validity),
    get publicKey() {
      publicKey ??= parseP256PublicKey(spki.raw);
      return publicKey;
    },
    spki: spki.raw,
    sha256: encodeBase64url(sha256(der)),
    uris: subjectAltName?.uris ?? [],
    isSanCritical: subjectAltName?.isCritical === true,
    isCa: basicConstraints?.isCa === true,
    isBasicConstraintsCritical: basicConstraints?.isCritical === true,
    pathLen: basicConstraints?.pathLen,
    ...profile,
  };
}

function requireVersion3(explicit: DerElement | undefined): void {
  const [version, ...rest] = parseMembers(explicit, 0xa0);
  if (parseSmallInteger(version) !== 2 || rest.length > 0) throw derMalformed("version");
}

function requireEcdsaWithSha256(algorithm: DerElement | undefined): void {
  const [oid, ...parameters] = parseMembers(algorithm, DER_TAG.sequence);
  const name = parseOid(oid);
  refuseOther(name);
  if (name !== OID.ecdsaWithSha256 || parameters.length > 0) throw derMalformed("signature algorithm");
}

/** Tells an issuer that is set up otherwise from a broken certificate; `parseP256PublicKey` judges what is left. */
function requireOurKind(spki: DerElement): void {
  const [algorithm] = parseMembers(spki, DER_TAG.sequence);
  const [oid, curve] = parseMembers(algorithm, DER_TAG.sequence);
  refuseOther(parseOid(oid));
  if (curve?.tag === DER_TAG.oid) refuseOther(parseOid(curve));
}

function refuseOther(algorithm: string): void {
  if (OTHER_ALGORITHMS.includes(algorithm)) throw new TrustWardenError("svid_key_refused", { algorithm });
}

function parseSerial(serial: DerElement | undefined): string {
  const magnitude = parsePositiveInteger(serial);
  if (parseContent(serial, DER_TAG.integer).length > MAX_SERIAL_BYTES) throw derMalformed("serial length");
  return encodeHex(magnitude);
}

/** Checks the shape of a Name and returns its DER; names are compared as bytes and never shown. */
function parseName(name: DerElement | undefined): Uint8Array {
  for (const relative of parseMembers(name, DER_TAG.sequence)) {
    const attributes = parseMembers(relative, DER_TAG.set);
    if (attributes.length === 0) throw derMalformed("name");
    for (const attribute of attributes) {
      const [type, value, ...rest] = parseMembers(attribute, DER_TAG.sequence);
      parseOid(type);
      if (value === undefined || rest.length > 0) throw derMalformed("name");
    }
  }
  if (name === undefined) throw derMalformed("name");
  return name.raw;
}

function parseValidity(validity: DerElement | undefined): {
  readonly notBefore: number;
  readonly notAfter: number;
} {
  const members = parseMembers(validity, DER_TAG.sequence);
  if (members.length !== 2) throw derMalformed("validity");
  const [notBefore, notAfter] = [parseTime(members[0]), parseTime(members[1])];
  if (notBefore > notAfter) throw derMalformed("validity ends before it begins");
  return { notBefore, notAfter };
}
