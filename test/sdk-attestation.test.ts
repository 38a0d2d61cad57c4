/** `AgentIdentity.attest` against a real server, with evidence fetched from stand-ins that speak as the platforms do. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  AgentIdentity,
  type EvidenceSource,
  fromAzureIdentity,
  fromAzureMachine,
  fromEc2,
  fromGce,
  fromGithubActions,
  fromKubernetes,
  fromOidc,
} from "trustwarden";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { awsDocument, certificates, configureAws, pkcs7Evidence } from "../attacks/support/aws-documents.ts";
import { serve, type TestHttp, TestKey } from "../server/attest/issuer.test.support.ts";
import { createCertificate, signDocument } from "../server/attest/signed-documents.test.support.ts";
import { createOwner, type TestOwner } from "./support/actors.ts";
import { jsonOf, sendAdmin } from "./support/http.ts";
import { createEntry } from "./support/nodes.ts";
import { startTestServer, type TestServer } from "./support/server.ts";

const AUDIENCE = "spiffe://acme.test";
const TENANT = "72f988bf-0000-4000-8000-000000000001";
const SUBSCRIPTION = "5a1c0000-0000-4000-8000-000000000002";
const RESOURCE = `/subscriptions/${SUBSCRIPTION}/resourcegroups/a/providers/Microsoft.Compute/virtualMachines/b`;
const folder = mkdtempSync(join(tmpdir(), "sdk-attestation-"));
const key = new TestKey("key-1");
const keys = { inline: [{ ...key.bareJwk, kid: key.kid }] };
const root = createCertificate({ name: "Root", isCa: true });
const azure = createCertificate({ name: "metadata.azure.com", san: "DNS:metadata.azure.com", issuer: root });

let server: TestServer;
let owner: TestOwner;
let authoritiesSha256: string;
let platform: TestHttp;

const seconds = () => Math.floor(Date.now() / 1000);
const token = (claims: object) => key.token({ iat: seconds(), exp: seconds() + 300, ...claims });
const stamp = (at: number) =>
  new Date(at * 1000).toISOString().replace(/^20(\d\d)-(\d\d)-(\d\d)T(.{8}).*$/, "$2/$3/$1 $4 -0000");

function githubToken(aud: string): string {
  const ids = { repository_id: "7", repository_owner_id: "8", run_id: "9", actor_id: "10" };
  const job = { repository: "acme/agents", ref: "refs/heads/main", event_name: "push" };
  return token({ iss: "https://token.actions.githubusercontent.com", aud, ...ids, ...job });
}

function azureDocument(nonce: string): string {
  const timeStamp = { createdOn: stamp(seconds()), expiresOn: stamp(seconds() + 600) };
  const text = JSON.stringify({ nonce, subscriptionId: SUBSCRIPTION, vmId: "vm-1", timeStamp });
  return signDocument(text, { signer: azure });
}

/** Each platform's service on one address, by path; anything but the documented request is refused. */
function answerTo(method: string, url: URL, headers: Readonly<Record<string, unknown>>): string | undefined {
  const query = (name: string) => url.searchParams.get(name) ?? "";
  switch (`${method} ${url.pathname}`) {
    case "GET /github":
      if (headers.authorization !== "Bearer request-token" || query("api") !== "1") return undefined;
      return JSON.stringify({ value: githubToken(query("audience")) });
    case "GET /computeMetadata/v1/instance/service-accounts/default/identity": {
      if (headers["metadata-flavor"] !== "Google" || query("format") !== "full") return undefined;
      const compute_engine = {
        project_id: "p",
        project_number: 7,
        zone: "z",
        instance_id: "8",
        instance_name: "n",
      };
      return token({
        iss: "https://accounts.google.com",
        aud: query("audience"),
        sub: "9",
        google: { compute_engine },
      });
    }
    case "PUT /latest/api/token":
      return headers["x-aws-ec2-metadata-token-ttl-seconds"] === "60" ? "session" : undefined;
    case "GET /latest/dynamic/instance-identity/rsa2048": {
      if (headers["x-aws-ec2-metadata-token"] !== "session") return undefined;
      const signed = { signer: certificates().genuine, isStreamed: true, hasSigner: false };
      return pkcs7Evidence(signed, awsDocument()).pkcs7.replaceAll(/(.{64})/g, "$1\n");
    }
    case "GET /metadata/identity/oauth2/token": {
      if (headers.metadata !== "true") return undefined;
      const identity = { tid: TENANT, oid: "o", sub: "o", xms_mirid: RESOURCE };
      const iss = `https://sts.windows.net/${TENANT}/`;
      return JSON.stringify({ access_token: token({ iss, aud: query("resource"), ...identity }) });
    }
    case "GET /metadata/attested/document":
      if (headers.metadata !== "true") return undefined;
      return JSON.stringify({ encoding: "pkcs7", signature: azureDocument(query("nonce")) });
    default:
      return undefined;
  }
}

beforeAll(async () => {
  platform = await serve((request, response) => {
    const url = new URL(request.url ?? "", "http://platform.test");
    const body = answerTo(request.method ?? "", url, request.headers);
    if (url.pathname.startsWith("/elsewhere")) response.writeHead(302, { location: "/github" }).end("SECRET");
    else response.writeHead(body === undefined ? 403 : 200).end(body ?? "SECRET");
  });
  server = await startTestServer({
    attestation: {
      ...configureAws().attestation,
      github: { keys },
      gcp: { keys },
      k8s: [{ name: "prod", mode: "jwks", issuer: "https://prod.test", keys }],
      oidc: [{ name: "corp", issuer: "https://corp.test", keys }],
      azure: {
        tenants: [{ tenantId: TENANT, audience: "api://trustwarden", keys }],
        document: { roots: [root.pem], subscriptionIds: [SUBSCRIPTION] },
      },
    },
  });
  owner = await createOwner(server);
  const discovery = await sendAdmin(server.adminSocket, { target: "/.well-known/trustwarden" });
  authoritiesSha256 = String(jsonOf(discovery).authorities_sha256);
});
afterAll(async () => {
  await server.close();
  server.home.remove();
  await platform.close();
  rmSync(folder, { recursive: true });
});
afterEach(() => {
  delete process.env.ACTIONS_ID_TOKEN_REQUEST_URL;
  delete process.env.ACTIONS_ID_TOKEN_REQUEST_TOKEN;
});

