/** Certificates that the server would never issue, signed all the same by its own authority: what a bug might make. */
import { randomBytes, webcrypto } from "node:crypto";
import "@trustwarden/core/agentid/reflect.test.support.ts";
import * as x509 from "@peculiar/x509";
import { parseSpiffeId } from "@trustwarden/core/agentid/spiffe-id.ts";
import { createSerial, issueLeafCertificate } from "@trustwarden/core/agentid/svid-profile.ts";
import { encodeSpki } from "@trustwarden/core/crypto.ts";
import { createSoftwareSigner } from "../../server/signer/software.ts";
import { tlsOf } from "./actors.ts";
import { openAuthority } from "./authority-keys.ts";
import type { ClientTls } from "./http.ts";
import { createTestSigner } from "./keys.ts";
import type { TestHome } from "./server.ts";

const nowSeconds = () => Math.floor(Date.now() / 1000);

/** A correct SVID of any id, with its key. */
export async function forgeSvid(home: TestHome, spiffeId: string): Promise<ClientTls> {
  const { authority, pkcs8 } = await openAuthority(home);
  const signer = createTestSigner();
  const now = nowSeconds();
  const leaf = issueLeafCertificate({
    id: parseSpiffeId(spiffeId),
    spki: encodeSpki(signer.publicKey),
    ca: authority.intermediate,
    signer: createSoftwareSigner(pkcs8.intermediate),
    serial: createSerial((length) => new Uint8Array(randomBytes(length))),
    now,
    notAfter: now + 3600,
  });
  return tlsOf(signer, [leaf, authority.intermediate.der]);
}

/** A leaf with two URI names, signed by the server's intermediate: OpenSSL and Node accept it. */
export async function forgeTwoUris(home: TestHome, uris: readonly string[]): Promise<ClientTls> {
  const { authority, pkcs8 } = await openAuthority(home);
  const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
  const signingKey = await webcrypto.subtle.importKey(
    "pkcs8",
    Uint8Array.from(pkcs8.intermediate),
    algorithm,
    false,
    ["sign"],
  );
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
  const issuer = new x509.X509Certificate(Uint8Array.from(authority.intermediate.der));
  const certificate = await x509.X509CertificateGenerator.create(
    {
      serialNumber: "0102030405060708090a0b0c0d0e0f10",
      subject: "",
      issuer: issuer.subjectName,
      notBefore: new Date(Date.now() - 60_000),
      notAfter: new Date(Date.now() + 600_000),
      signingAlgorithm: algorithm,
      publicKey: keys.publicKey,
      signingKey,
      extensions: [
        new x509.BasicConstraintsExtension(false, undefined, true),
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
        new x509.SubjectAlternativeNameExtension(
          uris.map((value) => ({ type: "url" as const, value })),
          true,
        ),
      ],
    },
    webcrypto,
  );
  const key = Buffer.from(await webcrypto.subtle.exportKey("pkcs8", keys.privateKey)).toString("base64");
  return {
    key: `-----BEGIN PRIVATE KEY-----\n${key}\n-----END PRIVATE KEY-----\n`,
    cert: `${certificate.toString("pem")}\n${issuer.toString("pem")}\n`,
  };
}
