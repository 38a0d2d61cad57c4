/**
 * The DER of a certificate revocation list, both ways: version 2, one algorithm, two extensions, one of each entry.
 *
 * The writer has one layout. The reader takes exactly that layout from anybody: another version, extension or reason is
 * not ours, and what nobody here understands must not be taken for "not revoked".
 *
 * @see RFC 5280 §5
 */
import { encodeHex } from "../bytes.ts";
import { OID } from "./certificate-oids.ts";
import {
  DER_TAG,
  type DerElement,
  derMalformed,
  parseContent,
  parseDer,
  parseFirst,
  parseMembers,
  parseOid,
  parsePositiveInteger,
  parseSmallInteger,
  parseTime,
} from "./der-reader.ts";
import {
  encodeBitString,
  encodeElement,
  encodeExplicit,
  encodeImplicit,
  encodeInteger,
  encodeOctetString,
  encodeOid,
  encodeSequence,
  encodeTime,
} from "./der-writer.ts";

/** About fifty bytes an entry: some 250,000 of them, revoked within one lifetime of a certificate. */
export const MAX_CRL_BYTES = 14_000_000;
const MAX_ENTRIES = 280_000;
/** RFC 5280 §4.1.2.2 and §5.2.3. */
const MAX_INTEGER_BYTES = 20;
/** A number of JavaScript holds as many whole. */
const MAX_NUMBER_BYTES = 6;
/** `[0] keyIdentifier` of an AuthorityKeyIdentifier. */
const KEY_IDENTIFIER = 0x80;

const VERSION_2 = encodeInteger(Uint8Array.of(1));
const SIGNATURE_ALGORITHM = encodeSequence(encodeOid(OID.ecdsaWithSha256));

/** The reasons that we give; the others of RFC 5280 §5.3.1 are read by nobody here. */
const REASON_CODES = {
  key_compromise: 1,
  ca_compromise: 2,
  superseded: 4,
  cessation_of_operation: 5,
  privilege_withdrawn: 9,
} as const;
const REASONS = [
  "key_compromise",
  "ca_compromise",
  "superseded",
  "cessation_of_operation",
  "privilege_withdrawn",
] as const satisfies readonly RevocationReason[];

/** Why a certificate was revoked. */
export type RevocationReason = keyof typeof REASON_CODES;

/** One entry of a list. */
export interface RevokedCertificate {
  /** Lower-case hex of the serial's magnitude, whole bytes. */
  readonly serialHex: string;
  /** Unix seconds. */
  readonly revokedAt: number;
  readonly reason: RevocationReason;
}

/** What a list says, apart from its signature. */
export interface CrlContent {
  /** DER of the issuer's name. */
  readonly issuer: Uint8Array;
  /** Key identifier of the issuer. */
  readonly aki: Uint8Array;
  /** Of the lists of one issuer, the later has the larger number. */
  readonly number: number;
  /** Unix seconds. */
  readonly thisUpdate: number;
  /** Unix seconds; from then on the list proves nothing. */
  readonly nextUpdate: number;
  readonly revoked: readonly RevokedCertificate[];
}

/** DER of the TBSCertList. */
export function encodeTbsCrl(content: CrlContent): Uint8Array {
  const entries = encodeEntries(content.revoked);
  return encodeSequence(
    VERSION_2,
    SIGNATURE_ALGORITHM,
    content.issuer,
    encodeTime(content.thisUpdate),
    encodeTime(content.nextUpdate),
    // RFC 5280 §5.1.2.6: without revoked certificates the list is absent, not empty.
    ...(entries.length === 0 ? [] : [encodeSequence(entries)]),
    encodeExplicit(
      0,
      encodeSequence(
        extension(OID.authorityKeyIdentifier, encodeSequence(encodeImplicit(0, content.aki))),
        extension(OID.cRLNumber, encodeInteger(bytesOf(content.number))),
      ),
    ),
  );
}

/** DER of the list. @param signature - DER, over exactly `tbs`. */
export function encodeCrl(tbs: Uint8Array, signature: Uint8Array): Uint8Array {
  return encodeSequence(tbs, SIGNATURE_ALGORITHM, encodeBitString(signature));
}

/**
 * The content of a TBSCertList.
 *
 * @throws TrustWardenError `der_malformed`, also for a serial that is listed twice.
 */
export function parseTbsCrl(tbs: DerElement): CrlContent {
  const members = parseMembers(tbs, DER_TAG.sequence);
  const [version, algorithm, issuer, thisUpdate, nextUpdate, ...rest] = members;
  if (parseSmallInteger(version) !== 1) throw derMalformed("version");
  requireEcdsaWithSha256(algorithm);
  const extensions = rest.at(-1);
  if (issuer === undefined || rest.length < 1 || rest.length > 2) throw derMalformed("tbs list");
  parseContent(issuer, DER_TAG.sequence);
  const times = { thisUpdate: parseTime(thisUpdate), nextUpdate: parseTime(nextUpdate) };
  if (times.nextUpdate <= times.thisUpdate) throw derMalformed("list ends before it begins");
  return {
    issuer: issuer.raw,
    ...times,
    ...parseExtensions(extensions),
    revoked: rest.length === 2 ? parseEntries(rest[0]) : [],
  };
}

/** @throws TrustWardenError `der_malformed`. */
export function requireEcdsaWithSha256(algorithm: DerElement | undefined): void {
  const [oid, ...parameters] = parseMembers(algorithm, DER_TAG.sequence);
  if (parseOid(oid) !== OID.ecdsaWithSha256 || parameters.length > 0)
    throw derMalformed("signature algorithm");
}

