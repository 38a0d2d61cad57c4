/**
 * Google Cloud: the Security Token Service for a federated access token, and with a service account its impersonation.
 *
 * @see Google Cloud STS v1 `token`; IAM Service Account Credentials v1 `generateAccessToken`
 */
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { createProviderCredentials, type ExchangeOptions, type ProviderCredentials } from "./exchange.ts";
import { askProvider, ProviderAnswer, type ProviderPlace, parseInstant } from "./provider-answer.ts";
import type { Secret } from "./secret.ts";

const PROVIDER = "gcp";
const CLOUD_PLATFORM = "https://www.googleapis.com/auth/cloud-platform";
const NUMBER = /^\d{1,20}$/;
const ID = /^[a-z][a-z0-9-]{2,62}$/;
const SERVICE_ACCOUNT = /^[a-z][a-z0-9-]{4,62}@[a-z][a-z0-9.-]{1,100}\.gserviceaccount\.com$/;

export interface GcpOptions extends ExchangeOptions, ProviderPlace {
  readonly projectNumber: string;
  /** Ids of the workload identity pool and of the provider in it that names our issuer. */
  readonly pool: string;
  readonly poolProvider: string;
  /** Address of a service account to impersonate; the federated identity itself when absent. */
  readonly serviceAccount?: string;
  readonly scopes?: readonly string[];
  /** The impersonation's endpoint when it is not at its usual place. */
  readonly credentialsEndpoint?: string;
}

export interface GcpAccessToken {
  readonly accessToken: Secret;
  /** Unix seconds. */
  readonly expiresAt: number;
}

/** @throws TrustWardenError `config_invalid` for an id that Google would not take. */
export function gcpCredentials(options: GcpOptions): ProviderCredentials<GcpAccessToken> {
  const { projectNumber, pool, poolProvider, serviceAccount } = options;
  const isGood =
    NUMBER.test(projectNumber) &&
    ID.test(pool) &&
    ID.test(poolProvider) &&
    (serviceAccount === undefined || SERVICE_ACCOUNT.test(serviceAccount));
  if (!isGood) throw new TrustWardenError("config_invalid", { setting: "gcp" });
  const name = `//iam.googleapis.com/projects/${projectNumber}/locations/global/workloadIdentityPools/${pool}/providers/${poolProvider}`;
  const exchange = async (token: string, now: number): Promise<GcpAccessToken> => {
    const federated = await exchangeToken(options, { token, name, now });
    return serviceAccount === undefined ? federated : impersonate(options, { serviceAccount, federated });
  };
  // What a pool provider accepts when it names no audiences of its own.
  return createProviderCredentials(options, { audience: `https:${name}`, exchange });
}

async function exchangeToken(
  options: GcpOptions,
  { token, name, now }: { readonly token: string; readonly name: string; readonly now: number },
): Promise<GcpAccessToken> {
  const scopes = options.serviceAccount === undefined ? scopesOf(options) : [CLOUD_PLATFORM];
  const text = await askProvider({
    provider: PROVIDER,
    origin: "https://sts.googleapis.com",
    place: options,
    target: "/v1/token",
    body: {
      json: {
        audience: name,
        grantType: "urn:ietf:params:oauth:grant-type:token-exchange",
        requestedTokenType: "urn:ietf:params:oauth:token-type:access_token",
        scope: scopes.join(" "),
        subjectToken: token,
        subjectTokenType: "urn:ietf:params:oauth:token-type:jwt",
      },
    },
  });
  const answer = new ProviderAnswer(PROVIDER, text);
  answer.requireBearer();
  return { accessToken: answer.secret("access_token"), expiresAt: answer.expiresAt("expires_in", now) };
}

async function impersonate(
  options: GcpOptions,
  { serviceAccount, federated }: { readonly serviceAccount: string; readonly federated: GcpAccessToken },
): Promise<GcpAccessToken> {
  const { credentialsEndpoint: endpoint, ca } = options;
  const text = await askProvider({
    provider: PROVIDER,
    origin: "https://iamcredentials.googleapis.com",
    place: { ...(endpoint && { endpoint }), ...(ca && { ca }) },
    target: `/v1/projects/-/serviceAccounts/${serviceAccount}:generateAccessToken`,
    body: { json: { scope: [...scopesOf(options)] } },
    headers: { authorization: `Bearer ${federated.accessToken.reveal()}` },
  });
  const answer = new ProviderAnswer(PROVIDER, text);
  const expiresAt = parseInstant(PROVIDER, "expireTime", answer.text("expireTime"));
  return { accessToken: answer.secret("accessToken"), expiresAt };
}

function scopesOf({ scopes }: GcpOptions): readonly string[] {
  return scopes ?? [CLOUD_PLATFORM];
}
