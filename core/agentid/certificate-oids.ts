/** The object identifiers of our certificate and CRL profiles (RFC 5280, RFC 5480, RFC 5758), dotted. */
export const OID = {
  ecdsaWithSha256: "1.2.840.10045.4.3.2",
  organizationName: "2.5.4.10",
  commonName: "2.5.4.3",
  serialNumber: "2.5.4.5",
  subjectKeyIdentifier: "2.5.29.14",
  keyUsage: "2.5.29.15",
  subjectAltName: "2.5.29.17",
  basicConstraints: "2.5.29.19",
  cRLNumber: "2.5.29.20",
  reasonCode: "2.5.29.21",
  authorityKeyIdentifier: "2.5.29.35",
  extKeyUsage: "2.5.29.37",
  serverAuth: "1.3.6.1.5.5.7.3.1",
  clientAuth: "1.3.6.1.5.5.7.3.2",
} as const;

/** Keys and signatures that SPIFFE issuers also use, and we do not: RSA, the larger curves, Ed25519. */
export const OTHER_ALGORITHMS: readonly string[] = [
  "1.2.840.113549.1.1.1",
  "1.2.840.113549.1.1.10",
  "1.2.840.113549.1.1.11",
  "1.2.840.113549.1.1.12",
  "1.2.840.113549.1.1.13",
  "1.2.840.10045.4.3.3",
  "1.2.840.10045.4.3.4",
  "1.3.132.0.34",
  "1.3.132.0.35",
  "1.3.101.112",
];

/** Bit positions of KeyUsage (RFC 5280 §4.2.1.3) that the SPIFFE profile speaks of. */
export const KEY_USAGE = { digitalSignature: 0, keyCertSign: 5, cRLSign: 6 } as const;
