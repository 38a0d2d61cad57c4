/** Certificates that the configuration names: read once at the start, so that a typing error stops it there. */
import { X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { TrustWardenError } from "@trustwarden/core/error.ts";

/** @throws TrustWardenError `config_invalid`. */
export function readCertificate(pem: string, setting: string): X509Certificate {
  try {
    return new X509Certificate(pem);
  } catch (cause) {
    throw new TrustWardenError("config_invalid", { setting, reason: "not a PEM certificate" }, { cause });
  }
}

/** By region. @throws TrustWardenError `config_invalid`. */
export function readCertificates(
  pems: Readonly<Record<string, string>>,
  setting: string,
): ReadonlyMap<string, X509Certificate> {
  return new Map(
    Object.entries(pems).map(([region, pem]) => [region, readCertificate(pem, `${setting}.${region}`)]),
  );
}

/** The certificates of a file as they are. @throws TrustWardenError `config_invalid`. */
export function readCertificateFile(path: string, setting: string): string {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (cause) {
    throw new TrustWardenError("config_invalid", { setting, reason: "cannot be read" }, { cause });
  }
  readCertificate(text, setting);
  return text;
}

/** Whether the instant lies in the certificate's time. @param nowSeconds - Unix seconds. */
export function isWithinValidity(certificate: X509Certificate, nowSeconds: number): boolean {
  return (
    certificate.validFromDate.getTime() / 1000 <= nowSeconds &&
    nowSeconds < certificate.validToDate.getTime() / 1000
  );
}