const attest = (evidence: EvidenceSource, name?: string) =>
  AgentIdentity.attest({
    server: server.url,
    authoritiesSha256,
    evidence,
    ...(name === undefined ? {} : { name }),
  });

function inGithubActions(): EvidenceSource {
  setGithubRequest("/github?api=1");
  return fromGithubActions();
}

function setGithubRequest(path: string): void {
  process.env.ACTIONS_ID_TOKEN_REQUEST_URL = `${platform.url}${path}`;
  process.env.ACTIONS_ID_TOKEN_REQUEST_TOKEN = "request-token";
}

function kubernetesToken(): string {
  const tokenFile = join(folder, "token");
  const serviceaccount = { name: "agent", uid: "1" };
  const claims = { iss: "https://prod.test", aud: [AUDIENCE], sub: "system:serviceaccount:pay:agent" };
  writeFileSync(
    tokenFile,
    `${token({ ...claims, "kubernetes.io": { namespace: "pay", serviceaccount } })}\n`,
  );
  return tokenFile;
}

const corp = (sub: string) =>
  fromOidc({
    provider: "corp",
    token: async (aud) => token({ iss: "https://corp.test", aud, sub, jti: `${Math.random()}` }),
  });

describe("AgentIdentity.attest", () => {
  const platforms: readonly (readonly [string, readonly string[], () => EvidenceSource])[] = [
    ["github", ["github:repository_id:7"], inGithubActions],
    [
      "kubernetes",
      ["k8s:cluster:prod", "k8s:ns:pay", "k8s:sa:agent"],
      () => fromKubernetes({ cluster: "prod", tokenFile: kubernetesToken() }),
    ],
    ["oidc", ["oidc:corp:sub:alice"], () => corp("alice")],
    ["gce", ["gcp:project_number:7"], () => fromGce({ metadataUrl: platform.url })],
    ["ec2", ["aws:account:123456789012"], () => fromEc2({ metadataUrl: platform.url })],
    [
      "azure-identity",
      [`azure:tenant_id:${TENANT}`],
      () => fromAzureIdentity({ resource: "api://trustwarden", metadataUrl: platform.url }),
    ],
    ["azure-machine", ["azure:vm_id:vm-1"], () => fromAzureMachine({ metadataUrl: platform.url })],
  ];

  it.each(platforms)(
    "makes an agent of a process by its platform's evidence: %s",
    async (name, selectors, source) => {
      await createEntry(server, owner, { name, selectors });
      const agent = await attest(source(), name);
      try {
        expect(agent.id).toMatch(new RegExp(`^spiffe://acme\\.test/team/web/${name}/inst-`));
        expect(agent.scope).toEqual(["fetch:web", "read:transactions"]);
        // It is an identity like any other: it renews, has children and acts.
        await agent.renew();
        const child = await agent.spawn({ name: `${name}-child`, scope: ["read:transactions"] });
        expect(child.chain).toEqual([...agent.chain, child.agentId]);
        await expect(agent.act("read:transactions", "db://x", null, async () => "done")).resolves.toBe(
          "done",
        );
        await child.close();
      } finally {
        await agent.close();
      }
    },
  );

  it("is refused where no entry matches, and where the entry makes another agent than was asked for", async () => {
    await expect(attest(corp("nobody"))).rejects.toMatchObject({ code: "entry_not_matched" });
    await createEntry(server, owner, { name: "bob", selectors: ["oidc:corp:sub:bob"] });
    await expect(attest(corp("bob"), "alice")).rejects.toMatchObject({ code: "server_untrusted" });
    await expect(attest(fromOidc({ provider: "corp", token: async () => "a.b.c" }))).rejects.toMatchObject({
      code: "principal_refused",
    });
  });

  it("asks for no evidence before the server has proven itself", async () => {
    let asked = 0;
    const evidence: EvidenceSource = async () => {
      asked += 1;
      return { type: "gcp", token: "a.b.c" };
    };
    const options = { server: server.url, authoritiesSha256: "A".repeat(43), evidence };
    await expect(AgentIdentity.attest(options)).rejects.toMatchObject({ code: "server_untrusted" });
    expect(asked).toBe(0);
  });
});

describe("a platform without evidence", () => {
  const unavailable = expect.objectContaining({ code: "evidence_unavailable" });
  const exchange = { nonce: "n", audience: AUDIENCE };

  it("is a clear error, without what the platform answered", async () => {
    await expect(fromGithubActions()(exchange)).rejects.toEqual(unavailable);
    setGithubRequest("/github?api=2");
    await expect(fromGithubActions()(exchange)).rejects.toEqual(unavailable);
    setGithubRequest("/elsewhere");
    const error: unknown = await fromGithubActions()(exchange).catch((caught: unknown) => caught);
    expect(error).toEqual(unavailable);
    expect(JSON.stringify(error)).not.toContain("SECRET");
    const missing = fromKubernetes({ cluster: "prod", tokenFile: join(folder, "missing") });
    await expect(missing(exchange)).rejects.toEqual(unavailable);
    await expect(fromGce({ metadataUrl: "http://127.0.0.1:1" })(exchange)).rejects.toEqual(unavailable);
  });
});
