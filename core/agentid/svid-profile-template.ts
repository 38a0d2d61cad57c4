/**
 * The TBSCertificate of our profiles: one fixed layout, filled from a template.
 *
 * @see RFC 5280 §4.1 and §4.2; X509-SVID §3 and §4
 */
import { concatBytes, encodeHex, encodeUtf8 } from "../bytes.ts";
import { sha256 } from "../crypto.ts";
import { isEmptyName } from "./certificate.ts";
import { OID } from "./certificate-oids.ts";
import { DER_TAG } from "./der-reader.ts";
import {
  encodeExplicit,
  encodeImplicit,
  encodeInteger,
  encodeNamedBits,
  encodeOctetString,
  encodeOid,
  encodePrintableString,
  encodeSequence,
  encodeSetOfOne,
  encodeTime,
  encodeTrue,
  encodeUtf8String,
} from "./der-writer.ts";
import { INSTANCE_PREFIX } from "./names.ts";
import { pathOf, type SpiffeId, trustDomainOf } from "./spiffe-id.ts";

/** RFC 7093 §2 method 1: the leftmost 160 bits of SHA-256 over the key. */
const KEY_IDENTIFIER_BYTES = 20;
/** Bytes of an uncompressed P-256 point at the end of its SubjectPublicKeyInfo. */
const POINT_BYTES = 65;
/** Bytes of one of the two numbers of a P-256 signature. */
const SCALAR_BYTES = 32;
/** RFC 5280 appendix A, `ub-common-name` and `ub-organization-name`. */
const MAX_ATTRIBUTE_CHARS = 64;
const SIGNATURE_ALGORITHM = encodeSequence(encodeOid(OID.ecdsaWithSha256));
const VERSION_3 = encodeExplicit(0, encodeInteger(Uint8Array.of(2)));

const EMPTY_NAME: Uint8Array = encodeSequence();
/** The identifiers of our profiles, encoded once. */
const ENCODED_OIDS: ReadonlyMap<string, Uint8Array> = new Map(
  Object.values(OID).map((dotted) => [dotted, encodeOid(dotted)]),
);

/** Everything that differs between two certificates of ours. */
export interface Template {
  readonly serial: Uint8Array;
  readonly issuer: Uint8Array;
  readonly notBefore: number;
  readonly notAfter: number;
  readonly subject: Uint8Array;
  readonly spki: Uint8Array;
  readonly uri: SpiffeId;
  readonly authorityKeyIdentifier: Uint8Array;
  /** From `encodeUsage`. */
  readonly usage: Uint8Array;
}

/** What a certificate may be used for. */
interface Usage {
  /** Content of BasicConstraints. */
  readonly basicConstraints: Uint8Array;
  /** KeyUsage bits. */
  readonly keyUsage: readonly number[];
  /** Dotted purposes; none leaves the extension out. */
  readonly extKeyUsage: readonly string[];
}

/** The extensions that say what a certificate may be used for: the same bytes for all of one profile. */
export function encodeUsage({ basicConstraints, keyUsage, extKeyUsage }: Usage): Uint8Array {
  const purposes = extKeyUsage.map(oidOf);
  return concatBytes(
    critical(OID.basicConstraints, basicConstraints),
    critical(OID.keyUsage, encodeNamedBits(...keyUsage)),
    ...(purposes.length === 0 ? [] : [extension(OID.extKeyUsage, encodeSequence(...purposes))]),
  );
}

/** DER of the TBSCertificate of a template. */
export function encodeTbs(template: Template): Uint8Array {
  return encodeSequence(
    VERSION_3,
    encodeInteger(template.serial),
    SIGNATURE_ALGORITHM,
    template.issuer,
    encodeSequence(encodeTime(template.notBefore), encodeTime(template.notAfter)),
    template.subject,
    template.spki,
    encodeExplicit(3, encodeExtensions(template)),
  );
}

