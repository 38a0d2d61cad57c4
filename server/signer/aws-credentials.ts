/**
 * Credentials for AWS: from the file that a deployment keeps renewed, else from the environment of the process.
 *
 * The file is what AWS's `credential_process` prints: `{"Version":1,"AccessKeyId":...,"SecretAccessKey":...}` with
 * `SessionToken` for temporary ones. It is a secret file like any other (0600), and nothing of it appears in an error.
 *
 * @see AWS SDKs and Tools, "Process credential provider"
 */
import { parseUtf8 } from "@trustwarden/core/bytes.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { parseJsonObject } from "@trustwarden/core/json.ts";
import type { AwsCredentials } from "./aws-signature.ts";
import { readPrivateFile } from "./private-file.ts";

const MAX_CHARS = 16_384;
const ACCESS_KEY_ID = /^[A-Za-z0-9_]{16,128}$/;
/** What may stand in a header. */
const SECRET = /^[\x21-\x7e]{1,8192}$/;

/** @throws TrustWardenError `config_invalid`, or `file_mode_too_open`. */
export function readAwsCredentials(path: string): AwsCredentials {
  const { Version, AccessKeyId, SecretAccessKey, SessionToken } = readDocument(path);
  if (Version !== 1) throw invalid("the credentials' file is not of version 1");
  return parseAwsCredentials({
    accessKeyId: AccessKeyId,
    secretAccessKey: SecretAccessKey,
    sessionToken: SessionToken,
  });
}

/** @throws TrustWardenError `config_invalid`. */
export function parseAwsCredentials(
  given: {
    readonly [Name in keyof AwsCredentials]-?: unknown;
  },
): AwsCredentials {
  const { accessKeyId, secretAccessKey, sessionToken } = given;
  if (typeof accessKeyId !== "string" || !ACCESS_KEY_ID.test(accessKeyId)) throw invalid("no access key id");
  if (typeof secretAccessKey !== "string" || !SECRET.test(secretAccessKey))
    throw invalid("no secret access key");
  if (sessionToken === undefined) return { accessKeyId, secretAccessKey };
  if (typeof sessionToken !== "string" || !SECRET.test(sessionToken)) throw invalid("not a session token");
  return { accessKeyId, secretAccessKey, sessionToken };
}

function readDocument(path: string) {
  try {
    return parseJsonObject(parseUtf8(readPrivateFile(path)), MAX_CHARS);
  } catch (cause) {
    if (cause instanceof TrustWardenError && cause.code === "file_mode_too_open") throw cause;
    // A parser's message may quote the secret, so the cause stays here.
    throw invalid("the credentials' file cannot be read");
  }
}

function invalid(reason: string): TrustWardenError {
  return new TrustWardenError("config_invalid", { setting: "credentials", reason: `AWS: ${reason}` });
}
