/**
 * A stand-in for AWS KMS on loopback: real P-256 and AES keys, the JSON 1.1 protocol, and every request's signature computed anew
 * from what arrived. It is written from AWS's documents, not from our client, and it is not AWS.
 *
 * @see AWS KMS API, `GetPublicKey`, `Sign`, `DescribeKey`, `Encrypt` and `Decrypt`; AWS Signature Version 4
 */
import {
  createCipheriv,
  createDecipheriv,
  createECDH,
  createHash,
  createHmac,
  generateKeyPairSync,
  type KeyObject,
  randomBytes,
} from "node:crypto";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { AddressInfo } from "node:net";
import { encodeDerSignature } from "@trustwarden/core/agentid/certificate-signature.ts";

export const KMS_REGION = "eu-central-1";
export const KMS_CREDENTIALS = {
  accessKeyId: "AKIAEXAMPLEEXAMPLE00",
  secretAccessKey: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
  sessionToken: "FwoGZXIvYXdzEXAMPLE//token==",
} as const;
const MAX_SKEW_MS = 300_000;
const P256_ORDER = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n;
const AUTHORIZATION =
  /^AWS4-HMAC-SHA256 Credential=([^/]+)\/(\d{8})\/([^/]+)\/([^/]+)\/aws4_request, SignedHeaders=([^,]+), Signature=([0-9a-f]{64})$/;

/** Takes the answer's place. */
export type Misbehaviour = (
  response: ServerResponse,
  answer: Readonly<Record<string, unknown>>,
  operation: string,
) => void;

/** What a name leads to. */
interface Found {
  readonly arn: string;
  readonly secret: Buffer | undefined;
  readonly key: { readonly privateKey: KeyObject; readonly publicKey: KeyObject } | undefined;
}

/** Running; `misbehave` holds until it is set to undefined. */
export interface TestKms {
  readonly url: string;
  /** Operations that were asked with a good signature, in order. */
  readonly operations: string[];
  misbehave: Misbehaviour | undefined;
  /** Makes a key. @returns its id. */
  addKey(curve?: "P-256" | "P-384"): string;
  /** Makes one that encrypts. @returns its id. */
  addSymmetricKey(): string;
  arnOf(keyId: string): string;
  spkiOf(keyId: string): Uint8Array;
  close(): Promise<void>;
}

/** @param tls - key and certificate, PEM; without them it speaks plain HTTP. */
export async function startTestKms(tls?: { readonly key: string; readonly cert: string }): Promise<TestKms> {
  const keys = new Map<string, { readonly privateKey: KeyObject; readonly publicKey: KeyObject }>();
  const secrets = new Map<string, Buffer>();
  const arnOf = (keyId: string) => `arn:aws:kms:${KMS_REGION}:111122223333:key/${keyId}`;
  const handle = (request: IncomingMessage, response: ServerResponse) => {
    answer(request, response).catch(() => response.destroy());
  };
  const server = tls === undefined ? createServer(handle) : createTlsServer(tls, handle);

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    let body = "";
    for await (const chunk of request) body += String(chunk);
    const refusal = refusalOf(request, body, Date.now());
    if (refusal !== undefined) return refuse(response, refusal);
    const operation = String(request.headers["x-amz-target"]).replace("TrentService.", "");
    kms.operations.push(operation);
    const asked: Record<string, unknown> = JSON.parse(body);
    const keyId = String(asked.KeyId).split("/").at(-1) ?? "";
    const found = { arn: arnOf(keyId), secret: secrets.get(keyId), key: keys.get(keyId) };
    const result = perform(operation, asked, found);
    if (typeof result === "string") return refuse(response, result);
    const whole = { KeyId: arnOf(keyId), ...result };
    if (kms.misbehave !== undefined) return kms.misbehave(response, whole, operation);
    reply(response, whole);
  }

  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo; // cast: a TCP server that listens has a port
  const kms: TestKms = {
    url: `${tls === undefined ? "http" : "https"}://127.0.0.1:${port}`,
    operations: [],
    misbehave: undefined,
    addKey(curve = "P-256") {
      const keyId = crypto.randomUUID();
      keys.set(keyId, generateKeyPairSync("ec", { namedCurve: curve }));
      return keyId;
    },
    addSymmetricKey() {
      const keyId = crypto.randomUUID();
      secrets.set(keyId, randomBytes(32));
      return keyId;
    },
    arnOf,
    spkiOf(keyId) {
      const key = keys.get(keyId);
      if (key === undefined) throw new Error("no such key");
      return new Uint8Array(key.publicKey.export({ type: "spki", format: "der" }));
    },
    close: () =>
      new Promise((resolve) => {
        server.closeAllConnections();
        server.close(() => resolve());
      }),
  };
  return kms;
}

