/** `warden secret login`: a person logs in once, at the issuer that was named; agents use the service, and nobody has a token. */
import { AgentIdentity } from "trustwarden";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { type LiveServer, startLiveServer } from "../sdk/live.test.support.ts";
import { LoginServer } from "../test/support/login-server.ts";
import { runProgram } from "./program.ts";
import { createHome } from "./testing.ts";

const home = createHome();
let server: LiveServer;
let there: LoginServer;

beforeAll(async () => {
  server = await startLiveServer({ hasGateway: true });
});
afterAll(() => server.close());
beforeEach(async () => {
  there = await LoginServer.open();
});
afterEach(() => there.close());

/** Runs a command beside a browser that opens the address it prints. */
async function logIn(name: string, args: readonly string[]) {
  let [stdout, stderr] = ["", ""];
  const exitCode = await runProgram(
    ["secret", "login", name, ...args, "--allow-private", "--json", "--data", server.dataDir],
    {
      env: {},
      home,
      stdout: (text) => {
        stdout += text;
      },
      stderr: (text) => {
        stderr += text;
        const [address] = /https?:\S+/.exec(text) ?? [];
        if (address !== undefined) void fetch(address);
      },
      nowMs: () => Date.now(),
      random: (length) => crypto.getRandomValues(new Uint8Array(length)),
    },
  );
  return { exitCode, stderr, answer: JSON.parse(stdout) };
}

const at = () => ["--resource", there.resource, "--issuer", there.origin];

