/** Certificates as the rows look at them: read by node:crypto and @peculiar/x509, never by the project's own parser. */
import { createPublicKey, type KeyObject, X509Certificate } from "node:crypto";
import "@trustwarden/core/agentid/reflect.test.support.ts";
import {
  BasicConstraintsExtension,
  ExtendedKeyUsageExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  X509Certificate as ParsedCertificate,
  SubjectAlternativeNameExtension,
} from "@peculiar/x509";
import { Failed } from "./row.ts";

const EXTENDED_KEY_USAGE = { serverAuth: "1.3.6.1.5.5.7.3.1", clientAuth: "1.3.6.1.5.5.7.3.2" };
const SEQUENCE = 0x30;

/** One certificate. */
export interface Certificate {
  readonly der: Uint8Array;
  readonly subject: string;
  /** Every URI of the subject alternative name. */
  readonly uris: readonly string[];
  readonly isSanCritical: boolean;
  /** Undefined when the extension is absent. */
  readonly isAuthority: boolean | undefined;
  /** Undefined when the extension is absent. */
  readonly keyUsage: { readonly isCritical: boolean; readonly flags: ReadonlySet<string> } | undefined;
  /** Undefined when the extension is absent. */
  readonly hasBothTlsRoles: boolean | undefined;
  readonly publicKey: KeyObject;
  /** Milliseconds since 1970. */
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  /** Whether the other one's key signed this one. */
  readonly isSignedBy: (issuer: Certificate) => boolean;
}

/** Certificates of concatenated DER. @throws Failed when the bytes are not whole certificates. */
export function splitCertificates(bytes: Uint8Array): readonly Certificate[] {
  const found: Certificate[] = [];
  let rest = bytes;
  while (rest.length > 0) {
    const length = derLength(rest);
    found.push(readCertificate(rest.subarray(0, length)));
    rest = rest.subarray(length);
  }
  return found;
}

function derLength(bytes: Uint8Array): number {
  const [tag = 0, first = 0] = bytes;
  if (tag !== SEQUENCE) throw new Failed("these bytes are not DER certificates one after the other");
  const count = first < 0x80 ? 0 : first & 0x7f;
  const long = bytes.subarray(2, 2 + count).reduce((length, byte) => length * 256 + byte, 0);
  const total = 2 + count + (count === 0 ? first : long);
  if (total > bytes.length) throw new Failed("the last certificate is cut off");
  return total;
}

function readCertificate(der: Uint8Array): Certificate {
  const known = new X509Certificate(der);
  const parsed = new ParsedCertificate(Uint8Array.from(der));
  const san = parsed.getExtension(SubjectAlternativeNameExtension);
  const usage = parsed.getExtension(KeyUsagesExtension);
  const roles = parsed.getExtension(ExtendedKeyUsageExtension)?.usages.map(String);
  const flags = (value: number) =>
    new Set(Object.entries(KeyUsageFlags).flatMap(([name, bit]) => (Number(bit) & value ? [name] : [])));
  return {
    der,
    subject: parsed.subject,
    uris: san?.names.items.filter(({ type }) => type === "url").map(({ value }) => value) ?? [],
    isSanCritical: san?.critical ?? false,
    isAuthority: parsed.getExtension(BasicConstraintsExtension)?.ca,
    keyUsage: usage ? { isCritical: usage.critical, flags: flags(usage.usages) } : undefined,
    hasBothTlsRoles:
      roles &&
      [EXTENDED_KEY_USAGE.serverAuth, EXTENDED_KEY_USAGE.clientAuth].every((role) => roles.includes(role)),
    publicKey: createPublicKey(known.publicKey.export({ type: "spki", format: "pem" })),
    notBeforeMs: Date.parse(known.validFrom),
    notAfterMs: Date.parse(known.validTo),
    isSignedBy: (issuer) => known.verify(issuer.publicKey),
  };
}