/** As KMS answers. */
export function reply(response: ServerResponse, answer: object): void {
  response.writeHead(200, { "content-type": "application/x-amz-json-1.1" }).end(JSON.stringify(answer));
}

/** As KMS refuses: the name in `__type`, and a sentence with names that are nobody else's business. */
export function refuse(response: ServerResponse, name: string, status = 400): void {
  response
    .writeHead(status, { "content-type": "application/x-amz-json-1.1" })
    .end(JSON.stringify({ __type: name, message: "User: arn:aws:iam::111122223333:user/private-name" }));
}

/** The answer, or the name of a refusal. */
function perform(
  operation: string,
  asked: Readonly<Record<string, unknown>>,
  { arn, secret, key }: Found,
): Readonly<Record<string, unknown>> | string {
  if (secret !== undefined) return performSymmetric(operation, asked, { secret, arn });
  if (key === undefined) return "NotFoundException";
  switch (operation) {
    case "GetPublicKey":
      return describe(arn, key.publicKey);
    case "Sign":
      return signed(asked, key.privateKey) ?? "ValidationException";
    case "DescribeKey":
      return { KeyMetadata: { Arn: arn, KeySpec: "ECC_NIST_P256", KeyUsage: "SIGN_VERIFY", Enabled: true } };
    default:
      return "InvalidKeyUsageException";
  }
}

/** AES-256-GCM with the encryption context as additional data, in a spelling that does not know its members' order. */
function performSymmetric(
  operation: string,
  asked: Readonly<Record<string, unknown>>,
  { secret, arn }: { readonly secret: Buffer; readonly arn: string },
) {
  const context = Object.entries(Object(asked.EncryptionContext)).toSorted(([a], [b]) => a.localeCompare(b));
  const aad = Buffer.from(JSON.stringify(context));
  switch (operation) {
    case "DescribeKey":
      return {
        KeyMetadata: { Arn: arn, KeySpec: "SYMMETRIC_DEFAULT", KeyUsage: "ENCRYPT_DECRYPT", Enabled: true },
      };
    case "Encrypt": {
      const nonce = randomBytes(12);
      const cipher = createCipheriv("aes-256-gcm", secret, nonce, { authTagLength: 16 }).setAAD(aad);
      const plain = Buffer.from(String(asked.Plaintext), "base64");
      const blob = Buffer.concat([nonce, cipher.update(plain), cipher.final(), cipher.getAuthTag()]);
      return { CiphertextBlob: blob.toString("base64"), EncryptionAlgorithm: "SYMMETRIC_DEFAULT" };
    }
    case "Decrypt": {
      const blob = Buffer.from(String(asked.CiphertextBlob), "base64");
      const decipher = createDecipheriv("aes-256-gcm", secret, blob.subarray(0, 12), { authTagLength: 16 });
      decipher.setAAD(aad).setAuthTag(blob.subarray(-16));
      try {
        const plain = Buffer.concat([decipher.update(blob.subarray(12, -16)), decipher.final()]);
        return { Plaintext: plain.toString("base64"), EncryptionAlgorithm: "SYMMETRIC_DEFAULT" };
      } catch {
        // Safe: that is the refusal of KMS.
        return "InvalidCiphertextException";
      }
    }
    default:
      return "InvalidKeyUsageException";
  }
}

function describe(arn: string, publicKey: KeyObject) {
  const is256 = publicKey.asymmetricKeyDetails?.namedCurve === "prime256v1";
  const spec = is256 ? "ECC_NIST_P256" : "ECC_NIST_P384";
  return {
    KeyId: arn,
    PublicKey: publicKey.export({ type: "spki", format: "der" }).toString("base64"),
    CustomerMasterKeySpec: spec,
    KeySpec: spec,
    KeyUsage: "SIGN_VERIFY",
    SigningAlgorithms: [is256 ? "ECDSA_SHA_256" : "ECDSA_SHA_384"],
  };
}

