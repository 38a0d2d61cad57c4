/**
 * Azure: the attested document of the instance metadata service proves which virtual machine of which subscription asks.
 *
 * The signer's certificate is in the bag and changes often; it is believed when it is the one that signed, has the
 * service's name, and was issued below a configured root by configured authorities. Nothing is downloaded: the address
 * of an issuer inside a stranger's certificate is a stranger's address (ATTACKS.md B12). The nonce ties the document to
 * this exchange.
 *
 * @see Azure Instance Metadata Service, "Attested data"
 */
import { X509Certificate } from "node:crypto";
import { formatAzureNonce } from "@trustwarden/core/agentid/attestation-nonce.ts";
import { encodeBase64url, parseUtf8 } from "@trustwarden/core/bytes.ts";
import { sha256 } from "@trustwarden/core/crypto.ts";
import { type JsonObject, parseJsonObject } from "@trustwarden/core/json.ts";
import { isWithinValidity, readCertificate } from "./certificates.ts";
import { claimsOf, objectOf, optionalTextOf, selectorsOf, textOf } from "./claims.ts";
import type { AzureDocumentConfig } from "./config.ts";
import type { Attest } from "./ports.ts";
import { asMalformed, expired, malformed, refused, untrustedIssuer } from "./refusal.ts";
import { isSigner, parseSignedData, type UnverifiedSignedData, verifySignedData } from "./signed-data.ts";

/** How far Azure's clock may be ahead of ours. */
const CLOCK_SKEW_SECONDS = 60;
/** Azure gives its documents six hours. */
const MAX_LIFETIME_SECONDS = 86_400;
/** Authorities between the signer and a root. */
const MAX_AUTHORITIES = 4;
/** `MM/DD/YY HH:MM:SS -0000`. */
const INSTANT = /^(\d\d)\/(\d\d)\/(\d\d) (\d\d:\d\d:\d\d) [-+]0000$/;

interface Authorities {
  readonly roots: readonly X509Certificate[];
  readonly intermediates: readonly X509Certificate[];
}

/** @throws TrustWardenError `config_invalid` for text that is no certificate. */
export function createAzureDocumentAttestor(config: AzureDocumentConfig): Attest<"azure_document"> {
  const read = (pems: readonly string[], member: string) =>
    pems.map((pem) => readCertificate(pem, `attestation.azure.document.${member}`));
  const authorities = {
    roots: read(config.roots, "roots"),
    intermediates: read(config.intermediates, "intermediates"),
  };
  return async ({ pkcs7 }, { nonce, nowSeconds }) => {
    if (nonce === undefined) throw refused("no nonce in this exchange");
    const signed = parseSignedData(pkcs7);
    const certificate = signerOf(signed);
    requireTrusted(certificate, authorities, nowSeconds);
    if (!config.signerNames.some((name) => certificate.checkHost(name, { wildcards: false }) !== undefined)) {
      throw untrustedIssuer("name of the signer");
    }
    const content = verifySignedData(signed, certificate.publicKey);
    const document = asMalformed("document", () => parseJsonObject(parseUtf8(content)));
    if (textOf(document, "nonce") !== formatAzureNonce(nonce)) throw refused("nonce");
    const expiresAt = requireWithinLifetime(objectOf(document, "timeStamp"), nowSeconds);
    const facts = factsOf(document, config);
    return {
      type: "azure_document",
      selectors: selectorsOf("azure", facts),
      subject: ["azure", facts.subscription_id, facts.vm_id].join(":"),
      claims: claimsOf(facts),
      expiresAt,
      singleUse: config.singleUse ? { id: encodeBase64url(sha256(content)), expiresAt } : null,
    };
  };
}

/** The one certificate of the bag that the signer names. */
function signerOf(signed: UnverifiedSignedData): X509Certificate {
  const [der, ...others] = signed.unverifiedCertificates.filter((candidate) => isSigner(signed, candidate));
  if (der === undefined || others.length > 0) throw malformed("signer's certificate");
  try {
    return new X509Certificate(der);
  } catch (cause) {
    throw malformed("signer's certificate", cause);
  }
}

/** Requires that configured authorities, and they alone, lead from the certificate to a configured root. */
function requireTrusted(
  certificate: X509Certificate,
  { roots, intermediates }: Authorities,
  nowSeconds: number,
): void {
  if (certificate.ca) throw refused("an authority signs no documents");
  let subject = certificate;
  for (let step = 0; step <= MAX_AUTHORITIES; step += 1) {
    if (!isWithinValidity(subject, nowSeconds)) throw expired("a certificate of the chain");
    const root = roots.find((candidate) => isIssuer(candidate, subject));
    if (root !== undefined) {
      if (!isWithinValidity(root, nowSeconds)) throw expired("a certificate of the chain");
      return;
    }
    const issuer = intermediates.find((candidate) => isIssuer(candidate, subject));
    if (issuer === undefined) break;
    subject = issuer;
  }
  throw untrustedIssuer("chain of the signer");
}

function isIssuer(issuer: X509Certificate, subject: X509Certificate): boolean {
  return issuer.ca && subject.checkIssued(issuer) && subject.verify(issuer.publicKey);
}

function requireWithinLifetime(times: JsonObject, nowSeconds: number): number {
  const createdAt = instantOf(times, "createdOn");
  const expiresAt = instantOf(times, "expiresOn");
  if (!(nowSeconds < expiresAt)) throw expired("expiresOn");
  if (!(nowSeconds >= createdAt - CLOCK_SKEW_SECONDS)) throw expired("createdOn");
  if (expiresAt - createdAt > MAX_LIFETIME_SECONDS) throw expired("the document lives too long");
  return expiresAt;
}

function instantOf(times: JsonObject, name: "createdOn" | "expiresOn"): number {
  const [, month, day, year, time] = INSTANT.exec(textOf(times, name)) ?? [];
  const milliseconds = month === undefined ? Number.NaN : Date.parse(`20${year}-${month}-${day}T${time}Z`);
  if (Number.isNaN(milliseconds)) throw malformed(name);
  return milliseconds / 1000;
}

function factsOf(document: JsonObject, { subscriptionIds }: AzureDocumentConfig) {
  const subscription = textOf(document, "subscriptionId");
  if (!subscriptionIds.includes(subscription)) throw untrustedIssuer("subscription");
  return {
    subscription_id: subscription,
    vm_id: textOf(document, "vmId"),
    sku: optionalTextOf(document, "sku"),
  };
}
