/**
 * Evidence of an IAM role: a `GetCallerIdentity` request, signed here and sent to AWS STS by the server, never by us.
 *
 * Audience and nonce are among the signed headers, so that the request is of use to one server, once. Whoever has it in between
 * learns the role's session token but not its key.
 *
 * @see docs/guides/attestation.md, "AWS"; AWS Signature Version 4
 */
import { createHash, createHmac } from "node:crypto";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { EvidenceSource } from "./attest.ts";
import type { AwsCredentials } from "./exchange/aws.ts";
import { type Runtime, systemRuntime } from "./runtime.ts";

const BODY = "Action=GetCallerIdentity&Version=2011-06-15";
const CONTENT_TYPE = "application/x-www-form-urlencoded; charset=utf-8";
const ALGORITHM = "AWS4-HMAC-SHA256";
const REGION = /^[a-z]{2}[a-z0-9-]{3,30}$/;

/**
 * An assumed role of AWS: of a Lambda function, a task of ECS, a pod of EKS, or any machine.
 *
 * @param options.credentials - of the role, asked for at each exchange; `awsCredentials` gives such.
 * @param options.host - of the region's STS as the server is configured with it; AWS's own unless given.
 * @throws TrustWardenError `config_invalid` for a region that is none.
 */
export function fromAwsRole(options: {
  readonly region: string;
  readonly credentials: () => Promise<Omit<AwsCredentials, "expiresAt">>;
  readonly host?: string;
  readonly runtime?: Pick<Runtime, "nowMs">;
}): EvidenceSource {
  const { region, credentials, runtime = systemRuntime } = options;
  if (!REGION.test(region)) throw new TrustWardenError("config_invalid", { setting: "region" });
  const host = options.host ?? `sts.${region}.amazonaws.com`;
  return async ({ audience, nonce }) => {
    const { accessKeyId, secretAccessKey, sessionToken } = await credentials();
    const amzDate = new Date(runtime.nowMs()).toISOString().replaceAll(/[-:]|\.\d+/g, "");
    const headers = {
      "content-type": CONTENT_TYPE,
      host,
      "x-amz-date": amzDate,
      "x-amz-security-token": sessionToken.reveal(),
      "x-trustwarden-audience": audience,
      "x-trustwarden-nonce": nonce,
    };
    const scope = [amzDate.slice(0, 8), region, "sts", "aws4_request"];
    const signature = sign(headers, { scope, amzDate, secret: secretAccessKey.reveal() });
    const credential = `Credential=${accessKeyId}/${scope.join("/")}`;
    const signed = `SignedHeaders=${Object.keys(headers).join(";")}`;
    return {
      type: "aws_caller",
      region,
      authorization: `${ALGORITHM} ${credential}, ${signed}, Signature=${signature}`,
      amz_date: amzDate,
      security_token: sessionToken.reveal(),
    };
  };
}

/** Hex. @param headers - in the order of their names. */
function sign(
  headers: Readonly<Record<string, string>>,
  {
    scope,
    amzDate,
    secret,
  }: { readonly scope: readonly string[]; readonly amzDate: string; readonly secret: string },
): string {
  const lines = Object.entries(headers).map(([name, value]) => `${name}:${value}\n`);
  const request = ["POST", "/", "", lines.join(""), Object.keys(headers).join(";"), digestOf(BODY)].join(
    "\n",
  );
  const text = [ALGORITHM, amzDate, scope.join("/"), digestOf(request)].join("\n");
  const key = scope.reduce<string | Buffer>((before, part) => mac(before, part), `AWS4${secret}`);
  return mac(key, text).toString("hex");
}

function digestOf(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}

function mac(key: string | Buffer, text: string): Buffer {
  return createHmac("sha256", key).update(text).digest();
}
