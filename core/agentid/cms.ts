/**
 * Detached CMS signatures by an X.509-SVID: what git, OpenSSL and gpgsm read as a signed message.
 *
 * One signer, ECDSA P-256 with SHA-256, the chain along with it, and three signed attributes. The reader takes exactly
 * what the writer makes; whom the certificate belongs to, and whether it counts, is for `verifyX509Svid` to say.
 *
 * @see RFC 5652 §5, §11; RFC 5754 §3.2
 */
import { concatBytes, isEqualBytes } from "../bytes.ts";
import { isP256Signature, sha256 } from "../crypto.ts";
import { TrustWardenError } from "../error.ts";
import type { Signer } from "../signer.ts";
import { type Certificate, parseCertificate } from "./certificate.ts";
import { OID } from "./certificate-oids.ts";
import { encodeDerSignature, parseDerSignature } from "./certificate-signature.ts";
import {
  DER_TAG,
  type DerElement,
  derMalformed,
  parseContent,
  parseDer,
  parseMembers,
  parseOid,
  parseSmallInteger,
  parseTime,
} from "./der-reader.ts";
import {
  encodeElement,
  encodeExplicit,
  encodeInteger,
  encodeOctetString,
  encodeOid,
  encodeSequence,
  encodeSetOfOne,
  encodeTime,
} from "./der-writer.ts";

const SIGNED_DATA = "1.2.840.113549.1.7.2";
const DATA = "1.2.840.113549.1.7.1";
const CONTENT_TYPE = "1.2.840.113549.1.9.3";
const MESSAGE_DIGEST = "1.2.840.113549.1.9.4";
const SIGNING_TIME = "1.2.840.113549.1.9.5";
const SHA256 = "2.16.840.1.101.3.4.2.1";
/** Constructed context tags: certificates, and signed attributes. */
const TAG_0 = 0xa0;
/** A chain of four certificates and room. */
const MAX_CMS_BYTES = 65_536;

/** Who signed, when it says it did, and nothing about whether the signer counts. */
export interface VerifiedCms {
  /** DER, leaf first. */
  readonly chain: readonly Uint8Array[];
  readonly leaf: Certificate;
  /** Unix seconds; the signer's word. */
  readonly signedAt: number;
}

/**
 * A detached signature over content.
 *
 * @param options.chain - DER, leaf first.
 * @param options.now - Unix seconds.
 */
export function issueDetachedCms(
  content: Uint8Array,
  options: { readonly chain: readonly Uint8Array[]; readonly signer: Signer; readonly now: number },
): Uint8Array {
  const { chain, signer, now } = options;
  const [first] = chain;
  if (first === undefined) throw new TrustWardenError("no_svid");
  const leaf = parseCertificate(first);
  const attributes = concatBytes(
    encodeAttribute(CONTENT_TYPE, encodeOid(DATA)),
    encodeAttribute(SIGNING_TIME, encodeTime(now)),
    encodeAttribute(MESSAGE_DIGEST, encodeOctetString(sha256(content))),
  );
  // Signed as a SET; inside the message the same bytes have an implicit tag (RFC 5652 §5.4).
  const signature = signer.sign(encodeElement(DER_TAG.set, attributes));
  const signerInfo = encodeSequence(
    encodeInteger(Uint8Array.of(1)),
    encodeSequence(leaf.issuer, encodeInteger(serialOf(leaf))),
    encodeSequence(encodeOid(SHA256)),
    encodeElement(TAG_0, attributes),
    encodeSequence(encodeOid(OID.ecdsaWithSha256)),
    encodeOctetString(encodeDerSignature(signature)),
  );
  const signedData = encodeSequence(
    encodeInteger(Uint8Array.of(1)),
    encodeSetOfOne(encodeSequence(encodeOid(SHA256))),
    encodeSequence(encodeOid(DATA)),
    encodeElement(TAG_0, concatBytes(...chain)),
    encodeSetOfOne(signerInfo),
  );
  return encodeSequence(encodeOid(SIGNED_DATA), encodeExplicit(0, signedData));
}

