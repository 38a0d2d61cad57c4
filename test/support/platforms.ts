/**
 * Platforms that say what runs on them: one address that answers as each of them documents it, and refuses anything but the
 * documented request. As a program, for the tests of other SDKs:
 *
 *   node test/support/platforms.ts
 *
 * It says in one line of JSON where it is and what a server's `attestation` has to be to believe it.
 */
import { createHash, createHmac } from "node:crypto";
import type { IncomingMessage } from "node:http";
import {
  awsDocument,
  certificates,
  configureAws,
  pkcs7Evidence,
} from "../../attacks/support/aws-documents.ts";
import { serve, type TestHttp, TestKey } from "../../server/attest/issuer.test.support.ts";
import { createCertificate, signDocument } from "../../server/attest/signed-documents.test.support.ts";

export const AUDIENCE = "spiffe://acme.test";
export const TENANT = "72f988bf-0000-4000-8000-000000000001";
/** The secret access key that the platform's STS knows. */
export const AWS_SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
const REGION = "eu-central-1";
const SUBSCRIPTION = "5a1c0000-0000-4000-8000-000000000002";
const RESOURCE = `/subscriptions/${SUBSCRIPTION}/resourcegroups/a/providers/Microsoft.Compute/virtualMachines/b`;
const ROLE = {
  Account: "210987654321",
  Arn: "arn:aws:sts::210987654321:assumed-role/agent/session-1",
  UserId: "AROAEXAMPLEEXAMPLE:session-1",
};

/** The platforms, listening. */
export interface Platforms {
  readonly http: TestHttp;
  /** For a server's configuration. */
  readonly attestation: object;
  /** A service account's token in the cluster `prod`. */
  readonly kubernetesToken: () => string;
  /** A token of the issuer `corp`. */
  readonly corpToken: (audience: string, subject: string) => string;
}

/** Starts them, with keys and certificates of their own. */
export async function startPlatforms(): Promise<Platforms> {
  const key = new TestKey("key-1");
  const keys = { inline: [{ ...key.bareJwk, kid: key.kid }] };
  const root = createCertificate({ name: "Root", isCa: true });
  const azure = createCertificate({
    name: "metadata.azure.com",
    san: "DNS:metadata.azure.com",
    issuer: root,
  });
  const token = (claims: object) => key.token({ iat: seconds(), exp: seconds() + 300, ...claims });
  const tokens = {
    kubernetesToken: () => kubernetesToken(token),
    corpToken: (aud: string, sub: string) =>
      token({ iss: "https://corp.test", aud, sub, jti: `${Math.random()}` }),
  };
  const sign = (text: string) => signDocument(text, { signer: azure });
  const http = await serve(async (request, response) => {
    const url = new URL(request.url ?? "", "http://platform.test");
    const body = await answerTo(request, url, { token, sign, ...tokens });
    if (url.pathname.startsWith("/elsewhere")) response.writeHead(302, { location: "/github" }).end("SECRET");
    else response.writeHead(body === undefined ? 403 : 200).end(body ?? "SECRET");
  });
  const { aws } = configureAws().attestation;
  const callerEndpoints = { [REGION]: { url: http.url, allowPrivate: true } };
  return {
    http,
    ...tokens,
    attestation: {
      aws: { ...aws, callerEndpoints },
      github: { keys },
      gcp: { keys },
      k8s: [{ name: "prod", mode: "jwks", issuer: "https://prod.test", keys }],
      oidc: [{ name: "corp", issuer: "https://corp.test", keys }],
      azure: {
        tenants: [{ tenantId: TENANT, audience: "api://trustwarden", keys }],
        document: { roots: [root.pem], subscriptionIds: [SUBSCRIPTION] },
      },
    },
  };
}

const seconds = () => Math.floor(Date.now() / 1000);
const stamp = (at: number) =>
  new Date(at * 1000).toISOString().replace(/^20(\d\d)-(\d\d)-(\d\d)T(.{8}).*$/, "$2/$3/$1 $4 -0000");

type MakeToken = (claims: object) => string;

/** What answers are made with. */
interface Makers extends Pick<Platforms, "kubernetesToken" | "corpToken"> {
  readonly token: MakeToken;
  readonly sign: (text: string) => string;
}

function kubernetesToken(token: MakeToken): string {
  const serviceaccount = { name: "agent", uid: "1" };
  const claims = { iss: "https://prod.test", aud: [AUDIENCE], sub: "system:serviceaccount:pay:agent" };
  return token({ ...claims, "kubernetes.io": { namespace: "pay", serviceaccount } });
}

