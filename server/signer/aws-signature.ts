/**
 * Signs requests to AWS and to what speaks like it: one POST to `/` for the JSON services, anything for S3.
 *
 * Pure. Credentials are secrets: they are in no error and in no header but the signature's own.
 *
 * @see AWS Signature Version 4, "Create a signed AWS API request"
 */
import { createHash, createHmac } from "node:crypto";

const ALGORITHM = "AWS4-HMAC-SHA256";

/** Who asks AWS. Secret: never logged. */
export interface AwsCredentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  /** Of temporary credentials. */
  readonly sessionToken?: string | undefined;
}

/** A request to sign; `headers` are lower case and without `host` and `x-amz-*` of the signature. */
export interface UnsignedPost {
  readonly host: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** For whom a signature is: it is good nowhere else. */
export interface SignatureScope {
  readonly region: string;
  readonly service: string;
  /** Unix milliseconds; AWS refuses what is five minutes off. */
  readonly nowMs: number;
}

/** A request to S3; `path` and `query` are as they are sent, and canonical already. */
export interface UnsignedObjectRequest {
  readonly method: "GET" | "PUT" | "DELETE";
  readonly host: string;
  readonly path: string;
  readonly query: string;
  /** Lower case, without `host` and `x-amz-*` of the signature. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array;
}

/** All headers of the request with its signature. */
export function signPost(
  { host, headers, body }: UnsignedPost,
  credentials: AwsCredentials,
  scope: SignatureScope,
): Readonly<Record<string, string>> {
  const request = { method: "POST", path: "/", query: "", host, headers, bodySha256: sha256Hex(body) };
  return signRequest(request, credentials, scope);
}

/** All headers of a request to S3, which also wants the body's digest in a header and so notices another body. */
export function signObjectRequest(
  { body, headers, ...request }: UnsignedObjectRequest,
  credentials: AwsCredentials,
  scope: Omit<SignatureScope, "service">,
): Readonly<Record<string, string>> {
  const bodySha256 = sha256Hex(body);
  const all = { ...headers, "x-amz-content-sha256": bodySha256 };
  return signRequest({ ...request, headers: all, bodySha256 }, credentials, { ...scope, service: "s3" });
}

interface CanonicalRequest {
  readonly method: string;
  readonly host: string;
  readonly path: string;
  readonly query: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly bodySha256: string;
}

function signRequest(
  { method, host, path, query, headers, bodySha256 }: CanonicalRequest,
  credentials: AwsCredentials,
  { region, service, nowMs }: SignatureScope,
): Readonly<Record<string, string>> {
  const date = new Date(nowMs).toISOString().replaceAll(/[-:]|\.\d+/g, "");
  const signed: Record<string, string> = { ...headers, host, "x-amz-date": date };
  if (credentials.sessionToken !== undefined) signed["x-amz-security-token"] = credentials.sessionToken;
  const names = Object.keys(signed).toSorted();
  const lines = names.map((name) => `${name}:${signed[name]?.trim()}\n`).join("");
  const canonical = [method, path, query, lines, names.join(";"), bodySha256].join("\n");
  const parts = [date.slice(0, 8), region, service, "aws4_request"];
  const key = parts.reduce<Buffer>(hmac, Buffer.from(`AWS4${credentials.secretAccessKey}`, "utf8"));
  const scope = parts.join("/");
  const signature = hmac(key, [ALGORITHM, date, scope, sha256Hex(canonical)].join("\n")).toString("hex");
  const credential = `${credentials.accessKeyId}/${scope}`;
  const authorization = `${ALGORITHM} Credential=${credential}, SignedHeaders=${names.join(";")}, Signature=${signature}`;
  return { ...signed, authorization };
}

function hmac(key: Buffer, text: string): Buffer {
  return createHmac("sha256", key).update(text).digest();
}

function sha256Hex(bytes: string | Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}