function signed(asked: Readonly<Record<string, unknown>>, privateKey: KeyObject) {
  const { Message: message, MessageType: type, SigningAlgorithm: algorithm } = asked;
  const digest = Buffer.from(String(message), "base64");
  if (type !== "DIGEST" || algorithm !== "ECDSA_SHA_256" || digest.length !== 32) return undefined;
  return { Signature: signDigest(digest, privateKey).toString("base64"), SigningAlgorithm: algorithm };
}

/** ECDSA over a digest as it is, which Node offers for no key: it hashes again (FIPS 186-5 §6.4.1). DER. */
function signDigest(digest: Buffer, privateKey: KeyObject): Buffer {
  const secret = toNumber(Buffer.from(privateKey.export({ format: "jwk" }).d ?? "", "base64url"));
  const once = createECDH("prime256v1");
  const point = once.generateKeys();
  const r = toNumber(point.subarray(1, 33)) % P256_ORDER;
  const inverse = power(toNumber(once.getPrivateKey()), P256_ORDER - 2n);
  const s = (inverse * (toNumber(digest) + r * secret)) % P256_ORDER;
  const [left, right] = [r, s].map((each) => Buffer.from(each.toString(16).padStart(64, "0"), "hex"));
  return Buffer.from(encodeDerSignature(Buffer.concat([left ?? point, right ?? point])));
}

function power(base: bigint, exponent: bigint): bigint {
  if (exponent === 0n) return 1n;
  const half = power((base * base) % P256_ORDER, exponent / 2n);
  return exponent % 2n === 0n ? half : (half * base) % P256_ORDER;
}

const toNumber = (bytes: Buffer) => BigInt(`0x${bytes.toString("hex")}`);

/** AWS's checks in the order of AWS: is it signed, by whom, when, and over what arrived. */
function refusalOf(request: IncomingMessage, body: string, nowMs: number): string | undefined {
  const { headers, method = "", url = "" } = request;
  const [, accessKeyId, day, region, service, signedHeaders = "", shown] =
    AUTHORIZATION.exec(headers.authorization ?? "") ?? [];
  if (shown === undefined) return "IncompleteSignatureException";
  const isKnown =
    accessKeyId === KMS_CREDENTIALS.accessKeyId &&
    headers["x-amz-security-token"] === KMS_CREDENTIALS.sessionToken;
  if (!isKnown) return "UnrecognizedClientException";
  const names = signedHeaders.split(";");
  const isWhole = ["host", "x-amz-date", "x-amz-target", "content-type", "x-amz-security-token"].every(
    (name) => names.includes(name),
  );
  const date = String(headers["x-amz-date"]);
  const [, y, mo, d, h, mi, s] = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/.exec(date) ?? [];
  const isFresh = Math.abs(Date.parse(`${y}-${mo}-${d}T${h}:${mi}:${s}Z`) - nowMs) < MAX_SKEW_MS;
  const isScoped = region === KMS_REGION && service === "kms" && day === date.slice(0, 8);
  if (!isWhole || !isFresh || !isScoped) return "InvalidSignatureException";
  const canonicalHeaders = names.map((name) => `${name}:${String(headers[name]).trim()}\n`).join("");
  const hex = (text: string) => createHash("sha256").update(text).digest("hex");
  const mac = (key: string | Buffer, text: string) => createHmac("sha256", key).update(text).digest();
  const canonical = [method, url, "", canonicalHeaders, signedHeaders, hex(body)].join("\n");
  const toSign = ["AWS4-HMAC-SHA256", date, `${day}/${region}/${service}/aws4_request`, hex(canonical)];
  const dayKey = mac(`AWS4${KMS_CREDENTIALS.secretAccessKey}`, String(day));
  const key = mac(mac(mac(dayKey, String(region)), String(service)), "aws4_request");
  return mac(key, toSign.join("\n")).toString("hex") === shown ? undefined : "InvalidSignatureException";
}
