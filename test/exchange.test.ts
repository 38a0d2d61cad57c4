/**
 * Workload identity federation out: an agent's JWT-SVID for credentials of providers that verify it by our discovery
 * document; and the guide, whose programs run here.
 */
import { fork } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { inspect } from "node:util";
import { formatTicketValue } from "@trustwarden/core/agentid/enrolment-value.ts";
import { discovery } from "@trustwarden/core/api/ledger.ts";
import { loadConfig } from "@trustwarden/server/config.ts";
import {
  AgentIdentity,
  anthropicCredentials,
  awsCredentials,
  azureCredentials,
  gcpCredentials,
  openAiCredentials,
  Secret,
  systemRuntime,
} from "trustwarden";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createOwner, ticketOf } from "./support/actors.ts";
import { expectCode, expectRejection } from "./support/expect-code.ts";
import { freePort } from "./support/free-port.ts";
import { jsonOf, send } from "./support/http.ts";
import { startTestServer, type TestServer } from "./support/server.ts";
import { type StandInProviders, startStandInProviders } from "./support/stand-in-providers.ts";
import { createWebCertificate } from "./support/web-certificate.ts";

const ROOT = join(import.meta.dirname, "..");
const GUIDE = readFileSync(join(ROOT, "docs/guides/workload-identity-federation.md"), "utf8");
const certificate = createWebCertificate();
const { ca } = certificate;
let server: TestServer;
let agent: AgentIdentity;
let providers: StandInProviders;
let issuer: string;
let subject: string;
let ticketFor: (name: string) => string;

beforeAll(async () => {
  const port = await freePort();
  issuer = `https://localhost:${port}`;
  const web = { port, certFile: certificate.certFile, keyFile: certificate.keyFile };
  server = await startTestServer({ jwtIssuer: issuer, federation: { web } });
  const owner = await createOwner(server);
  const { authorities_sha256: authoritiesSha256 } = discovery.parse(
    jsonOf(await send(server.url, { target: "/.well-known/trustwarden" })),
  );
  ticketFor = (name) =>
    formatTicketValue({ authoritiesSha256, server: server.url, ticket: ticketOf(owner, { name }) });
  agent = await AgentIdentity.create({ name: "first", ticket: ticketFor("first") });
  subject = agent.id;
  providers = await startStandInProviders(certificate, () => ({ issuer, subject }));
});
afterAll(async () => {
  providers?.close();
  await agent?.close();
  await server?.close();
  server?.home.remove();
  certificate.remove();
});

const place = () => ({ agent, endpoint: providers.url, ca });
const gcp = { projectNumber: "123456789", pool: "agents", poolProvider: "acme" };
const aws = {
  roleArn: "arn:aws:iam::123456789012:role/reporter",
  region: "eu-central-1",
  sessionName: "reporter",
};
const openAi = { identityProviderId: "idp_example", serviceAccountId: "svcacct_example" };

describe("the discovery document", () => {
  it("is at the issuer, on the web and to anybody, and says what is true of our tokens", async () => {
    const answer = await send(String(server.webUrl), { target: "/.well-known/openid-configuration" });
    expect(jsonOf(answer)).toMatchObject({
      issuer,
      jwks_uri: `${issuer}/v1/jwks`,
      id_token_signing_alg_values_supported: ["ES256"],
    });
    const keys = JSON.parse((await send(String(server.webUrl), { target: "/v1/jwks" })).text).keys;
    expect(keys[0].use).toBe(undefined);
    const [, payload = ""] = (await agent.jwt("https://api.test")).split(".");
    const claims = JSON.parse(Buffer.from(payload, "base64url").toString());
    expect(claims).toMatchObject({ iss: issuer, sub: agent.id, aud: "https://api.test" });
  });
});

