/**
 * Signs requests to AWS: one POST to `/` without a query, which is all that the JSON services have.
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

/** All headers of the request with its signature. */
export function signPost(
  { host, headers, body }: UnsignedPost,
  credentials: AwsCredentials,
  { region, service, nowMs }: SignatureScope,
): Readonly<Record<string, string>> {
  const date = new Date(nowMs).toISOString().replaceAll(/[-:]|\.\d+/g, "");
  const signed: Record<string, string> = { ...headers, host, "x-amz-date": date };
  if (credentials.sessionToken !== undefined) signed["x-amz-security-token"] = credentials.sessionToken;
  const names = Object.keys(signed).toSorted();
  const lines = names.map((name) => `${name}:${signed[name]?.trim()}\n`).join("");
  const canonical = ["POST", "/", "", lines, names.join(";"), sha256Hex(body)].join("\n");
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

function sha256Hex(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}