/**
 * The entries as one text of hex digits: a list of thousands is made while a revocation may be waiting, and a byte array
 * for each part of each entry would cost ten times as much.
 */
function encodeEntries(revoked: readonly RevokedCertificate[]): Uint8Array {
  const timeOf = once((unixSeconds: number) => encodeHex(encodeTime(unixSeconds)));
  const reasonOf = once((reason: RevocationReason) => encodeHex(encodeReason(reason)));
  const entries = revoked.map(({ serialHex, revokedAt, reason }) =>
    hexElement(
      DER_TAG.sequence,
      `${hexElement(DER_TAG.integer, `${serialHex >= "8" ? "00" : ""}${serialHex}`)}${timeOf(revokedAt)}${reasonOf(reason)}`,
    ),
  );
  return Buffer.from(entries.join(""), "hex");
}

/** An element shorter than 128 bytes. */
function hexElement(tag: number, content: string): string {
  return `${hexByte(tag)}${hexByte(content.length / 2)}${content}`;
}

function hexByte(byte: number): string {
  return byte.toString(16).padStart(2, "0");
}

/** Times and reasons repeat, so each is computed once. */
function once<Key, Value>(compute: (key: Key) => Value): (key: Key) => Value {
  const known = new Map<Key, Value>();
  return (key) => {
    const value = known.get(key) ?? compute(key);
    known.set(key, value);
    return value;
  };
}

function encodeReason(reason: RevocationReason): Uint8Array {
  const code = encodeElement(DER_TAG.enumerated, Uint8Array.of(REASON_CODES[reason]));
  return encodeSequence(extension(OID.reasonCode, code));
}

function parseEntries(list: DerElement | undefined): readonly RevokedCertificate[] {
  const entries = parseMembers(list, DER_TAG.sequence, MAX_ENTRIES);
  if (entries.length === 0) throw derMalformed("empty list written out");
  const dateOf = once(parseDateAndReason);
  const revoked = entries.map((entry) => parseEntry(entry, dateOf));
  if (new Set(revoked.map(({ serialHex }) => serialHex)).size !== revoked.length)
    throw derMalformed("serial listed twice");
  return revoked;
}

/** Splits an entry behind its serial; what follows repeats from entry to entry, so it is looked up by its bytes. */
function parseEntry(
  entry: DerElement,
  dateOf: (hex: string) => Pick<RevokedCertificate, "revokedAt" | "reason">,
): RevokedCertificate {
  const content = parseContent(entry, DER_TAG.sequence);
  const serial = parseFirst(content);
  const magnitude = parsePositiveInteger(serial);
  if (serial.content.length > MAX_INTEGER_BYTES) throw derMalformed("serial length");
  return { serialHex: encodeHex(magnitude), ...dateOf(encodeHex(content.subarray(serial.raw.length))) };
}

/** @param hex - the members of an entry behind its serial. */
function parseDateAndReason(hex: string): Pick<RevokedCertificate, "revokedAt" | "reason"> {
  const members = parseMembers(parseDer(encodeSequence(Buffer.from(hex, "hex"))), DER_TAG.sequence);
  const [revokedAt, extensions, ...rest] = members;
  const [reason, ...others] = parseMembers(extensions, DER_TAG.sequence);
  if (rest.length > 0 || others.length > 0) throw derMalformed("entry");
  return { revokedAt: parseTime(revokedAt), reason: parseReason(reason) };
}

function parseReason(element: DerElement | undefined): RevocationReason {
  const content = parseContent(parseDer(parseExtension(element, OID.reasonCode)), DER_TAG.enumerated);
  const code = content.length === 1 ? content[0] : undefined;
  const reason = REASONS.find((known) => REASON_CODES[known] === code);
  if (reason === undefined) throw derMalformed("reason");
  return reason;
}

function parseExtensions(explicit: DerElement | undefined): Pick<CrlContent, "aki" | "number"> {
  const [list, ...rest] = parseMembers(explicit, 0xa0);
  const [aki, number, ...others] = parseMembers(list, DER_TAG.sequence);
  if (rest.length > 0 || others.length > 0) throw derMalformed("list extensions");
  const [identifier, ...more] = parseMembers(
    parseDer(parseExtension(aki, OID.authorityKeyIdentifier)),
    DER_TAG.sequence,
  );
  if (more.length > 0) throw derMalformed("authority key identifier");
  return {
    aki: parseContent(identifier, KEY_IDENTIFIER),
    number: parseNumber(parseExtension(number, OID.cRLNumber)),
  };
}

/** The value of an extension that has to be this one and must not be critical. */
function parseExtension(element: DerElement | undefined, expected: string): Uint8Array {
  const [oid, value, ...rest] = parseMembers(element, DER_TAG.sequence);
  if (parseOid(oid) !== expected || rest.length > 0) throw derMalformed("unexpected extension");
  return parseContent(value, DER_TAG.octetString);
}

function parseNumber(der: Uint8Array): number {
  const magnitude = parsePositiveInteger(parseDer(der));
  if (magnitude.length > MAX_NUMBER_BYTES) throw derMalformed("list number");
  return magnitude.reduce((value, byte) => value * 256 + byte, 0);
}

function bytesOf(number: number): Uint8Array {
  if (!Number.isSafeInteger(number) || number < 1 || number >= 256 ** MAX_NUMBER_BYTES)
    throw new Error("a list number counts from 1");
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(number));
  return bytes;
}

function extension(oid: string, value: Uint8Array): Uint8Array {
  return encodeSequence(encodeOid(oid), encodeOctetString(value));
}
