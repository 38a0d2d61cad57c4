/**
 * CMS SignedData as metadata services make it: one signer, the document inside, RSA with SHA-2.
 *
 * Which key must have signed is the caller's to say. Certificates in the bag are somebody's suggestion: verifying with
 * one of them because it is there is how a genuine certificate vouches for a forged signature (ATTACKS.md B4).
 *
 * @see RFC 5652 §5
 */
import { createHash, type KeyObject, verify, type X509Certificate } from "node:crypto";
import {
  DER_TAG,
  type DerElement,
  parseContent,
  parseDer,
  parseMembers,
  parseOid,
} from "@trustwarden/core/agentid/der-reader.ts";
import { concatBytes, isEqualBytes, parseBase64 } from "@trustwarden/core/bytes.ts";
import { convertToDer } from "./ber.ts";
import { asMalformed, malformed, refused } from "./refusal.ts";

/** A signer and the authorities above it; a hundred certificates only cost time (ATTACKS.md B13). */
const MAX_CERTIFICATES = 8;
export const MIN_RSA_BITS = 2048;
const MAX_RSA_BITS = 4096;
const ARMOUR = /^-----(?:BEGIN|END) (?:PKCS7|CMS)-----$/;

const OID = {
  signedData: "1.2.840.113549.1.7.2",
  data: "1.2.840.113549.1.7.1",
  contentType: "1.2.840.113549.1.9.3",
  messageDigest: "1.2.840.113549.1.9.4",
  rsaEncryption: "1.2.840.113549.1.1.1",
} as const;

const DIGESTS: Readonly<Record<string, DigestName>> = {
  "2.16.840.1.101.3.4.2.1": "sha256",
  "2.16.840.1.101.3.4.2.2": "sha384",
  "2.16.840.1.101.3.4.2.3": "sha512",
};
const RSA_WITH: Readonly<Record<string, DigestName>> = {
  "1.2.840.113549.1.1.11": "sha256",
  "1.2.840.113549.1.1.12": "sha384",
  "1.2.840.113549.1.1.13": "sha512",
};

type DigestName = "sha256" | "sha384" | "sha512";

/** What a bag holds; nothing is believed before `verifySignedData`. */
export interface UnverifiedSignedData {
  readonly unverifiedContent: Uint8Array;
  /** DER, as many as eight. */
  readonly unverifiedCertificates: readonly Uint8Array[];
  readonly signer: Signer;
}

interface Signer {
  /** DER of issuer's name and serial number. */
  readonly sid: Uint8Array;
  readonly digest: DigestName;
  /** DER of the signed attributes as a SET; undefined where the content itself is signed. */
  readonly attributes: DerElement | undefined;
  readonly signature: Uint8Array;
}

/**
 * The parts of untrusted base64 CMS, with or without lines and PEM armour.
 *
 * @throws TrustWardenError `attestation_malformed`.
 */
export function parseSignedData(text: string): UnverifiedSignedData {
  const lines = text.split(/\r?\n/).filter((line) => !ARMOUR.test(line));
  return asMalformed("signed data", () => {
    const der = convertToDer(parseBase64(lines.join("")));
    const [type, explicit, ...rest] = parseMembers(parseDer(der), DER_TAG.sequence);
    if (parseOid(type) !== OID.signedData || rest.length > 0) throw malformed("not signed data");
    const [signedData] = parseMembers(explicit, 0xa0);
    return parseSignedDataMembers(parseMembers(signedData, DER_TAG.sequence));
  });
}

/**
 * The content, signed by this key.
 *
 * @throws TrustWardenError `attestation_refused`.
 */
export function verifySignedData(
  { unverifiedContent, signer }: UnverifiedSignedData,
  key: KeyObject,
): Uint8Array {
  const { attributes, digest } = signer;
  const signed =
    attributes === undefined
      ? unverifiedContent
      : signedAttributes({ attributes, digest, content: unverifiedContent });
  verifyRsa({ key, digest, data: signed, signature: signer.signature, minRsaBits: MIN_RSA_BITS });
  return unverifiedContent;
}

/** Checks an RSA signature (PKCS #1 v1.5). @throws TrustWardenError `attestation_refused`. */
export function verifyRsa(options: {
  readonly key: KeyObject;
  readonly digest: DigestName;
  readonly data: Uint8Array;
  readonly signature: Uint8Array;
  readonly minRsaBits: number;
}): void {
  const { key, digest, data, signature, minRsaBits } = options;
  const bits = key.asymmetricKeyDetails?.modulusLength ?? 0;
  if (key.asymmetricKeyType !== "rsa" || bits < minRsaBits || bits > MAX_RSA_BITS) throw refused("key");
  if (!verify(digest, data, key, signature)) throw refused("signature");
}