/**
 * A detached signature that the holder of its first certificate made over exactly this content.
 *
 * @throws TrustWardenError `der_malformed`, `svid_malformed`, `signature_invalid`.
 */
export function verifyDetachedCms(cms: Uint8Array, content: Uint8Array): VerifiedCms {
  const [type, explicit] = exactly(parseDer(cms, MAX_CMS_BYTES), 2);
  if (parseOid(type) !== SIGNED_DATA) throw derMalformed("no signed data");
  const [version, , encapsulated, certificates, signers] = exactly(inner(explicit), 5);
  if (parseSmallInteger(version) !== 1) throw derMalformed("version");
  // With content inside it would be another kind of signature, over bytes that nobody looked at.
  if (parseOid(exactly(encapsulated, 1)[0]) !== DATA) throw derMalformed("content type");
  const chain = parseMembers(certificates, TAG_0).map(({ raw }) => raw);
  const [first] = chain;
  if (first === undefined) throw new TrustWardenError("no_svid");
  const leaf = parseCertificate(first);
  const [signerInfo, second] = parseMembers(signers, DER_TAG.set);
  if (second !== undefined) throw derMalformed("two signers");
  return { chain, leaf, signedAt: verifySignerInfo(signerInfo, leaf, content) };
}

function verifySignerInfo(info: DerElement | undefined, leaf: Certificate, content: Uint8Array): number {
  const [, id, digest, attributes, algorithm, signature] = exactly(info, 6);
  const [issuer] = exactly(id, 2);
  if (issuer === undefined || !isEqualBytes(issuer.raw, leaf.issuer)) throw derMalformed("signer");
  if (parseOid(parseMembers(digest, DER_TAG.sequence)[0]) !== SHA256) throw derMalformed("digest");
  if (parseOid(parseMembers(algorithm, DER_TAG.sequence)[0]) !== OID.ecdsaWithSha256)
    throw derMalformed("algorithm");
  const signed = encodeElement(DER_TAG.set, parseContent(attributes, TAG_0));
  const bytes = parseDerSignature(parseContent(signature, DER_TAG.octetString));
  if (!isP256Signature(leaf.publicKey, signed, bytes)) throw new TrustWardenError("signature_invalid");
  const values = new Map(parseMembers(attributes, TAG_0).map(parseAttribute));
  if (values.size !== 3 || parseOid(values.get(CONTENT_TYPE)) !== DATA) throw derMalformed("attributes");
  const digestOf = parseContent(values.get(MESSAGE_DIGEST), DER_TAG.octetString);
  if (!isEqualBytes(digestOf, sha256(content))) throw new TrustWardenError("signature_invalid");
  return parseTime(values.get(SIGNING_TIME));
}

function parseAttribute(attribute: DerElement): readonly [string, DerElement | undefined] {
  const [type, values] = exactly(attribute, 2);
  const [value, second] = parseMembers(values, DER_TAG.set);
  if (second !== undefined) throw derMalformed("two values");
  return [parseOid(type), value];
}

function serialOf({ serialHex }: Certificate): Uint8Array {
  return Uint8Array.from(serialHex.match(/../g) ?? [], (digits) => Number.parseInt(digits, 16));
}

function encodeAttribute(type: string, value: Uint8Array): Uint8Array {
  return encodeSequence(encodeOid(type), encodeSetOfOne(value));
}

function inner(explicit: DerElement | undefined): DerElement {
  return parseDer(parseContent(explicit, TAG_0), MAX_CMS_BYTES);
}

function exactly(element: DerElement | undefined, count: number): readonly DerElement[] {
  const members = parseMembers(element, DER_TAG.sequence);
  if (members.length !== count) throw derMalformed("members");
  return members;
}
