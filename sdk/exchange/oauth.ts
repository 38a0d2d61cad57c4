/**
 * Providers whose answer is a plain OAuth 2.0 token response (RFC 6749 §5.1): Microsoft Entra, Anthropic, OpenAI. They
 * differ in where the token goes and in what has to stand beside it.
 *
 * @see RFC 7523 §2; RFC 8693 §2; the providers' pages on workload identity federation
 */
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { JsonObject } from "@trustwarden/core/json.ts";
import { createProviderCredentials, type ExchangeOptions, type ProviderCredentials } from "./exchange.ts";
import { askProvider, ProviderAnswer, type ProviderCall, type ProviderPlace } from "./provider-answer.ts";
import type { Secret } from "./secret.ts";

const UUID = /^[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$/;
/** Ids such as `fdrl_…` and `svac_…`; their providers promise no more than that they are words. */
const WORD = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$/;

/** A bearer token of a provider. */
export interface AccessToken {
  readonly accessToken: Secret;
  /** Unix seconds. */
  readonly expiresAt: number;
}

export interface AzureOptions extends ExchangeOptions, ProviderPlace {
  /** Directory (tenant) id. */
  readonly tenantId: string;
  /** Application (client) id of the app registration, or of the user-assigned managed identity. */
  readonly clientId: string;
  /** Such as `https://management.azure.com/.default`. */
  readonly scope: string;
}

export interface AnthropicOptions extends ExchangeOptions, ProviderPlace {
  /** `fdrl_…` */
  readonly federationRuleId: string;
  readonly organizationId: string;
  /** `svac_…` */
  readonly serviceAccountId: string;
  /** `wrkspc_…` or `default`; required when the rule is enabled for several workspaces. */
  readonly workspaceId?: string;
  /** What the federation rule expects as `aud`. */
  readonly audience?: string;
}

export interface OpenAiOptions extends ExchangeOptions, ProviderPlace {
  readonly identityProviderId: string;
  readonly serviceAccountId: string;
  /** What the identity provider's configuration expects as `aud`. */
  readonly audience?: string;
}

/**
 * Microsoft Entra: the token as the client assertion of a federated identity credential. Entra's documentation names
 * RS256 alone as supported, and our JWT-SVIDs are signed with ES256: try it with your tenant before you rely on it.
 *
 * @throws TrustWardenError `config_invalid`.
 */
export function azureCredentials(options: AzureOptions): ProviderCredentials<AccessToken> {
  const { tenantId, clientId, scope } = options;
  requireIds({ tenantId, clientId }, UUID);
  const exchange = (token: string, now: number) =>
    askForToken(
      {
        provider: "azure",
        origin: "https://login.microsoftonline.com",
        place: options,
        target: `/${tenantId}/oauth2/v2.0/token`,
        body: {
          form: {
            client_id: clientId,
            scope,
            grant_type: "client_credentials",
            client_assertion_type: "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            client_assertion: token,
          },
        },
      },
      now,
    );
  return createProviderCredentials(options, { audience: "api://AzureADTokenExchange", exchange });
}

/** Anthropic: the jwt-bearer grant against a federation rule. @throws TrustWardenError `config_invalid`. */
export function anthropicCredentials(options: AnthropicOptions): ProviderCredentials<AccessToken> {
  const { federationRuleId, organizationId, serviceAccountId, workspaceId } = options;
  requireIds({ organizationId }, UUID);
  requireIds({ federationRuleId, serviceAccountId, workspaceId: workspaceId ?? "default" }, WORD);
  const body = {
    grant_type: "urn:ietf:params:oauth:grant-type:jwt-bearer",
    federation_rule_id: federationRuleId,
    organization_id: organizationId,
    service_account_id: serviceAccountId,
    ...(workspaceId && { workspace_id: workspaceId }),
  };
  const { audience = "https://api.anthropic.com" } = options;
  const call = { provider: "anthropic", origin: "https://api.anthropic.com", target: "/v1/oauth/token" };
  const exchange = (token: string, now: number) =>
    askForToken({ ...call, place: options, body: { json: { ...body, assertion: token } } }, now);
  return createProviderCredentials(options, { audience, exchange });
}

/** OpenAI: token exchange against a workload identity provider. @throws TrustWardenError `config_invalid`. */
export function openAiCredentials(options: OpenAiOptions): ProviderCredentials<AccessToken> {
  const { identityProviderId, serviceAccountId, audience = "https://api.openai.com/v1" } = options;
  requireIds({ identityProviderId, serviceAccountId }, WORD);
  const body: JsonObject = {
    grant_type: "urn:ietf:params:oauth:grant-type:token-exchange",
    subject_token_type: "urn:ietf:params:oauth:token-type:jwt",
    identity_provider_id: identityProviderId,
    service_account_id: serviceAccountId,
  };
  const call = { provider: "openai", origin: "https://auth.openai.com", target: "/oauth/token" };
  const exchange = (token: string, now: number) =>
    askForToken({ ...call, place: options, body: { json: { ...body, subject_token: token } } }, now);
  return createProviderCredentials(options, { audience, exchange });
}

async function askForToken(call: ProviderCall, now: number): Promise<AccessToken> {
  const answer = new ProviderAnswer(call.provider, await askProvider(call));
  answer.requireBearer();
  return { accessToken: answer.secret("access_token"), expiresAt: answer.expiresAt("expires_in", now) };
}

function requireIds(ids: Readonly<Record<string, string>>, form: RegExp): void {
  for (const [setting, id] of Object.entries(ids)) {
    if (!form.test(id)) throw new TrustWardenError("config_invalid", { setting });
  }
}
