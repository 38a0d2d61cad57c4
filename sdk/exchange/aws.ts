/**
 * AWS: `sts:AssumeRoleWithWebIdentity`, for temporary credentials of a role whose trust policy names our issuer.
 *
 * @see AWS Security Token Service API Reference, AssumeRoleWithWebIdentity (version 2011-06-15)
 */
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { createProviderCredentials, type ExchangeOptions, type ProviderCredentials } from "./exchange.ts";
import { askProvider, malformed, type ProviderPlace, parseInstant } from "./provider-answer.ts";
import { Secret } from "./secret.ts";

const PROVIDER = "aws";
const ROLE_ARN = /^arn:[a-z0-9-]{1,32}:iam::\d{12}:role\/[\w+=,.@/-]{1,512}$/;
const REGION = /^[a-z]{2}(?:-[a-z]{1,16}){1,3}-\d{1,2}$/;
const SESSION_NAME = /^[\w+=,.@-]{2,64}$/;

export interface AwsOptions extends ExchangeOptions, ProviderPlace {
  readonly roleArn: string;
  /** Such as `eu-central-1`; its regional endpoint is asked. */
  readonly region: string;
  /** Shown in CloudTrail; 2 to 64 characters. */
  readonly sessionName: string;
  /** 900 to 43,200, and no more than the role allows. */
  readonly durationSeconds?: number;
  /** What the IAM identity provider has as its client id. */
  readonly audience?: string;
}

/** Temporary security credentials. */
export interface AwsCredentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: Secret;
  readonly sessionToken: Secret;
  /** Unix seconds. */
  readonly expiresAt: number;
}

/** @throws TrustWardenError `config_invalid` for a role, region or session name that AWS would not take. */
export function awsCredentials(options: AwsOptions): ProviderCredentials<AwsCredentials> {
  const { roleArn, region, sessionName, durationSeconds = 3600, audience = "sts.amazonaws.com" } = options;
  requireSetting("roleArn", ROLE_ARN.test(roleArn));
  requireSetting("region", REGION.test(region));
  requireSetting("sessionName", SESSION_NAME.test(sessionName));
  requireSetting("durationSeconds", durationSeconds >= 900 && durationSeconds <= 43_200);
  const fixed = {
    Action: "AssumeRoleWithWebIdentity",
    Version: "2011-06-15",
    RoleArn: roleArn,
    RoleSessionName: sessionName,
    DurationSeconds: String(durationSeconds),
  };
  const exchange = async (token: string): Promise<AwsCredentials> =>
    parseAnswer(
      await askProvider({
        provider: PROVIDER,
        origin: `https://sts.${region}.amazonaws.com`,
        place: options,
        target: "/",
        body: { form: { ...fixed, WebIdentityToken: token } },
        headers: { accept: "text/xml" },
      }),
    );
  return createProviderCredentials(options, { audience, exchange });
}

/** The one element of each name in a document whose form is fixed; an XML parser would read far more than that. */
function parseAnswer(xml: string): AwsCredentials {
  return {
    accessKeyId: elementOf(xml, "AccessKeyId"),
    secretAccessKey: new Secret(elementOf(xml, "SecretAccessKey")),
    sessionToken: new Secret(elementOf(xml, "SessionToken")),
    expiresAt: parseInstant(PROVIDER, "Expiration", elementOf(xml, "Expiration")),
  };
}

/** None of these values holds a character that XML would escape; white space around them is the document's own. */
function elementOf(xml: string, name: string): string {
  const found = [...xml.matchAll(new RegExp(`<${name}>\\s*([A-Za-z0-9+/=:.-]{1,8192})\\s*</${name}>`, "g"))];
  const [only, ...more] = found;
  return only?.[1] !== undefined && more.length === 0 ? only[1] : malformed(PROVIDER, name);
}

function requireSetting(setting: string, holds: boolean): void {
  if (!holds) throw new TrustWardenError("config_invalid", { setting });
}