/**
 * DER of the certificate, written in one go: most arrays above 64 bytes cost more to make than to fill.
 *
 * @param signature - 64 bytes r||s, over exactly `tbs`.
 */
export function encodeCertificate(tbs: Uint8Array, signature: Uint8Array): Uint8Array {
  const r = encodeInteger(signature.subarray(0, SCALAR_BYTES));
  const s = encodeInteger(signature.subarray(SCALAR_BYTES));
  const length = r.length + s.length;
  // BIT STRING of whole bytes, in it the SEQUENCE of RFC 3279 section 2.2.3.
  const head = Uint8Array.of(DER_TAG.bitString, length + 3, 0, DER_TAG.sequence, length);
  return encodeSequence(tbs, SIGNATURE_ALGORITHM, head, r, s);
}

/** The name of an authority. No two share one: verifiers that try every root of one name give up (spire#4415). */
export function authorityName(role: "root" | "intermediate", serial: Uint8Array): Uint8Array {
  const digits = encodeHex(serial);
  return encodeSequence(
    attribute(OID.organizationName, encodeUtf8String("TrustWarden")),
    attribute(OID.commonName, encodeUtf8String(`TrustWarden ${role}`)),
    attribute(OID.serialNumber, encodePrintableString(digits)),
  );
}

/**
 * The name of a workload, for programs that read nothing else: `O=<trust domain>, CN=<path>/<name>`, the class of the
 * instance, which belongs to one owner. Never cut: what does not fit leaves the name empty, because half a path would be
 * another agent's. Without a path it is empty too: a common name without a slash could be read as a host's.
 *
 * @see docs/decisions/0012-a-leaf-has-a-subject.md
 */
export function workloadName(id: SpiffeId): Uint8Array {
  const trustDomain = trustDomainOf(id);
  const segments = pathOf(id).slice(1).split("/");
  const classSegments = segments.at(-1)?.startsWith(INSTANCE_PREFIX) ? segments.slice(0, -1) : segments;
  const commonName = classSegments.join("/");
  const isWhole = trustDomain.length <= MAX_ATTRIBUTE_CHARS && commonName.length <= MAX_ATTRIBUTE_CHARS;
  if (!isWhole || classSegments.length < 2) return EMPTY_NAME;
  return encodeSequence(
    attribute(OID.organizationName, encodeUtf8String(trustDomain)),
    attribute(OID.commonName, encodeUtf8String(commonName)),
  );
}

/** The key identifier of a P-256 key. @param spki - its SubjectPublicKeyInfo. */
export function keyIdentifierOf(spki: Uint8Array): Uint8Array {
  return sha256(spki.subarray(-POINT_BYTES)).subarray(0, KEY_IDENTIFIER_BYTES);
}

function encodeExtensions(template: Template): Uint8Array {
  const isSanCritical = isEmptyName(template.subject);
  const uri = encodeImplicit(6, encodeUtf8(template.uri));
  return encodeSequence(
    template.usage,
    (isSanCritical ? critical : extension)(OID.subjectAltName, encodeSequence(uri)),
    extension(OID.subjectKeyIdentifier, encodeOctetString(keyIdentifierOf(template.spki))),
    extension(OID.authorityKeyIdentifier, encodeSequence(encodeImplicit(0, template.authorityKeyIdentifier))),
  );
}

function critical(oid: string, value: Uint8Array): Uint8Array {
  return encodeSequence(oidOf(oid), encodeTrue(), encodeOctetString(value));
}

function extension(oid: string, value: Uint8Array): Uint8Array {
  return encodeSequence(oidOf(oid), encodeOctetString(value));
}

function attribute(oid: string, value: Uint8Array): Uint8Array {
  return encodeSetOfOne(encodeSequence(oidOf(oid), value));
}

function oidOf(dotted: string): Uint8Array {
  return ENCODED_OIDS.get(dotted) ?? encodeOid(dotted);
}
