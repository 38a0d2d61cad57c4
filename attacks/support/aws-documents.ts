/** Documents of an EC2 instance, as AWS signs them and as an attacker would like to. */
import { createPrivateKey, sign } from "node:crypto";
import { readFileSync } from "node:fs";
import type { JsonObject } from "@trustwarden/core/json.ts";
import {
  createCertificate,
  type SigningOptions,
  signDocument,
  type TestCertificate,
} from "../../server/attest/signed-documents.test.support.ts";

const REGION = "eu-central-1";
/** The account whose machines are an agent. */
export const ACCOUNT = "123456789012";

let instances = 0;
let made: { readonly genuine: TestCertificate; readonly double: TestCertificate } | undefined;

/** AWS's certificate of the region, and another of the same name and number. Made when they are first asked for. */
export function certificates(): { readonly genuine: TestCertificate; readonly double: TestCertificate } {
  const options = { name: REGION, serial: 7 };
  made ??= { genuine: createCertificate(options), double: createCertificate(options) };
  return made;
}

/** The server's configuration: the genuine certificate is trusted. */
export function configureAws() {
  return { attestation: { aws: { certificates: { [REGION]: certificates().genuine.pem } } } };
}

/** A document of an instance that was launched a minute ago; another one each time, since each may be used once. */
export function awsDocument(members: JsonObject = {}): string {
  instances += 1;
  return JSON.stringify({
    accountId: ACCOUNT,
    architecture: "x86_64",
    imageId: "ami-0123456789abcdef0",
    instanceId: `i-${instances.toString(16).padStart(17, "0")}`,
    pendingTime: new Date(Date.now() - 60_000).toISOString().replace(/\.\d+/, ""),
    region: REGION,
    version: "2017-09-30",
    ...members,
  });
}

/** Evidence: a document in its PKCS #7 signature. */
export function pkcs7Evidence(options: SigningOptions, text: string = awsDocument()) {
  return { type: "aws_pkcs7", pkcs7: signDocument(text, options) };
}

/** Evidence: a document and its plain signature. */
export function plainEvidence(signer: TestCertificate, text: string = awsDocument()) {
  const key = createPrivateKey(readFileSync(signer.keyFile));
  const signature = sign("sha256", Buffer.from(text), key).toString("base64");
  return { type: "aws_signature", document: text, signature };
}
