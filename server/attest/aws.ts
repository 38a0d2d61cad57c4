/**
 * AWS: an instance identity document proves which EC2 instance of which account asks.
 *
 * Signed by the certificate of its region, which the configuration names: the one in the bag must be that very one or
 * absent. Everything comes from the signed document; evidence has no other field that could say something else
 * (ATTACKS.md B3). A document is neither made for us nor does it expire, so it is taken only shortly after launch,
 * and once.
 *
 * @see Amazon EC2 User Guide, "Verify the instance identity document"
 */
import type { X509Certificate } from "node:crypto";
import { encodeBase64url, encodeUtf8, parseBase64, parseUtf8 } from "@trustwarden/core/bytes.ts";
import { sha256 } from "@trustwarden/core/crypto.ts";
import { type JsonObject, parseJsonObject } from "@trustwarden/core/json.ts";
import { readCertificates } from "./certificates.ts";
import { claimsOf, type Facts, optionalTextOf, selectorsOf, textOf } from "./claims.ts";
import type { AwsConfig } from "./config.ts";
import type { Attest, AttestationContext, Attested } from "./ports.ts";
import { asMalformed, expired, malformed, refused, untrustedIssuer } from "./refusal.ts";
import {
  isSameCertificate,
  MIN_RSA_BITS,
  parseSignedData,
  verifyRsa,
  verifySignedData,
} from "./signed-data.ts";

/** How far AWS's clock may be ahead of ours. */
const CLOCK_SKEW_SECONDS = 60;
const LEGACY_RSA_BITS = 1024;
const INSTANT = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/;
const ACCOUNT = /^\d{12}$/;
const INSTANCE = /^i-[0-9a-f]{8,17}$/;

/** Verifies both forms of signature. */
export interface AwsAttestors {
  readonly pkcs7: Attest<"aws_pkcs7">;
  readonly signature: Attest<"aws_signature">;
}

/** @throws TrustWardenError `config_invalid` for text that is no certificate. */
export function createAwsAttestors(config: AwsConfig): AwsAttestors {
  const certificates = readCertificates(config.certificates, "attestation.aws.certificates");
  const legacy = readCertificates(config.legacyCertificates, "attestation.aws.legacyCertificates");
  return {
    pkcs7: async (evidence, context) => {
      const signed = parseSignedData(evidence.pkcs7);
      const certificate = certificateFor(signed.unverifiedContent, certificates);
      if (signed.unverifiedCertificates.some((der) => !isSameCertificate(certificate, der))) {
        throw refused("another certificate in the bag");
      }
      const document = verifySignedData(signed, certificate.publicKey);
      return attestedInstance({ type: "aws_pkcs7", document, config }, context);
    },
    signature: async (evidence, context) => {
      const document = encodeUtf8(evidence.document);
      const strong = regionOf(document, certificates);
      const certificate = strong ?? certificateFor(document, legacy);
      verifyRsa({
        key: certificate.publicKey,
        digest: "sha256",
        data: document,
        signature: asMalformed("signature", () => parseBase64(evidence.signature.replaceAll(/\r?\n/g, ""))),
        minRsaBits: strong === undefined ? LEGACY_RSA_BITS : MIN_RSA_BITS,
      });
      return attestedInstance({ type: "aws_signature", document, config }, context);
    },
  };
}

/** The certificate of the region that the document claims; it only chooses the key that must then fit. */
function certificateFor(
  document: Uint8Array,
  certificates: ReadonlyMap<string, X509Certificate>,
): X509Certificate {
  const certificate = regionOf(document, certificates);
  if (certificate === undefined) throw untrustedIssuer("region");
  return certificate;
}

function regionOf(
  document: Uint8Array,
  certificates: ReadonlyMap<string, X509Certificate>,
): X509Certificate | undefined {
  return certificates.get(textOf(parseDocument(document), "region"));
}

function parseDocument(document: Uint8Array): JsonObject {
  return asMalformed("document", () => parseJsonObject(parseUtf8(document)));
}

function attestedInstance(
  {
    type,
    document,
    config,
  }: {
    readonly type: "aws_pkcs7" | "aws_signature";
    readonly document: Uint8Array;
    readonly config: AwsConfig;
  },
  { nowSeconds }: AttestationContext,
): Attested {
  const claims = parseDocument(document);
  const facts = factsOf(claims);
  const launchedAt = launchOf(claims);
  const expiresAt = launchedAt + config.maxAgeSeconds;
  if (!(nowSeconds < expiresAt)) throw expired("too long after launch");
  if (!(nowSeconds >= launchedAt - CLOCK_SKEW_SECONDS)) throw expired("launched in the future");
  return {
    type,
    selectors: selectorsOf("aws", facts),
    subject: ["aws", facts.account, facts.region, facts.instance_id].join(":"),
    claims: claimsOf(facts),
    expiresAt,
    singleUse: config.singleUse ? { id: encodeBase64url(sha256(document)), expiresAt } : null,
  };
}

function factsOf(claims: JsonObject): Facts {
  const account = textOf(claims, "accountId");
  const instance = textOf(claims, "instanceId");
  if (!ACCOUNT.test(account) || !INSTANCE.test(instance)) throw refused("account or instance");
  return {
    account,
    region: textOf(claims, "region"),
    availability_zone: optionalTextOf(claims, "availabilityZone"),
    instance_id: instance,
    instance_type: optionalTextOf(claims, "instanceType"),
    image: textOf(claims, "imageId"),
    architecture: optionalTextOf(claims, "architecture"),
  };
}

/** When the instance was launched, or last started; Unix seconds. */
function launchOf(claims: JsonObject): number {
  const text = textOf(claims, "pendingTime");
  const milliseconds = INSTANT.test(text) ? Date.parse(text) : Number.NaN;
  if (Number.isNaN(milliseconds)) throw malformed("pendingTime");
  return milliseconds / 1000;
}