function githubToken(token: MakeToken, aud: string): string {
  const ids = { repository_id: "7", repository_owner_id: "8", run_id: "9", actor_id: "10" };
  const job = { repository: "acme/agents", ref: "refs/heads/main", event_name: "push" };
  return token({ iss: "https://token.actions.githubusercontent.com", aud, ...ids, ...job });
}

function gceToken(token: MakeToken, aud: string): string {
  const ids = { project_id: "p", project_number: 7, zone: "z", instance_id: "8", instance_name: "n" };
  return token({ iss: "https://accounts.google.com", aud, sub: "9", google: { compute_engine: ids } });
}

function ec2Document(): string {
  const signed = { signer: certificates().genuine, isStreamed: true, hasSigner: false };
  return pkcs7Evidence(signed, awsDocument()).pkcs7.replaceAll(/(.{64})/g, "$1\n");
}

function azureToken(token: MakeToken, aud: string): string {
  const identity = { tid: TENANT, oid: "o", sub: "o", xms_mirid: RESOURCE };
  return JSON.stringify({
    access_token: token({ iss: `https://sts.windows.net/${TENANT}/`, aud, ...identity }),
  });
}

function azureDocument(sign: Makers["sign"], nonce: string): string {
  const timeStamp = { createdOn: stamp(seconds()), expiresOn: stamp(seconds() + 600) };
  const text = JSON.stringify({ nonce, subscriptionId: SUBSCRIPTION, vmId: "vm-1", timeStamp });
  return JSON.stringify({ encoding: "pkcs7", signature: sign(text) });
}

/** Undefined for what the platform would refuse. */
async function answerTo(request: IncomingMessage, url: URL, make: Makers): Promise<string | undefined> {
  const { headers } = request;
  const query = (name: string) => url.searchParams.get(name) ?? "";
  switch (`${request.method} ${url.pathname}`) {
    case "GET /github":
      if (headers.authorization !== "Bearer request-token" || query("api") !== "1") return undefined;
      return JSON.stringify({ value: githubToken(make.token, query("audience")) });
    case "GET /computeMetadata/v1/instance/service-accounts/default/identity":
      if (headers["metadata-flavor"] !== "Google" || query("format") !== "full") return undefined;
      return gceToken(make.token, query("audience"));
    case "PUT /latest/api/token":
      return headers["x-aws-ec2-metadata-token-ttl-seconds"] === "60" ? "session" : undefined;
    case "GET /latest/dynamic/instance-identity/rsa2048":
      return headers["x-aws-ec2-metadata-token"] === "session" ? ec2Document() : undefined;
    case "GET /metadata/identity/oauth2/token":
      return headers.metadata === "true" ? azureToken(make.token, query("resource")) : undefined;
    case "GET /metadata/attested/document":
      return headers.metadata === "true" ? azureDocument(make.sign, query("nonce")) : undefined;
    case "GET /kubernetes":
      return make.kubernetesToken();
    case "GET /corp":
      return make.corpToken(query("audience"), query("sub"));
    case "POST /":
      return callerOf(request);
    default:
      return undefined;
  }
}

/** AWS's answer to `GetCallerIdentity`: the signature is computed over what really arrived. */
async function callerOf(request: IncomingMessage): Promise<string | undefined> {
  let body = "";
  for await (const chunk of request) body += String(chunk);
  const form = /Credential=[^/]+\/([^,]+), SignedHeaders=([^,]+), Signature=(\w+)$/;
  const [, scope = "", signed = "", shown] = form.exec(request.headers.authorization ?? "") ?? [];
  const lines = signed.split(";").map((name) => `${name}:${String(request.headers[name])}\n`);
  const canonical = [request.method, request.url, "", lines.join(""), signed, hex(body)].join("\n");
  const key = scope
    .split("/")
    .reduce<string | Buffer>((before, part) => hmac(before, part), `AWS4${AWS_SECRET}`);
  const text = ["AWS4-HMAC-SHA256", String(request.headers["x-amz-date"]), scope, hex(canonical)].join("\n");
  if (hmac(key, text).toString("hex") !== shown) return undefined;
  return JSON.stringify({ GetCallerIdentityResponse: { GetCallerIdentityResult: ROLE } });
}

function hmac(key: string | Buffer, text: string): Buffer {
  return createHmac("sha256", key).update(text).digest();
}

function hex(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}

if (import.meta.main) {
  const { http, attestation } = await startPlatforms();
  process.stdout.write(`${JSON.stringify({ ready: true, url: http.url, attestation })}\n`);
  process.once("SIGTERM", () => process.exit(0));
}
