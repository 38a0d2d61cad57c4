/** `AgentIdentity.attest` against a real server, with evidence fetched from stand-ins that speak as the platforms do. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  AgentIdentity,
  type EvidenceSource,
  fromAwsRole,
  fromAzureIdentity,
  fromAzureMachine,
  fromEc2,
  fromGce,
  fromGithubActions,
  fromKubernetes,
  fromOidc,
  Secret,
} from "trustwarden";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { createOwner, type TestOwner } from "./support/actors.ts";
import { jsonOf, sendAdmin } from "./support/http.ts";
import { createEntry } from "./support/nodes.ts";
import { AUDIENCE, AWS_SECRET, type Platforms, startPlatforms, TENANT } from "./support/platforms.ts";
import { startTestServer, type TestServer } from "./support/server.ts";

const folder = mkdtempSync(join(tmpdir(), "sdk-attestation-"));

let server: TestServer;
let owner: TestOwner;
let authoritiesSha256: string;
let platforms: Platforms;

beforeAll(async () => {
  platforms = await startPlatforms();
  server = await startTestServer({ attestation: platforms.attestation });
  owner = await createOwner(server);
  const discovery = await sendAdmin(server.adminSocket, { target: "/.well-known/trustwarden" });
  authoritiesSha256 = String(jsonOf(discovery).authorities_sha256);
});
afterAll(async () => {
  await server.close();
  server.home.remove();
  await platforms.http.close();
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
  process.env.ACTIONS_ID_TOKEN_REQUEST_URL = `${platforms.http.url}${path}`;
  process.env.ACTIONS_ID_TOKEN_REQUEST_TOKEN = "request-token";
}

function kubernetesToken(): string {
  const tokenFile = join(folder, "token");
  writeFileSync(tokenFile, `${platforms.kubernetesToken()}\n`);
  return tokenFile;
}

const corp = (sub: string) =>
  fromOidc({ provider: "corp", token: async (aud) => platforms.corpToken(aud, sub) });

function awsRole(): EvidenceSource {
  const secrets = {
    secretAccessKey: new Secret(AWS_SECRET),
    sessionToken: new Secret("FwoGZXIvYXdzEXAMPLE=="),
  };
  const credentials = async () => ({ accessKeyId: "ASIAEXAMPLEEXAMPLE00", ...secrets });
  return fromAwsRole({ region: "eu-central-1", host: new URL(platforms.http.url).host, credentials });
}

describe("AgentIdentity.attest", () => {
  const kinds: readonly (readonly [string, readonly string[], () => EvidenceSource])[] = [
    ["github", ["github:repository_id:7"], inGithubActions],
    [
      "kubernetes",
      ["k8s:cluster:prod", "k8s:ns:pay", "k8s:sa:agent"],
      () => fromKubernetes({ cluster: "prod", tokenFile: kubernetesToken() }),
    ],
    ["oidc", ["oidc:corp:sub:alice"], () => corp("alice")],
    ["gce", ["gcp:project_number:7"], () => fromGce({ metadataUrl: platforms.http.url })],
    ["ec2", ["aws:account:123456789012"], () => fromEc2({ metadataUrl: platforms.http.url })],
    [
      "azure-identity",
      [`azure:tenant_id:${TENANT}`],
      () => fromAzureIdentity({ resource: "api://trustwarden", metadataUrl: platforms.http.url }),
    ],
    ["aws-role", ["aws:role:210987654321/agent"], awsRole],
    ["azure-machine", ["azure:vm_id:vm-1"], () => fromAzureMachine({ metadataUrl: platforms.http.url })],
  ];

  it.each(kinds)(
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