describe("the exchange with a provider", () => {
  it("gives credentials of AWS, Google Cloud, Microsoft Entra, Anthropic and OpenAI", async () => {
    const credentials = await awsCredentials({ ...place(), ...aws }).get();
    expect(credentials.accessKeyId).toBe("ASIAIOSFODNN7EXAMPLE");
    expect(credentials.secretAccessKey.reveal()).toBe("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY");
    const google = await gcpCredentials({ ...place(), ...gcp }).get();
    expect(google.accessToken.reveal()).toBe("ya29.federated");
    const entra = await azureCredentials({
      ...place(),
      tenantId: "11111111-2222-3333-4444-555555555555",
      clientId: "66666666-7777-8888-9999-000000000000",
      scope: "https://management.azure.com/.default",
    }).get();
    expect(entra.accessToken.reveal()).toBe("eyJ.entra.token");
    const claude = await anthropicCredentials({
      ...place(),
      federationRuleId: "fdrl_example",
      organizationId: "00000000-0000-0000-0000-000000000000",
      serviceAccountId: "svac_example",
    }).get();
    expect(claude.accessToken.reveal()).toBe("sk-ant-oat01-example");
    const model = await openAiCredentials({ ...place(), ...openAi }).get();
    expect(model.accessToken.reveal()).toBe("openai-example");
    expect(providers.log.splice(0)).toEqual(["aws ok", "gcp ok", "azure ok", "anthropic ok", "openai ok"]);
    for (const { expiresAt } of [credentials, google, entra, claude, model]) {
      expect(expiresAt).toBeGreaterThan(Date.now() / 1000 + 3000);
    }
  });

  it("impersonates a service account of Google's with the federated token", async () => {
    const serviceAccount = "reporter@acme.iam.gserviceaccount.com";
    const options = { ...place(), ...gcp, serviceAccount, credentialsEndpoint: providers.url };
    const { accessToken } = await gcpCredentials(options).get();
    expect(accessToken.reveal()).toBe("ya29.impersonated");
    expect(providers.log.splice(0)).toEqual(["gcp ok", "gcp impersonation ok"]);
  });

  it("happens once however many wait, and again shortly before the end or when it was forgotten", async () => {
    let nowMs = Date.now();
    const runtime = { ...systemRuntime, nowMs: () => nowMs };
    const credentials = openAiCredentials({ ...place(), ...openAi, runtime });
    await Promise.all([credentials.get(), credentials.get(), credentials.get()]);
    nowMs += 3539 * 1000;
    await credentials.get();
    expect(providers.log.splice(0)).toEqual(["openai ok"]);
    nowMs += 1000;
    await credentials.get();
    credentials.forget();
    await credentials.get();
    expect(providers.log.splice(0)).toEqual(["openai ok", "openai ok"]);
  });

  it("is refused for another audience or subject, by the provider's own word, and tried again afterwards", async () => {
    const audience = "https://elsewhere.test";
    const refused = openAiCredentials({ ...place(), ...openAi, audience });
    await expectRejection(refused.get(), "exchange_refused");
    await expectRejection(awsCredentials({ ...place(), ...aws, audience }).get(), "exchange_refused");
    const known = subject;
    subject = `${known}0`;
    const credentials = awsCredentials({ ...place(), ...aws });
    const details = await credentials.get().catch((error: unknown) => Object(error).details);
    expect(details).toMatchObject({ provider: "aws", status: 400, provider_code: "InvalidIdentityToken" });
    subject = known;
    expect((await credentials.get()).accessKeyId).toBe("ASIAIOSFODNN7EXAMPLE");
    providers.log.splice(0);
  });

  it.each([
    [{ status: 200, body: "" }, "exchange_malformed"],
    [{ status: 200, body: "[]" }, "exchange_malformed"],
    [{ status: 200, body: '{"token_type":"Bearer","expires_in":3600}' }, "exchange_malformed"],
    [
      { status: 200, body: '{"access_token":"x","token_type":"mac","expires_in":3600}' },
      "exchange_malformed",
    ],
    [
      { status: 200, body: '{"access_token":"x\\r\\ny","token_type":"Bearer","expires_in":3600}' },
      "exchange_malformed",
    ],
    [
      { status: 200, body: '{"access_token":"x","token_type":"Bearer","expires_in":"1h"}' },
      "exchange_malformed",
    ],
    [
      { status: 200, body: '{"access_token":"x","token_type":"Bearer","expires_in":1e12}' },
      "exchange_malformed",
    ],
    [{ status: 302, body: "" }, "exchange_refused"],
    [{ status: 500, body: "<html>secret</html>" }, "exchange_refused"],
    [{ status: 400, body: '{"error":"a sentence with secrets"}' }, "exchange_refused"],
    [{ status: 200, body: "x".repeat(65_537) }, "exchange_unreachable"],
  ] as const)("takes nothing from an answer that is not as documented: %o", async (override, code) => {
    providers.override = override;
    await expectRejection(openAiCredentials({ ...place(), ...openAi }).get(), code);
  });

  it("does not read an AWS answer with an element twice, or none", async () => {
    for (const body of ["<a/>", "<AccessKeyId>A</AccessKeyId><AccessKeyId>B</AccessKeyId>"]) {
      providers.override = { status: 200, body };
      await expectRejection(awsCredentials({ ...place(), ...aws }).get(), "exchange_malformed");
    }
  });

  it("reaches nobody whom the web's authorities do not vouch for", async () => {
    const { endpoint } = place();
    await expectRejection(openAiCredentials({ agent, endpoint, ...openAi }).get(), "exchange_unreachable");
  });

  it("refuses ids that could lead a request elsewhere", () => {
    expectCode(() => awsCredentials({ ...place(), ...aws, region: "eu.evil.test/x" }), "config_invalid");
    expectCode(() => awsCredentials({ ...place(), ...aws, durationSeconds: 899 }), "config_invalid");
    expectCode(() => gcpCredentials({ ...place(), ...gcp, pool: "a/b" }), "config_invalid");
    expectCode(() => openAiCredentials({ ...place(), ...openAi, identityProviderId: "" }), "config_invalid");
    const ids = { tenantId: "common/..", clientId: "x", scope: "" };
    expectCode(() => azureCredentials({ ...place(), ...ids }), "config_invalid");
  });

  it.each(["", "no certificate"])("takes %j for no authorities, and not for the web's", (none) => {
    expectCode(() => openAiCredentials({ ...place(), ...openAi, ca: none }), "config_invalid");
  });

  it("shows no secret to a log, a serialiser or an inspector", async () => {
    const credentials = await awsCredentials({ ...place(), ...aws }).get();
    const shown = [inspect(credentials, { depth: 9, showHidden: true }), JSON.stringify(credentials)].join();
    expect(shown).not.toMatch(/wJalr|FwoGZX/);
    expect(String(new Secret("wJalr"))).toBe("Secret(hidden)");
  });
});

