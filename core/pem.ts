/** PEM: the text form of DER that other people's programs read and write (RFC 7468). What a block holds is not looked at. */
import { encodeBase64, parseBase64 } from "./bytes.ts";

/** What a block holds. */
export type PemLabel = "CERTIFICATE" | "PRIVATE KEY" | "PUBLIC KEY" | "X509 CRL";

/** One block, in lines of 64 characters. */
export function formatPem(label: PemLabel, der: Uint8Array): string {
  const lines = encodeBase64(der).match(/.{1,64}/g) ?? [];
  return `-----BEGIN ${label}-----\n${lines.join("\n")}\n-----END ${label}-----\n`;
}

/**
 * What the blocks of one label hold, in their order; whatever else stands in the text is passed over.
 *
 * @throws TrustWardenError `base64_malformed`.
 */
export function parsePemBlocks(label: PemLabel, text: string): readonly Uint8Array[] {
  const block = new RegExp(`-----BEGIN ${label}-----\n([A-Za-z0-9+/=\n]+)-----END ${label}-----`, "g");
  return [...text.matchAll(block)].map(([, body = ""]) => parseBase64(body.replaceAll("\n", "")));
}
