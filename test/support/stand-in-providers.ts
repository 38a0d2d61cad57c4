/**
 * Stand-ins for clouds and model providers: each verifies the token by the issuer's published discovery document, with
 * `openid-client` and `jose`, and answers in its provider's documented form. They trust one issuer and one subject.
 */
import { readFileSync } from "node:fs";
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer, get } from "node:https";
import type { AddressInfo } from "node:net";
import { createLocalJWKSet, jwtVerify } from "jose";
import { customFetch, discovery } from "openid-client";
import type { WebCertificate } from "./web-certificate.ts";

/** What the providers are configured with. */
export interface ProviderTrust {
  readonly issuer: string;
  readonly subject: string;
}

/** The providers, listening on loopback under a certificate of the web. */
export interface StandInProviders {
  readonly url: string;
  /** Requests so far, `provider ok` or `provider refused`. */
  readonly log: string[];
  /** When set, the next answer as it is. */
  override: { readonly status: number; readonly body: string } | undefined;
  readonly close: () => void;
}

type Params = Readonly<Record<string, string>>;
type Answer = { readonly status: number; readonly body: string };

interface Provider {
  readonly name: string;
  readonly path: RegExp;
  readonly audience: string;
  readonly tokenIn: string;
  /** What else the request has to say. */
  readonly expected: Params;
  readonly accept: () => string;
  readonly refuse: () => Answer;
}

const oauth = (token: string) =>
  JSON.stringify({ access_token: token, token_type: "Bearer", expires_in: 3600 });
const oauthError = (): Answer => ({
  status: 400,
  body: '{"error":"invalid_grant","error_description":"token"}',
});
const inAnHour = () => new Date(Date.now() + 3_600_000).toISOString();

const PROVIDERS: readonly Provider[] = [
  {
    name: "aws",
    path: /^\/$/,
    audience: "sts.amazonaws.com",
    tokenIn: "WebIdentityToken",
    expected: {
      Action: "AssumeRoleWithWebIdentity",
      Version: "2011-06-15",
      RoleArn: "arn:aws:iam::123456789012:role/reporter",
      RoleSessionName: "reporter",
      DurationSeconds: "3600",
    },
    accept: () => `<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
  <AssumeRoleWithWebIdentityResult>
    <Credentials>
      <SessionToken>FwoGZXIvYXdzEXAMPLE//token==</SessionToken>
      <SecretAccessKey>wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY</SecretAccessKey>
      <Expiration>${inAnHour().replace(/\.\d+Z/, "Z")}</Expiration>
      <AccessKeyId>ASIAIOSFODNN7EXAMPLE</AccessKeyId>
    </Credentials>
  </AssumeRoleWithWebIdentityResult>
</AssumeRoleWithWebIdentityResponse>`,
    refuse: () => ({
      status: 400,
      body: "<ErrorResponse><Error><Type>Sender</Type><Code>InvalidIdentityToken</Code></Error></ErrorResponse>",
    }),
  },
  {
    name: "gcp",
    path: /^\/v1\/token$/,
    audience:
      "https://iam.googleapis.com/projects/123456789/locations/global/workloadIdentityPools/agents/providers/acme",
    tokenIn: "subjectToken",
    expected: {
      grantType: "urn:ietf:params:oauth:grant-type:token-exchange",
      audience:
        "//iam.googleapis.com/projects/123456789/locations/global/workloadIdentityPools/agents/providers/acme",
      requestedTokenType: "urn:ietf:params:oauth:token-type:access_token",
      subjectTokenType: "urn:ietf:params:oauth:token-type:jwt",
      scope: "https://www.googleapis.com/auth/cloud-platform",
    },
    accept: () => oauth("ya29.federated"),
    refuse: oauthError,
  },
  {
    name: "azure",
    path: /^\/11111111-2222-3333-4444-555555555555\/oauth2\/v2\.0\/token$/,
    audience: "api://AzureADTokenExchange",
    tokenIn: "client_assertion",
    expected: {
      grant_type: "client_credentials",
      client_assertion_type: "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
      client_id: "66666666-7777-8888-9999-000000000000",
      scope: "https://management.azure.com/.default",
    },
    accept: () => oauth("eyJ.entra.token"),
    refuse: () => ({ status: 401, body: '{"error":"invalid_client","error_codes":[700021]}' }),
  },
  {
    name: "anthropic",
    path: /^\/v1\/oauth\/token$/,
    audience: "https://api.anthropic.com",
    tokenIn: "assertion",
    expected: {
      grant_type: "urn:ietf:params:oauth:grant-type:jwt-bearer",
      federation_rule_id: "fdrl_example",
      organization_id: "00000000-0000-0000-0000-000000000000",
      service_account_id: "svac_example",
    },
    accept: () => oauth("sk-ant-oat01-example"),
    refuse: oauthError,
  },
  {
    name: "openai",
    path: /^\/oauth\/token$/,
    audience: "https://api.openai.com/v1",
    tokenIn: "subject_token",
    expected: {
      grant_type: "urn:ietf:params:oauth:grant-type:token-exchange",
      subject_token_type: "urn:ietf:params:oauth:token-type:jwt",
      identity_provider_id: "idp_example",
      service_account_id: "svcacct_example",
    },
    accept: () => oauth("openai-example"),
    refuse: oauthError,
  },
];

