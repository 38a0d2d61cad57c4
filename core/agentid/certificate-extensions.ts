/**
 * The X.509 extensions that the SPIFFE profile speaks of, read strictly.
 *
 * An unknown extension is refused when critical and ignored otherwise, as RFC 5280 asks. Name constraints are not
 * supported: they are critical, so a chain that carries them is refused (X509-SVID §4.2 leaves them optional).
 *
 * @see RFC 5280 §4.2; X509-SVID §4
 */
import { KEY_USAGE, OID } from "./certificate-oids.ts";
import {
  DER_TAG,
  type DerElement,
  derMalformed,
  parseBoolean,
  parseContent,
  parseDer,
  parseMembers,
  parseNamedBits,
  parseOid,
  parsePrintable,
  parseSmallInteger,
} from "./der-reader.ts";

/** `[6] uniformResourceIdentifier` of a GeneralName. */
const URI_NAME = 0x86;
/** The other primitive text names: rfc822Name and dNSName. */
const TEXT_NAMES: ReadonlySet<number> = new Set([0x81, 0x82]);
/** The kinds of names whose content the profile never reads: other, x400, directory, EDI, address, registered id. */
const OPAQUE_NAMES: ReadonlySet<number> = new Set([0xa0, 0xa3, 0xa4, 0xa5, 0x87, 0x88]);
/** `[0] keyIdentifier` of an AuthorityKeyIdentifier. */
const KEY_IDENTIFIER = 0x80;

/** BasicConstraints. */
export interface BasicConstraints {
  readonly isCritical: boolean;
  readonly isCa: boolean;
  /** How many intermediates may follow below; undefined where it is not limited. */
  readonly pathLen: number | undefined;
}

/** The bits of KeyUsage that the SPIFFE profile speaks of. */
export interface KeyUsage {
  readonly isCritical: boolean;
  readonly digitalSignature: boolean;
  readonly keyCertSign: boolean;
  readonly cRLSign: boolean;
}

/** SubjectAltName. */
export interface SubjectAltName {
  readonly isCritical: boolean;
  readonly uris: readonly string[];
}

/** What the extensions of one certificate say; undefined where the extension is absent. */
export interface Extensions {
  readonly basicConstraints: BasicConstraints | undefined;
  readonly keyUsage: KeyUsage | undefined;
  /** Dotted purposes. */
  readonly extKeyUsage: readonly string[] | undefined;
  readonly subjectAltName: SubjectAltName | undefined;
  readonly ski: Uint8Array | undefined;
  readonly aki: Uint8Array | undefined;
}

interface RawExtension {
  readonly isCritical: boolean;
  readonly value: Uint8Array;
}

/**
 * The extensions in the `[3]` element of a TBSCertificate.
 *
 * @throws TrustWardenError `der_malformed`, also for a repeated extension and for an unknown critical one.
 */
export function parseExtensions(explicit: DerElement | undefined): Extensions {
  const [list, ...rest] = parseMembers(explicit, 0xa3);
  if (rest.length > 0) throw derMalformed("extensions");
  const raw = new Map<string, RawExtension>();
  for (const member of parseMembers(list, DER_TAG.sequence)) addExtension(raw, member);
  const extensions = {
    basicConstraints: take(raw, OID.basicConstraints, parseBasicConstraints),
    keyUsage: take(raw, OID.keyUsage, parseKeyUsage),
    extKeyUsage: take(raw, OID.extKeyUsage, parseExtKeyUsage),
    subjectAltName: take(raw, OID.subjectAltName, parseSubjectAltName),
    ski: take(raw, OID.subjectKeyIdentifier, parseSubjectKeyIdentifier),
    aki: take(raw, OID.authorityKeyIdentifier, parseAuthorityKeyIdentifier),
  };
  // What is left over is what nobody here understands.
  for (const { isCritical } of raw.values()) if (isCritical) throw derMalformed("unknown critical extension");
  return extensions;
}

function addExtension(raw: Map<string, RawExtension>, member: DerElement): void {
  const [id, ...rest] = parseMembers(member, DER_TAG.sequence);
  const oid = parseOid(id);
  if (raw.has(oid)) throw derMalformed("repeated extension");
  const isCritical = rest.length === 2;
  if (isCritical && !parseBoolean(rest[0])) throw derMalformed("default written out");
  if (rest.length > 2) throw derMalformed("extension");
  raw.set(oid, { isCritical, value: parseContent(rest.at(-1), DER_TAG.octetString) });
}

function take<Value>(
  raw: Map<string, RawExtension>,
  oid: string,
  parse: (extension: RawExtension) => Value,
): Value | undefined {
  const extension = raw.get(oid);
  raw.delete(oid);
  return extension === undefined ? undefined : parse(extension);
}

function parseBasicConstraints({ isCritical, value }: RawExtension): BasicConstraints {
  const members = parseMembers(parseDer(value), DER_TAG.sequence);
  if (members.length === 0) return { isCritical, isCa: false, pathLen: undefined };
  // DER leaves a FALSE out, and a path length means nothing without cA: whatever comes first is TRUE.
  if (members.length > 2 || !parseBoolean(members[0])) throw derMalformed("basic constraints");
  const pathLen = members.length === 2 ? parseSmallInteger(members[1]) : undefined;
  return { isCritical, isCa: true, pathLen };
}

function parseKeyUsage({ isCritical, value }: RawExtension): KeyUsage {
  const bits = parseNamedBits(parseDer(value));
  return {
    isCritical,
    digitalSignature: bits.has(KEY_USAGE.digitalSignature),
    keyCertSign: bits.has(KEY_USAGE.keyCertSign),
    cRLSign: bits.has(KEY_USAGE.cRLSign),
  };
}

function parseExtKeyUsage({ value }: RawExtension): readonly string[] {
  const purposes = parseMembers(parseDer(value), DER_TAG.sequence).map(parseOid);
  // An empty list would read as "no restriction" to a careless check (step-ca CVE-2026-40097).
  if (purposes.length === 0) throw derMalformed("empty extended key usage");
  return purposes;
}

function parseSubjectAltName({ isCritical, value }: RawExtension): SubjectAltName {
  const names = parseMembers(parseDer(value), DER_TAG.sequence);
  if (names.length === 0) throw derMalformed("empty subject alternative name");
  const uris: string[] = [];
  for (const { tag, content } of names) {
    if (tag === URI_NAME) uris.push(parsePrintable(content));
    else if (TEXT_NAMES.has(tag)) parsePrintable(content);
    else if (!OPAQUE_NAMES.has(tag)) throw derMalformed("general name");
  }
  return { isCritical, uris };
}

function parseSubjectKeyIdentifier({ value }: RawExtension): Uint8Array {
  return parseContent(parseDer(value), DER_TAG.octetString);
}

function parseAuthorityKeyIdentifier({ value }: RawExtension): Uint8Array | undefined {
  const members = parseMembers(parseDer(value), DER_TAG.sequence);
  return members.find(({ tag }) => tag === KEY_IDENTIFIER)?.content;
}
