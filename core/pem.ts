/** PEM: the text form of DER that other people's programs read. Written only; what comes in is DER. */
import { encodeBase64 } from "./bytes.ts";

/** What a block holds (RFC 7468). */
export type PemLabel = "CERTIFICATE" | "PRIVATE KEY" | "PUBLIC KEY" | "X509 CRL";

/** One block, in lines of 64 characters. */
export function formatPem(label: PemLabel, der: Uint8Array): string {
  const lines = encodeBase64(der).match(/.{1,64}/g) ?? [];
  return `-----BEGIN ${label}-----\n${lines.join("\n")}\n-----END ${label}-----\n`;
}