describe("the guide to workload identity federation", () => {
  const blocks = [...GUIDE.matchAll(/^```(\w+)\n([\s\S]*?)^```$/gm)].map(([, language = "", text = ""]) => ({
    language,
    text,
  }));
  const programs = mkdtempSync(join(mkdirp(join(ROOT, ".cache")), "guide-"));
  afterAll(() => rmSync(programs, { recursive: true, force: true }));

  it("has a configuration that the server takes", () => {
    const [config = { text: "" }] = blocks.filter(({ language }) => language === "json");
    const file = join(programs, "server.json");
    writeFileSync(file, config.text);
    const loaded = loadConfig({ file, environment: { HOME: programs } });
    expect(loaded.jwtIssuer).toBe("https://id.acme.example");
    expect(loaded.federation.web).toMatchObject({ port: 8443 });
  });

  const examples = blocks.filter(({ language }) => language === "ts");
  it.each(examples.map(({ text }) => [/(\w+)Credentials\(/.exec(text)?.[1] ?? "none", text] as const))(
    "has a program for %s that runs",
    async (name, text) => {
      subject = "";
      const file = join(programs, `${name}.ts`);
      const given = `endpoint: ${JSON.stringify(providers.url)}, ca: ${JSON.stringify(ca)}, credentialsEndpoint: ${JSON.stringify(providers.url)},`;
      writeFileSync(
        file,
        text
          .replace("Credentials({", `Credentials({ ${given}`)
          .replace(
            /^const agent = .*$/m,
            (line) =>
              `${line}\nprocess.send?.(agent.id);\nawait new Promise((resolve) => process.once("message", resolve));`,
          ),
      );
      const { stdout } = await runProgram(file, { TRUSTWARDEN_TICKET: ticketFor("reporter") });
      expect(stdout).toMatch(/^ready until \d{4}-/);
    },
  );

  it("has a program for each provider", () => {
    expect(examples).toHaveLength(5);
  });
});

/** Runs a program that says who it is before it goes on, so that the providers can be told whom to expect. */
async function runProgram(
  file: string,
  env: Readonly<Record<string, string>>,
): Promise<{ readonly stdout: string }> {
  const { promise, resolve, reject } = Promise.withResolvers<{ readonly stdout: string }>();

  const child = fork(file, { env: { PATH: process.env.PATH, ...env }, silent: true });
  let stdout = "";
  let stderr = "";
  child.stdout?.on("data", (part: Buffer) => {
    stdout += part.toString();
  });
  child.stderr?.on("data", (part: Buffer) => {
    stderr += part.toString();
  });
  child.on("message", (id) => {
    subject = String(id);
    child.send("go");
  });
  child.on("exit", (code) => (code === 0 ? resolve({ stdout }) : reject(new Error(stderr))));
  return promise;
}

function mkdirp(path: string): string {
  mkdirSync(path, { recursive: true });
  return path;
}
