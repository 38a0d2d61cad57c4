/**
 * The root's key in AWS KMS: made there by its operator, never leaving it, asked over the network to sign a digest.
 *
 * Roots only (docs/decisions/0004). Nothing that KMS answers is believed: the key must be P-256, and a signature is
 * checked with it before anybody uses it. A KMS that does not answer stops what needs the root; there is no other key to
 * fall back to. What KMS writes into its messages appears in no error, only the name of its refusal.
 *
 * @see AWS KMS API, `GetPublicKey` and `Sign`; AWS JSON 1.1 protocol
 */
import { type IncomingMessage, request as requestHttp } from "node:http";
import { request as requestHttps } from "node:https";
import { parseDerSignature } from "@trustwarden/core/agentid/certificate-signature.ts";
import { encodeBase64, parseBase64, parseUtf8 } from "@trustwarden/core/bytes.ts";
import { encodeSpki, isP256Signature, parseP256PublicKey, sha256 } from "@trustwarden/core/crypto.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { type JsonObject, parseJsonObject } from "@trustwarden/core/json.ts";
import type { RootSigner } from "@trustwarden/core/signer.ts";
import { type AwsCredentials, signPost } from "./aws-signature.ts";

/** Both answers are below a kilobyte. */
const MAX_ANSWER_BYTES = 16_384;
const MAX_HEADER_BYTES = 16_384;
const ALGORITHM = "ECDSA_SHA_256";
/** The name of a key that no alias can be moved under. */
export const KMS_KEY_ARN = /^arn:aws[a-z-]{0,16}:kms:[a-z0-9-]{1,32}:\d{12}:key\/[A-Za-z0-9-]{1,128}$/;
const REFUSAL = /^(?:[A-Za-z0-9._]{1,128}#)?([A-Za-z]{1,64})$/;
/** What an operator can do something about; the rest keeps its name. */
const REASONS: Readonly<Record<string, string>> = {
  AccessDeniedException: "the credentials may not use the key",
  DisabledException: "the key is disabled",
  ExpiredTokenException: "the credentials have expired",
  InvalidSignatureException: "the request's signature is refused: check the secret and the clock",
  NotFoundException: "there is no such key in the region",
  ThrottlingException: "too many requests",
  UnrecognizedClientException: "the credentials are not known",
};

/** Where keys are, and who asks. */
export interface KmsPlace {
  readonly region: string;
  /** Origin of another endpoint than the region's. */
  readonly endpoint?: string | undefined;
  /** Id, ARN or alias of the key of the next root. */
  readonly keyId: string;
  /** From the first byte sent to the last received. */
  readonly timeoutMs: number;
  /** Asked at each call: temporary credentials are renewed in place. @throws TrustWardenError `config_invalid`. */
  readonly credentials: () => AwsCredentials;
  readonly nowMs: () => number;
}

/** A key as KMS names it. */
export interface KmsKey {
  /** The key's own name: an alias may be moved to another key, this is kept. */
  readonly arn: string;
  readonly spki: Uint8Array;
}

/**
 * The key that a name leads to.
 *
 * @throws TrustWardenError `signer_unavailable`, or `config_invalid` for a key that is not P-256 or does not sign.
 */
export async function findKmsKey(place: KmsPlace, keyId: string): Promise<KmsKey> {
  const answer = await askKms(place, "GetPublicKey", { KeyId: keyId });
  const { KeySpec: spec, KeyUsage: usage, SigningAlgorithms: algorithms } = answer;
  const isSuitable =
    spec === "ECC_NIST_P256" &&
    usage === "SIGN_VERIFY" &&
    Array.isArray(algorithms) &&
    algorithms.includes(ALGORITHM);
  if (!isSuitable) {
    throw new TrustWardenError("config_invalid", {
      setting: "signer.root.keyId",
      reason: "KMS's key is not an ECC_NIST_P256 key for SIGN_VERIFY",
    });
  }
  const arn = textOf(answer, "KeyId");
  if (!KMS_KEY_ARN.test(arn)) throw unavailable("the answer names no key");
  const spki = readBytes(answer, "PublicKey", (der) => encodeSpki(parseP256PublicKey(der)));
  return { arn, spki };
}

/** A signer whose key stays in KMS. @throws TrustWardenError as `findKmsKey`. */
export async function openKmsSigner(place: KmsPlace, arn: string): Promise<RootSigner> {
  const found = await findKmsKey(place, arn);
  if (found.arn !== arn) throw unavailable("the answer is about another key");
  const publicKey = parseP256PublicKey(found.spki);
  return {
    publicKey,
    sign: async (data) => {
      const answer = await askKms(place, "Sign", {
        KeyId: arn,
        Message: encodeBase64(sha256(data)),
        MessageType: "DIGEST",
        SigningAlgorithm: ALGORITHM,
      });
      const signature = readBytes(answer, "Signature", parseDerSignature);
      if (!isP256Signature(publicKey, data, signature)) throw unavailable("the signature is not the key's");
      return signature;
    },
  };
}

/**
 * One signed request.
 *
 * @throws TrustWardenError `signer_unavailable` with the name of the refusal.
 */
export async function askKms(
  place: KmsPlace,
  operation: string,
  parameters: JsonObject,
): Promise<JsonObject> {
  const { region, credentials, nowMs } = place;
  const url = new URL("/", place.endpoint ?? originOf(region));
  const body = JSON.stringify(parameters);
  const headers = signPost(
    {
      host: url.host,
      headers: {
        "content-type": "application/x-amz-json-1.1",
        "x-amz-target": `TrentService.${operation}`,
      },
      body,
    },
    credentials(),
    { region, service: "kms", nowMs: nowMs() },
  );
  const { status, text } = await post(url, { headers, body, timeoutMs: place.timeoutMs });
  if (status !== 200) throw refusalOf(status, text);
  return parseAnswer(text);
}

/** The partition of China has a domain of its own; others need `endpoint`. */
function originOf(region: string): string {
  return `https://kms.${region}.amazonaws.com${region.startsWith("cn-") ? ".cn" : ""}`;
}

interface Post {
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  readonly timeoutMs: number;
}

/** One request over a connection of its own: no redirect is followed, no proxy asked, no other name believed. */
async function post(
  url: URL,
  { headers, body, timeoutMs }: Post,
): Promise<{ readonly status: number; readonly text: string }> {
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
  const call = (url.protocol === "https:" ? requestHttps : requestHttp)(
    url,
    {
      method: "POST",
      headers: { ...headers, "content-length": String(Buffer.byteLength(body)), connection: "close" },
      agent: false,
      rejectUnauthorized: true,
      minVersion: "TLSv1.2",
      maxHeaderSize: MAX_HEADER_BYTES,
      signal: AbortSignal.timeout(timeoutMs),
    },
    resolve,
  );
  call.on("error", reject);
  call.end(body);
  try {
    const response = await promise;
    return { status: response.statusCode ?? 0, text: await readText(response) };
  } catch (cause) {
    if (cause instanceof TrustWardenError) throw cause;
    throw unavailable("no answer in time", {}, cause);
  } finally {
    call.destroy();
  }
}

async function readText(response: IncomingMessage): Promise<string> {
  const parts: Buffer[] = [];
  let length = 0;
  for await (const part of response) {
    if (!Buffer.isBuffer(part)) throw new Error("a response without encoding yields buffers");
    length += part.length;
    if (length > MAX_ANSWER_BYTES) throw unavailable("the answer is too large");
    parts.push(part);
  }
  try {
    return parseUtf8(new Uint8Array(Buffer.concat(parts)));
  } catch {
    throw unavailable("the answer is not text");
  }
}

/** KMS names its refusal in `__type`; its sentence may name principals and keys, and stays outside. */
function refusalOf(status: number, text: string): TrustWardenError {
  const { __type: type } = parseAnswer(text);
  const [, name = ""] = typeof type === "string" ? (REFUSAL.exec(type) ?? []) : [];
  return unavailable(REASONS[name] ?? "KMS refused", { status, refusal: name });
}

function parseAnswer(text: string): JsonObject {
  try {
    return parseJsonObject(text, MAX_ANSWER_BYTES);
  } catch {
    // The parser's message may quote the answer, so the cause stays here.
    throw unavailable("the answer is not JSON");
  }
}

function textOf(answer: JsonObject, name: string): string {
  const value = answer[name];
  if (typeof value !== "string") throw unavailable(`the answer has no ${name}`);
  return value;
}

/** Bytes of the answer in the one form that a parser of ours takes. */
function readBytes(answer: JsonObject, name: string, parse: (bytes: Uint8Array) => Uint8Array): Uint8Array {
  const text = textOf(answer, name);
  try {
    return parse(parseBase64(text));
  } catch (cause) {
    throw unavailable(`the ${name} is malformed`, {}, cause);
  }
}

function unavailable(
  reason: string,
  details: Readonly<Record<string, string | number>> = {},
  cause?: unknown,
): TrustWardenError {
  const options = cause === undefined ? {} : { cause };
  return new TrustWardenError("signer_unavailable", { custody: "aws-kms", reason, ...details }, options);
}