/** Whether the signer says that this certificate is its own. */
export function isSigner({ signer }: UnverifiedSignedData, certificateDer: Uint8Array): boolean {
  return asMalformed("certificate", () => {
    const [tbs] = parseMembers(parseDer(certificateDer), DER_TAG.sequence);
    const [, serial, , issuer] = parseMembers(tbs, DER_TAG.sequence);
    if (serial === undefined || issuer === undefined) throw malformed("certificate");
    return isEqualBytes(concatBytes(issuer.raw, serial.raw), signer.sid);
  });
}

/** Whether it is the very certificate. */
export function isSameCertificate(certificate: X509Certificate, der: Uint8Array): boolean {
  return isEqualBytes(certificate.raw, der);
}

function parseSignedDataMembers(members: readonly DerElement[]): UnverifiedSignedData {
  const [, , encapsulated, ...rest] = members;
  const signers = rest.pop();
  const certificates = rest.find(({ tag }) => tag === 0xa0);
  // Revocation lists (a1) may lie between; they are for nobody here.
  if (rest.some(({ tag }) => tag !== 0xa0 && tag !== 0xa1)) throw malformed("unexpected element");
  const bag = certificates === undefined ? [] : parseMembers(certificates, 0xa0);
  if (bag.length > MAX_CERTIFICATES) throw malformed("too many certificates");
  const [signer, ...others] = parseMembers(signers, DER_TAG.set);
  if (others.length > 0) throw malformed("more than one signer");
  return {
    unverifiedContent: parseEncapsulated(encapsulated),
    unverifiedCertificates: bag.map((certificate) => certificate.raw),
    signer: parseSigner(signer),
  };
}

function parseEncapsulated(encapsulated: DerElement | undefined): Uint8Array {
  const [type, explicit] = parseMembers(encapsulated, DER_TAG.sequence);
  if (parseOid(type) !== OID.data) throw malformed("content type");
  const [content, ...rest] = parseMembers(explicit, 0xa0);
  if (rest.length > 0) throw malformed("content");
  return parseContent(content, DER_TAG.octetString);
}

function parseSigner(signer: DerElement | undefined): Signer {
  const [, sid, digestAlgorithm, ...rest] = parseMembers(signer, DER_TAG.sequence);
  const [first] = rest;
  const implicit = first?.tag === 0xa0 ? first : undefined;
  const [signatureAlgorithm, signature, ...unsigned] = implicit === undefined ? rest : rest.slice(1);
  if (unsigned.some(({ tag }) => tag !== 0xa1)) throw malformed("signer");
  const digest = parseDigest(digestAlgorithm);
  requireSignatureAlgorithm(signatureAlgorithm, digest);
  const [issuer, serial, ...more] = parseMembers(sid, DER_TAG.sequence);
  if (issuer === undefined || serial === undefined || more.length > 0)
    throw malformed("signer's certificate");
  return {
    sid: concatBytes(issuer.raw, serial.raw),
    digest,
    attributes: implicit,
    signature: parseContent(signature, DER_TAG.octetString),
  };
}

function parseDigest(algorithm: DerElement | undefined): DigestName {
  const [oid] = parseMembers(algorithm, DER_TAG.sequence);
  const digest = DIGESTS[parseOid(oid)];
  if (digest === undefined) throw malformed("digest algorithm");
  return digest;
}

function requireSignatureAlgorithm(algorithm: DerElement | undefined, digest: DigestName): void {
  const [oid] = parseMembers(algorithm, DER_TAG.sequence);
  const name = parseOid(oid);
  if (name !== OID.rsaEncryption && RSA_WITH[name] !== digest) throw malformed("signature algorithm");
}

/** The bytes under the signature, after finding the content's type and digest among the signed attributes. */
function signedAttributes({
  attributes,
  digest,
  content,
}: {
  readonly attributes: DerElement;
  readonly digest: DigestName;
  readonly content: Uint8Array;
}): Uint8Array {
  return asMalformed("signed attributes", () => {
    const values = new Map<string, DerElement>();
    for (const attribute of parseMembers(attributes, 0xa0)) {
      const [type, set] = parseMembers(attribute, DER_TAG.sequence);
      const [value, ...others] = parseMembers(set, DER_TAG.set);
      const oid = parseOid(type);
      if (value === undefined || others.length > 0 || values.has(oid)) throw malformed("attribute");
      values.set(oid, value);
    }
    if (parseOid(values.get(OID.contentType)) !== OID.data) throw malformed("content type");
    const expected = parseContent(values.get(OID.messageDigest), DER_TAG.octetString);
    const actual = createHash(digest).update(content).digest();
    if (!isEqualBytes(expected, new Uint8Array(actual))) throw refused("digest of the content");
    // RFC 5652 §5.4: what is signed is the SET OF, not the implicitly tagged member.
    return concatBytes(Uint8Array.of(DER_TAG.set), attributes.raw.subarray(1));
  });
}