/** @param trust - read at each request, since the subject enrols later. */
export async function startStandInProviders(
  certificate: WebCertificate,
  trust: () => ProviderTrust,
): Promise<StandInProviders> {
  const log: string[] = [];
  const pair = { cert: readFileSync(certificate.certFile), key: readFileSync(certificate.keyFile) };
  const server = createServer(pair, async (request, response) => {
    const { status, body } =
      providers.override ?? (await answer(request, { trust: trust(), ca: certificate.ca, log }));
    providers.override = undefined;
    response.writeHead(status, { "content-type": body.startsWith("<") ? "text/xml" : "application/json" });
    response.end(body);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = Object(server.address()) as AddressInfo; // the one cast: a TCP server's address
  const providers: StandInProviders = {
    url: `https://127.0.0.1:${port}`,
    log,
    override: undefined,
    close: () => {
      server.closeAllConnections();
      server.close();
    },
  };
  return providers;
}

async function answer(
  request: IncomingMessage,
  { trust, ca, log }: { readonly trust: ProviderTrust; readonly ca: string; readonly log: string[] },
): Promise<Answer> {
  const path = String(request.url);
  if (path === "/v1/projects/-/serviceAccounts/reporter@acme.iam.gserviceaccount.com:generateAccessToken") {
    const isFederated = request.headers.authorization === "Bearer ya29.federated";
    log.push(`gcp impersonation ${isFederated ? "ok" : "refused"}`);
    return isFederated
      ? { status: 200, body: JSON.stringify({ accessToken: "ya29.impersonated", expireTime: inAnHour() }) }
      : { status: 403, body: '{"error":{"code":403,"status":"PERMISSION_DENIED"}}' };
  }
  const provider = PROVIDERS.find((one) => one.path.test(path));
  if (provider === undefined || request.method !== "POST") return { status: 404, body: "{}" };
  const params = await paramsOf(request);
  const isAsked = Object.entries(provider.expected).every(([name, value]) => params[name] === value);
  const isProven = isAsked && (await isTrusted(params[provider.tokenIn] ?? "", { provider, trust, ca }));
  log.push(`${provider.name} ${isProven ? "ok" : "refused"}`);
  return isProven ? { status: 200, body: provider.accept() } : provider.refuse();
}

/** Discovery, keys, signature, issuer, audience, subject and times: what a relying party has to check. */
async function isTrusted(
  token: string,
  {
    provider,
    trust,
    ca,
  }: { readonly provider: Provider; readonly trust: ProviderTrust; readonly ca: string },
): Promise<boolean> {
  const read = async (url: string) =>
    new Response(await readText(url, ca), { headers: { "content-type": "application/json" } });
  try {
    const found = await discovery(new URL(trust.issuer), "stand-in", undefined, undefined, {
      [customFetch]: read,
    });
    const { jwks_uri: keys = "", id_token_signing_alg_values_supported: algorithms = [] } =
      found.serverMetadata();
    const keySet = createLocalJWKSet(JSON.parse(await readText(keys, ca)));
    const options = { issuer: trust.issuer, audience: provider.audience, subject: trust.subject, algorithms };
    await jwtVerify(token, keySet, { ...options, requiredClaims: ["exp", "iat", "jti"] });
    return true;
  } catch {
    return false;
  }
}

async function paramsOf(request: IncomingMessage): Promise<Params> {
  const parts: Uint8Array[] = [];
  for await (const part of request) parts.push(part);
  const text = Buffer.concat(parts).toString();
  const isForm = request.headers["content-type"] === "application/x-www-form-urlencoded";
  return isForm ? Object.fromEntries(new URLSearchParams(text)) : JSON.parse(text);
}

function readText(url: string, ca: string): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  get(url, { ca }, (message) => void collect(message).then(resolve, reject)).on("error", reject);
  return promise;
}

async function collect(message: IncomingMessage | ServerResponse["req"]): Promise<string> {
  const parts: Uint8Array[] = [];
  for await (const part of message) parts.push(part);
  return Buffer.concat(parts).toString();
}
