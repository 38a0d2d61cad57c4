/**
 * Certificates that the server would never issue, signed all the same by its own authority: what a bug in an issuer
 * might make, and so the only way to reach a verifier's checks behind the signature.
 */
import { randomBytes, webcrypto } from "node:crypto";
import "@trustwarden/core/agentid/reflect.test.support.ts";
import * as x509 from "@peculiar/x509";
import { openAuthority } from "../../test/support/authority-keys.ts";
import type { ClientTls } from "../../test/support/http.ts";
import { type TestHome, TRUST_DOMAIN } from "../../test/support/server.ts";

const ALGORITHM = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
const BOTH_ROLES = [x509.ExtendedKeyUsage.serverAuth, x509.ExtendedKeyUsage.clientAuth];
const USUAL_ID = `spiffe://${TRUST_DOMAIN}/team/finance/forged/inst-01K00000000000000000000000`;

/** What a forged leaf says. */
export interface Forgery {
  readonly uris?: readonly string[];
  readonly dns?: readonly string[];
  readonly subject?: string;
  readonly purposes?: readonly string[];
  readonly isCa?: boolean;
}

/** A forged leaf with its issuer, as bytes and for a handshake. */
export interface ForgedCertificate {
  readonly chain: readonly Uint8Array[];
  readonly tls: ClientTls;
}

/** A leaf under the server's own intermediate. */
export async function forgeCertificate(home: TestHome, forgery: Forgery): Promise<ForgedCertificate> {
  const { authority, pkcs8 } = await openAuthority(home);
  const signingKey = await importKey(pkcs8.intermediate);
  const { der } = authority.intermediate;
  return sign(forgery, { signingKey, issuer: new x509.X509Certificate(Uint8Array.from(der)), above: [der] });
}

/** A leaf under somebody's leaf. @param above - the chain of the issuer, DER, leaf first. */
export async function forgeUnderLeaf(
  issuerKey: Uint8Array,
  above: readonly Uint8Array[],
  forgery: Forgery,
): Promise<ForgedCertificate> {
  const issuer = new x509.X509Certificate(Uint8Array.from(above[0] ?? new Uint8Array()));
  return sign(forgery, { signingKey: await importKey(issuerKey), issuer, above });
}

async function sign(
  { uris = [USUAL_ID], dns = [], subject = "", purposes = BOTH_ROLES, isCa = false }: Forgery,
  by: {
    readonly signingKey: webcrypto.CryptoKey;
    readonly issuer: x509.X509Certificate;
    readonly above: readonly Uint8Array[];
  },
): Promise<ForgedCertificate> {
  const keys = await webcrypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"]);
  const names = [
    ...uris.map((value) => ({ type: "url" as const, value })),
    ...dns.map((value) => ({ type: "dns" as const, value })),
  ];
  const certificate = await x509.X509CertificateGenerator.create(
    {
      serialNumber: Buffer.from(randomBytes(16)).toString("hex").replace(/^./, "1"),
      subject,
      issuer: by.issuer.subjectName,
      notBefore: new Date(Date.now() - 60_000),
      notAfter: new Date(Date.now() + 600_000),
      signingAlgorithm: ALGORITHM,
      publicKey: keys.publicKey,
      signingKey: by.signingKey,
      extensions: [
        new x509.BasicConstraintsExtension(isCa, undefined, true),
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
        new x509.ExtendedKeyUsageExtension([...purposes]),
        ...(names.length === 0 ? [] : [new x509.SubjectAlternativeNameExtension(names, true)]),
      ],
    },
    webcrypto,
  );
  const leaf = new Uint8Array(certificate.rawData);
  const chain = [leaf, ...by.above];
  const key = Buffer.from(await webcrypto.subtle.exportKey("pkcs8", keys.privateKey)).toString("base64");
  return { chain, tls: { key: pem("PRIVATE KEY", key), cert: chain.map(certificatePem).join("") } };
}

function importKey(pkcs8: Uint8Array): Promise<webcrypto.CryptoKey> {
  return webcrypto.subtle.importKey("pkcs8", Uint8Array.from(pkcs8), ALGORITHM, false, ["sign"]);
}

function certificatePem(der: Uint8Array): string {
  return pem("CERTIFICATE", Buffer.from(der).toString("base64"));
}

function pem(label: string, base64: string): string {
  // An empty line before the end is refused by OpenSSL.
  const lines = base64.match(/.{1,64}/g) ?? [];
  return `-----BEGIN ${label}-----\n${lines.join("\n")}\n-----END ${label}-----\n`;
}
