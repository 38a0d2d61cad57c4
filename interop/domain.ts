/** A trust domain made for one run: real authority, real SVIDs, keys that are thrown away. */
import { generateKeyPairSync, type KeyObject, randomBytes, sign } from "node:crypto";
import { type Authority, createAuthority } from "@trustwarden/core/agentid/authority.ts";
import { formatSpiffeId, parseTrustDomain, type SpiffeId } from "@trustwarden/core/agentid/spiffe-id.ts";
import { createSerial, issueLeafCertificate } from "@trustwarden/core/agentid/svid-profile.ts";
import { encodeSpki } from "@trustwarden/core/crypto.ts";
import type { Signer } from "@trustwarden/core/signer.ts";

const HOUR_SECONDS = 3600;
const DAY_SECONDS = 24 * HOUR_SECONDS;

/** A signer whose private key can be given to the program that is to use it. */
export interface OpenSigner extends Signer {
  readonly privateKey: KeyObject;
}

export interface Domain extends Authority {
  readonly signers: {
    readonly root: OpenSigner;
    readonly intermediate: OpenSigner;
    readonly jwt: OpenSigner;
  };
}

/** An SVID with its key; `chain` is what a peer presents. */
export interface IssuedSvid {
  readonly id: SpiffeId;
  readonly chain: readonly Uint8Array[];
  readonly signer: OpenSigner;
}

/** A fresh P-256 key. */
export function createSigner(): OpenSigner {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  return {
    algorithm: "ES256",
    privateKey,
    publicKey,
    sign: (data) => sign("sha256", data, { key: privateKey, dsaEncoding: "ieee-p1363" }),
  };
}

/** A fresh trust domain. @param now - Unix seconds. */
export function createDomain(name: string, now: number): Domain {
  const signers = { root: createSigner(), intermediate: createSigner(), jwt: createSigner() };
  const authority = createAuthority({
    trustDomain: parseTrustDomain(name),
    rootSigner: signers.root,
    intermediateSigner: signers.intermediate,
    jwtSigner: signers.jwt,
    random: randomBytes,
    // A day old, so that an SVID can have expired under it.
    now: now - DAY_SECONDS,
  });
  return { ...authority, signers };
}

/** An SVID of an instance, valid for an hour from `now`. */
export function issueSvid(domain: Domain, path: readonly string[], now: number): IssuedSvid {
  const signer = createSigner();
  const id = formatSpiffeId(domain.trustDomain, path);
  const spki = encodeSpki(signer.publicKey);
  const issue = (): Uint8Array =>
    issueLeafCertificate({
      id,
      spki,
      ca: domain.intermediate,
      signer: domain.signers.intermediate,
      serial: createSerial(randomBytes),
      now,
      notAfter: now + HOUR_SECONDS,
    });
  // The first of its kind is written by the encoder; strangers judge one that a stencil gave, as most are (decision 0092).
  issue();
  return { id, chain: [issue(), domain.intermediate.der], signer };
}

/** Certificates as PEM text. */
export function formatPem(certificates: readonly Uint8Array[]): string {
  return certificates
    .map((der) => {
      const lines =
        Buffer.from(der)
          .toString("base64")
          .match(/.{1,64}/g) ?? [];
      return `-----BEGIN CERTIFICATE-----\n${lines.join("\n")}\n-----END CERTIFICATE-----\n`;
    })
    .join("");
}

/** A private key as PKCS#8. */
export function encodePkcs8({ privateKey }: OpenSigner): Buffer {
  return privateKey.export({ type: "pkcs8", format: "der" });
}
