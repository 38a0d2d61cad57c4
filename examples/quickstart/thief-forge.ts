/**
 * The thief's forgeries: certificates for identities that it saw, signed with whatever keys it has, and enrolment
 * documents for a key of its own. It uses the best tools there are, which are ours.
 */
import {
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  randomBytes,
  sign,
  type X509Certificate,
} from "node:crypto";
import { createSecureContext, type SecureContext } from "node:tls";
import { digestOfEnrolment } from "@trustwarden/core/agentid/enrolment.ts";
import { issuePossession } from "@trustwarden/core/agentid/possession.ts";
import { parseSpiffeId, parseTrustDomain } from "@trustwarden/core/agentid/spiffe-id.ts";
import {
  createSerial,
  issueLeafCertificate,
  issueRoot,
  parseCaCertificate,
} from "@trustwarden/core/agentid/svid-profile.ts";
import { encodeBase64url } from "@trustwarden/core/bytes.ts";
import { encodeSpki, sha256 } from "@trustwarden/core/crypto.ts";
import { issueEnvelope } from "@trustwarden/core/dsse.ts";
import { formatUlid } from "@trustwarden/core/id.ts";
import type { Signer } from "@trustwarden/core/signer.ts";

const random = (length: number): Uint8Array => new Uint8Array(randomBytes(length));

/** A certificate chain and the key that presents it. */
export interface ForgedIdentity {
  readonly label: string;
  readonly context: SecureContext;
  /** Whom it pretends to be. */
  readonly spiffeId: string;
  /** base64url SHA-256 of the leaf. */
  readonly svidSha256: string;
  readonly signer: Signer;
}

/** A fresh P-256 key. */
export function createKey(): KeyObject {
  return generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey;
}

/** A private key as our issuing code takes it. */
export function signerOf(key: KeyObject): Signer {
  return {
    algorithm: "ES256",
    publicKey: createPublicKey(key),
    sign: (data) => sign("sha256", data, { key, dsaEncoding: "ieee-p1363" }),
  };
}

/** An SVID for `spiffeId` under an authority of the thief's own that claims the same trust domain. */
export function forgeWithOwnAuthority(spiffeId: string, trustDomain: string): ForgedIdentity {
  const authority = createKey();
  const now = Math.floor(Date.now() / 1000);
  const domain = parseTrustDomain(trustDomain);
  const root = issueRoot({
    trustDomain: domain,
    signer: signerOf(authority),
    serial: createSerial(random),
    now,
    notAfter: now + 86_400,
  });
  const ca = parseCaCertificate(root, domain);
  const leafKey = createKey();
  const leaf = issueLeafCertificate({
    id: parseSpiffeId(spiffeId),
    spki: encodeSpki(createPublicKey(leafKey)),
    ca,
    signer: signerOf(authority),
    serial: createSerial(random),
    now,
    notAfter: now + 3600,
  });
  return present("own authority", { spiffeId, chain: [Buffer.from(leaf), Buffer.from(root)], key: leafKey });
}

/**
 * An SVID for `spiffeId` under a stolen certificate, signed with a key that the thief holds. Undefined when our
 * issuing code, which verifies what it signs, finds that the key is not the certificate's.
 */
export function forgeWithStolen(
  { certificate, key }: { readonly certificate: X509Certificate; readonly key: KeyObject },
  { spiffeId, trustDomain }: { readonly spiffeId: string; readonly trustDomain: string },
): ForgedIdentity | undefined {
  const now = Math.floor(Date.now() / 1000);
  const leafKey = createKey();
  try {
    const leaf = issueLeafCertificate({
      id: parseSpiffeId(spiffeId),
      spki: encodeSpki(createPublicKey(leafKey)),
      ca: parseCaCertificate(certificate.raw, parseTrustDomain(trustDomain)),
      signer: signerOf(key),
      serial: createSerial(random),
      now,
      notAfter: now + 3600,
    });
    return present("stolen authority", {
      spiffeId,
      chain: [Buffer.from(leaf), certificate.raw],
      key: leafKey,
    });
  } catch {
    // The key does not belong to the certificate: there is nothing to present.
    return undefined;
  }
}

/** A stolen certificate with a key; undefined when TLS itself finds that they do not belong together. */
export function presentStolen(certificate: X509Certificate, key: KeyObject): ForgedIdentity | undefined {
  try {
    const spiffeId = certificate.subjectAltName?.replace("URI:", "") ?? "";
    return present("stolen certificate", { spiffeId, chain: [certificate.raw], key });
  } catch {
    // OpenSSL: key values mismatch. A certificate without its key cannot be presented at all.
    return undefined;
  }
}

/** Body of `POST /v1/instances` that uses an enrolment document for a key of the thief's own. */
export function formatEnrolment(enrolment: string, nonce: string): string {
  const signer = signerOf(createKey());
  const claim = { nonce, enrolmentSha256: digestOfEnrolment(enrolment) };
  return JSON.stringify({
    enrolment,
    possession: issuePossession(claim, signer),
    spki: encodeBase64url(encodeSpki(signer.publicKey)),
  });
}

/** A ticket in an owner's name, signed with a key of the thief's own. */
export function forgeTicket(owner: string, trustDomain: string): string {
  const now = Math.floor(Date.now() / 1000);
  const signer = signerOf(createKey());
  const payload = {
    v: 1,
    kind: "agent",
    jti: formatUlid(Date.now(), random),
    aud: `spiffe://${trustDomain}`,
    iat: now,
    exp: now + 3600,
    owner,
    path: "team/finance",
    name: "thief",
    scope: ["read:transactions"],
    ttl_seconds: 3600,
    limits: { depth: 0, fan_out: 0, budget: null },
  };
  return issueEnvelope("ticket", payload, signer, encodeBase64url(random(32)));
}

function present(
  how: string,
  {
    spiffeId,
    chain,
    key,
  }: { readonly spiffeId: string; readonly chain: readonly Buffer[]; readonly key: KeyObject },
): ForgedIdentity {
  const pem = chain.map(
    (der) => `-----BEGIN CERTIFICATE-----\n${der.toString("base64")}\n-----END CERTIFICATE-----\n`,
  );
  const context = createSecureContext({
    cert: pem.join(""),
    key: key.export({ type: "pkcs8", format: "pem" }),
    minVersion: "TLSv1.3",
  });
  const svidSha256 = encodeBase64url(sha256(chain[0] ?? Buffer.of()));
  return { label: `${how}, as ${spiffeId}`, context, spiffeId, svidSha256, signer: signerOf(key) };
}