describe("a login", () => {
  it("leaves what the broker renews, and agents call the service without a token of their own", async () => {
    const [name, routes] = [
      "tracker",
      [{ method: "GET", path: "/mcp", action: "read:mcp", resource: "t://" }],
    ];
    await server.admin("POST", "/v1/upstreams", {
      ...{ name, kind: "http", url: there.origin, allow_private: true, secret: name, settings: { routes } },
    });
    const scoped = ["--upstream", name, "--agent", "agent:**"];
    const { exitCode, answer } = await logIn(name, [...at(), ...scoped]);
    expect(exitCode).toBe(0);
    expect(answer).toMatchObject({ kind: "oauth", source: { grant: "login", client_auth: "none" } });
    expect(JSON.stringify(answer)).not.toMatch(/refresh-|access-/);
    const [code] = there.asked;
    expect(code?.get("resource")).toBe(there.resource);

    const agent = await AgentIdentity.create({
      name: "worker",
      ticket: server.ticket({ name: "worker", scope: ["read:mcp"] }),
    });
    const call = () => agent.fetch(`${server.gatewayUrl}/${name}/mcp`);
    const answers = await Promise.all([call(), call(), call()]);
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200]);
    expect(there.asked.map((params) => params.get("grant_type"))).toEqual([
      "authorization_code",
      "refresh_token",
    ]);
    // Any change of the secret forgets its token, and not the login.
    const rescope = (agents: string) =>
      server.admin("POST", `/v1/secrets/${name}/scope`, { agents: [agents] });
    await rescope("agent:**");
    expect((await call()).status).toBe(200);
    expect(there.asked).toHaveLength(3);

    there.endLogins();
    await rescope("agent:**");
    expect(await (await call()).text()).toContain("secret_unavailable");
    expect((await logIn(name, [])).exitCode).toBe(0);
    expect((await call()).status).toBe(200);
    await agent.close();
  });

  it("asks for what the service asks for, and to be there when its person is away", async () => {
    const { stderr } = await logIn("scoped", at());
    const address = new URL(/https?:\S+/.exec(stderr)?.[0] ?? "");
    expect(address.searchParams.get("scope")).toBe("issues.read offline_access");
    expect(address.searchParams.get("code_challenge_method")).toBe("S256");
  });

  it("without a refresh token lasts as long as its token, which it says", async () => {
    there.world.tokens = { refresh_token: undefined };
    const { exitCode, stderr } = await logIn("short", at());
    expect([exitCode, stderr]).toEqual([0, expect.stringMatching(/this login lasts until 20/)]);
  });

  it("goes nowhere on the word of a service alone", async () => {
    const { exitCode, stderr, answer } = await logIn("unnamed", ["--resource", there.resource]);
    expect([exitCode, answer.error.code]).toEqual([2, "usage"]);
    expect(JSON.stringify(answer)).toContain(there.origin);
    expect(stderr).toBe("");
  });

  it.each([
    ["a service that is another's", { service: { resource: "https://other.test/mcp" } }],
    ["a service that names another issuer", { service: { authorization_servers: ["https://other.test"] } }],
    ["metadata of another issuer", { metadata: { issuer: "http://127.0.0.1:1" } }],
    ["an issuer that checks no codes", { metadata: { code_challenge_methods_supported: ["plain"] } }],
    ["a token endpoint in the clear", { metadata: { token_endpoint: "http://as.test/token" } }],
    ["nobody to register at", { metadata: { registration_endpoint: undefined } }],
    [
      "a way of asking that we lack",
      { metadata: { token_endpoint_auth_methods_supported: ["tls_client_auth"] } },
    ],
    ["an answer of another issuer", { answer: { iss: "https://other.test" } }],
    ["an answer without its issuer", { answer: { iss: "" } }],
    ["a refusal", { answer: { code: "", error: "access_denied" } }],
    ["a code that is not the one", { answer: { code: "another" } }],
  ])("is refused for %s, and nothing is kept", async (_, turned) => {
    Object.assign(there.world, turned);
    const { exitCode, answer } = await logIn("refused", at());
    expect([exitCode, answer.error.code]).toEqual([1, "login_failed"]);
    const { secrets } = (await server.admin("GET", "/v1/secrets")) as { secrets: { name: string }[] };
    expect(secrets.map(({ name }) => name)).not.toContain("refused");
  });

  it("again at another issuer, endpoint, service or scope sends nothing to the place of before", async () => {
    const { answer: made } = await logIn("moved", [...at(), "--scope", "issues.read"]);
    const client = ["--client-id", made.source.client_id];
    const elsewhere = await LoginServer.open();
    const other = ["--resource", elsewhere.resource, "--issuer", elsewhere.origin, ...client];
    const { exitCode, answer } = await logIn("moved", other);
    expect([exitCode, answer.error.code, elsewhere.asked]).toEqual([1, "login_failed", []]);
    elsewhere.close();
    expect((await logIn("moved", ["--scope", "issues.write"])).answer.error.code).toBe("login_failed");
    there.world.metadata = { token_endpoint: `${there.origin}/other` };
    expect((await logIn("moved", [])).answer.error.code).toBe("login_failed");
    there.world.metadata = {};
    there.world.service = { resource: there.origin };
    expect((await logIn("moved", [])).answer.error.code).toBe("login_failed");
    there.world.service = {};
    expect((await logIn("moved", ["--scope", "issues.read"])).exitCode).toBe(0);
  });

  it("again may ask for another scope where none was named", async () => {
    await logIn("widened", at());
    const { exitCode, stderr } = await logIn("widened", ["--scope", "issues.write"]);
    expect([exitCode, stderr]).toEqual([0, expect.stringContaining("scope=issues.write")]);
  });

  it.each(["--upstream", "--agent"])("that is there is not said to go elsewhere by %s", async (flag) => {
    const name = `there${flag}`;
    await logIn(name, at());
    expect((await logIn(name, [flag, "agent:team/**"])).answer.error.code).toBe("usage");
  });

  it("takes the place of no secret of another kind", async () => {
    const injection = { as: "header", name: "x-key", template: "{secret}" };
    await server.admin("POST", "/v1/secrets", { name: "plain", value: "sk-live-Zx81", injection });
    expect((await logIn("plain", at())).answer.error.code).toBe("secret_exists");
  });
});
