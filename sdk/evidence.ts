/**
 * Gets evidence from the platform that runs this process, made for one exchange with one server.
 *
 * Metadata services are asked on their fixed link-local address, without redirects; what they answer is a secret until
 * it is used, and never appears in an error. `docs/guides/attestation.md` says what each kind proves.
 */
import { readFile } from "node:fs/promises";
import { request as askHttp, Agent as HttpAgent, type IncomingMessage } from "node:http";
import { request as askHttps, Agent as HttpsAgent } from "node:https";
import { formatAzureNonce } from "@trustwarden/core/agentid/attestation-nonce.ts";
import { parseUtf8 } from "@trustwarden/core/bytes.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { parseJsonObject } from "@trustwarden/core/json.ts";
import type { EvidenceSource } from "./attest.ts";
import { githubTokenRequestFromEnvironment } from "./environment.ts";

const METADATA_URL = "http://169.254.169.254";
const TIMEOUT_MS = 5000;
const MAX_BYTES = 65_536;
/** Lifetime of the session with EC2's metadata service. */
const EC2_SESSION_SECONDS = 60;

/** Where a metadata service listens, for tests; its one address unless given. */
interface MetadataOptions {
  readonly metadataUrl?: string;
}

/** A job of GitHub Actions with `permissions: id-token: write`. */
export function fromGithubActions(): EvidenceSource {
  return async ({ audience }) => {
    const request = githubTokenRequestFromEnvironment();
    if (request === undefined) throw unavailable("not a job that may have an OIDC token");
    const url = new URL(request.url);
    url.searchParams.set("audience", audience);
    const answer = await ask(url, { headers: { authorization: `Bearer ${request.token}` } });
    return { type: "github", token: memberOf(answer, "value") };
  };
}

/** A pod with a projected service-account token for our audience. @param options.cluster - as the server calls it. */
export function fromKubernetes(options: {
  readonly cluster: string;
  readonly tokenFile: string;
}): EvidenceSource {
  return async () => {
    try {
      const token = (await readFile(options.tokenFile, "utf8")).trim();
      return { type: "k8s", cluster: options.cluster, token };
    } catch (cause) {
      throw unavailable("the token cannot be read", cause);
    }
  };
}

/** A token that the caller gets itself, for an issuer as the server calls it. */
export function fromOidc(options: {
  readonly provider: string;
  readonly token: (audience: string) => Promise<string>;
}): EvidenceSource {
  return async ({ audience }) => ({
    type: "oidc",
    provider: options.provider,
    token: await options.token(audience),
  });
}

/** A machine of Compute Engine. */
export function fromGce({ metadataUrl = METADATA_URL }: MetadataOptions = {}): EvidenceSource {
  return async ({ audience }) => {
    const url = new URL("/computeMetadata/v1/instance/service-accounts/default/identity", metadataUrl);
    url.searchParams.set("audience", audience);
    url.searchParams.set("format", "full");
    return { type: "gcp", token: (await ask(url, { headers: { "metadata-flavor": "Google" } })).trim() };
  };
}

/** An instance of EC2. */
export function fromEc2({ metadataUrl = METADATA_URL }: MetadataOptions = {}): EvidenceSource {
  return async () => {
    const session = await ask(new URL("/latest/api/token", metadataUrl), {
      method: "PUT",
      headers: { "x-aws-ec2-metadata-token-ttl-seconds": String(EC2_SESSION_SECONDS) },
    });
    const url = new URL("/latest/dynamic/instance-identity/rsa2048", metadataUrl);
    return { type: "aws_pkcs7", pkcs7: await ask(url, { headers: { "x-aws-ec2-metadata-token": session } }) };
  };
}

/** A managed identity of Azure. @param options.resource - the audience that the server is configured with. */
export function fromAzureIdentity(
  options: { readonly resource: string; readonly clientId?: string } & MetadataOptions,
): EvidenceSource {
  return async () => {
    const url = new URL("/metadata/identity/oauth2/token", options.metadataUrl ?? METADATA_URL);
    url.searchParams.set("api-version", "2018-02-01");
    url.searchParams.set("resource", options.resource);
    if (options.clientId !== undefined) url.searchParams.set("client_id", options.clientId);
    return {
      type: "azure_token",
      token: memberOf(await ask(url, { headers: { metadata: "true" } }), "access_token"),
    };
  };
}

/** A virtual machine of Azure. */
export function fromAzureMachine({ metadataUrl = METADATA_URL }: MetadataOptions = {}): EvidenceSource {
  return async ({ nonce }) => {
    const url = new URL("/metadata/attested/document", metadataUrl);
    url.searchParams.set("api-version", "2020-09-01");
    url.searchParams.set("nonce", formatAzureNonce(nonce));
    return {
      type: "azure_document",
      pkcs7: memberOf(await ask(url, { headers: { metadata: "true" } }), "signature"),
    };
  };
}

/** One question to a platform. */
interface Asked {
  readonly method?: string;
  readonly headers: Readonly<Record<string, string>>;
}

async function ask(url: URL, asked: Asked): Promise<string> {
  const signal = AbortSignal.timeout(TIMEOUT_MS);
  try {
    const response = await open(url, asked, signal);
    if (response.statusCode !== 200) {
      response.destroy();
      throw unavailable(`status ${response.statusCode ?? 0}`);
    }
    return parseUtf8(await readBounded(response));
  } catch (cause) {
    throw cause instanceof TrustWardenError ? cause : unavailable("no answer", cause);
  }
}

/**
 * By an agent of its own: `fetch` and the global agents follow `NODE_USE_ENV_PROXY`, and whoever is the proxy of a
 * plain-text metadata service has the evidence before the server. Redirects are not followed.
 */
function open(url: URL, asked: Asked, signal: AbortSignal): Promise<IncomingMessage> {
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
  const outgoing =
    url.protocol === "https:"
      ? askHttps(url, { ...asked, signal, agent: new HttpsAgent() }, resolve)
      : askHttp(url, { ...asked, signal, agent: new HttpAgent() }, resolve);
  outgoing.on("error", reject);
  outgoing.end();
  return promise;
}

async function readBounded(body: IncomingMessage): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  let length = 0;
  for await (const part of body) {
    length += part.length;
    if (length > MAX_BYTES) throw unavailable("the answer is too large");
    parts.push(part);
  }
  return new Uint8Array(Buffer.concat(parts));
}

function memberOf(text: string, name: string): string {
  const value = parseJsonObject(text)[name];
  if (typeof value !== "string" || value === "") throw unavailable(`no ${name} in the answer`);
  return value;
}

function unavailable(reason: string, cause?: unknown): TrustWardenError {
  return new TrustWardenError(
    "evidence_unavailable",
    { reason },
    cause === undefined ? undefined : { cause },
  );
}
