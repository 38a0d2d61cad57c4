/** `warden scan` on files in the forms that agents keep, and `--fix` against a real server: found, masked, moved, and nothing half done. */
import { execFileSync } from "node:child_process";
import {
  chmodSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseUpstreamName } from "@trustwarden/core/gateway/upstream.ts";
import { gatewayVariables } from "@trustwarden/node/launcher/gateway-variables.ts";
import { parseConfig } from "@trustwarden/server/config.ts";
import { type RunningServer, startServer } from "@trustwarden/server/main.ts";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { createAdminTransport } from "./admin-transport.ts";
import { createClient } from "./client.ts";
import { maskSecret } from "./scan/masking.ts";
import { moveSecrets } from "./scan/move-secrets.ts";
import { planText } from "./scan/plan.ts";
import { addressVariableOf, type Move } from "./scan/planned.ts";
import { beginRewrite } from "./scan/rewrite.ts";
import { scan } from "./scan/scan.ts";
import { createKey } from "./scan.test.support.ts";
import { createHome, runWarden } from "./testing.ts";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
/** Where the published vectors of others and the bait of attacks lie. */
const VECTORS = /\.test\.|(?:^|\/)(?:tests?|vectors|attacks|bench|interop)\//;
const base = createHome();
let home: string;
let count = 0;

beforeEach(() => {
  count += 1;
  home = join(base, `home-${count}`);
  mkdirSync(home);
});
afterAll(() => rmSync(base, { recursive: true, force: true }));

function write(path: string, text: string): string {
  const absolute = join(home, path);
  mkdirSync(dirname(absolute), { recursive: true });
  writeFileSync(absolute, text);
  return absolute;
}

/** As programs write a variable in their configuration. */
const reference = (variable: string) => `$\{${variable}}`;

async function scanned(...args: readonly string[]) {
  const { exitCode, stdout, stderr } = await runWarden(home, ["scan", ...args, "--json"], {
    PATH: process.env.PATH,
  });
  return { exitCode, stdout, stderr, answer: JSON.parse(stdout) };
}

/** OpenClaw's file is JSON5; VS Code's has comments. */
const OPENCLAW = (key: string, token: string) => `// the main configuration
{
  gateway: { auth: { mode: "token", token: '${token}' } },
  models: {
    providers: {
      openai: { apiKey: "${key}", models: [] },
      custom: { baseUrl: "https://llm.shop.example/v1", api: "openai-completions", apiKey: "${createKey("opaque", 5)}" },
      ready: { baseUrl: "https://ready.example/v1", apiKey: "\${READY_API_KEY}" },
    },
  },
  channels: { telegram: { botToken: "${createKey("telegram")}", }, },
}
`;

describe("warden scan", () => {
  test("finds keys by their form in any file, and says whose each is", async () => {
    const forms = [
      "openai",
      "anthropic",
      "openrouter",
      "groq",
      "github",
      "slack",
      "stripe",
      "google",
      "huggingface",
      "aws",
      "vault",
      "telegram",
    ] as const;
    const path = write(
      "notes.txt",
      forms.map((form) => `the key is ${createKey(form)} and no other`).join("\n"),
    );
    const { exitCode, stdout, answer } = await scanned(path);
    expect(exitCode).toBe(3);
    expect(answer.findings.map(({ provider }: { provider: string }) => provider)).toEqual(
      forms.map((form) => (form === "google" ? "google-ai" : form)),
    );
    expect(answer.findings.map(({ line }: { line: number }) => line)).toEqual(
      forms.map((_, index) => index + 1),
    );
    for (const form of forms) expect(stdout).not.toContain(createKey(form).slice(0, -4));
  });

  test("finds what an environment file names, and leaves references, paths and placeholders alone", async () => {
    write(
      "project/.env",
      [
        "# set-up",
        `OPENAI_API_KEY=${createKey("openai")}`,
        `export DB_PASSWORD="hunter2 hunter2"  # remark`,
        `DATABASE_URL=${"postgres"}://shop:hunter2hunter2@db.test/shop`,
        "PORT=8080",
        "MAX_TOKENS=4096",
        "GOOGLE_APPLICATION_CREDENTIALS=/etc/key.json",
        `SLACK_TOKEN=${reference("OTHER")}`,
        "GITHUB_TOKEN=your-token-here",
        "STRIPE_SECRET_KEY=<paste it here>",
        "API_KEY=held-by-the-gateway",
        "API_URL=https://example.test/path",
      ].join("\n"),
    );
    const { answer } = await scanned(join(home, "project"));
    expect(answer.findings).toMatchObject([
      {
        name: "OPENAI_API_KEY",
        line: 2,
        column: 16,
        provider: "openai",
        fix: { upstream: "openai", kind: "openai" },
      },
      { name: "DB_PASSWORD", line: 3, masked: "****", fix: null },
      {
        name: "DATABASE_URL",
        line: 4,
        provider: "postgresql",
        advice: expect.stringContaining("postgresql upstream"),
      },
    ]);
  });

  test("finds the known places of agents in a home by itself", async () => {
    const key = createKey("openai");
    write(".openclaw/openclaw.json", OPENCLAW(key, createKey("opaque", 2)));
    write(
      ".openclaw/agents/main/agent/auth-profiles.json",
      JSON.stringify({
        version: 1,
        profiles: { "x:default": { type: "api_key", provider: "x", key: createKey("opaque", 3) } },
      }),
    );
    write(
      ".config/Claude/claude_desktop_config.json",
      JSON.stringify({
        mcpServers: {
          gh: {
            command: "npx",
            args: ["-y", "gh", "--token", createKey("opaque", 4)],
            env: { GITHUB_PERSONAL_ACCESS_TOKEN: createKey("github") },
          },
        },
      }),
    );
    write(
      ".claude.json",
      JSON.stringify({
        numStartups: 3,
        mcpServers: { s: { type: "http", url: `https://mcp.example/mcp?apiKey=${createKey("opaque", 6)}` } },
      }),
    );
    write(
      ".codeium/windsurf/mcp_config.json",
      JSON.stringify({
        mcpServers: {
          w: { serverUrl: "https://w.example/mcp", headers: { "X-API-Key": createKey("opaque", 7) } },
        },
      }),
    );
    write(
      ".config/Code/User/mcp.json",
      `{ "servers": { /* ours */ "v": { "type": "http", "url": "https://v.example/mcp", "headers": { "Authorization": "Bearer ${createKey("opaque", 8)}" }, }, } }`,
    );
    const { answer } = await scanned();
    const found = answer.findings.map(
      ({ place, name }: { place: { path: string }; name: string }) =>
        `${place.path.slice(home.length + 1)} ${name}`,
    );
    expect(found.toSorted()).toEqual([
      ".claude.json apiKey",
      ".codeium/windsurf/mcp_config.json X-API-Key",
      ".config/Claude/claude_desktop_config.json 3",
      ".config/Claude/claude_desktop_config.json GITHUB_PERSONAL_ACCESS_TOKEN",
      ".config/Code/User/mcp.json Authorization",
      ".openclaw/agents/main/agent/auth-profiles.json key",
      ".openclaw/openclaw.json apiKey",
      ".openclaw/openclaw.json apiKey",
      ".openclaw/openclaw.json botToken",
      ".openclaw/openclaw.json token",
    ]);
    expect(answer.is_complete).toBe(true);
  });

  test("looks into histories, the environment of a process, and what commits added, when asked", async () => {
    write(
      ".bash_history",
      `ls\ncurl -H "Authorization: Bearer ${createKey("opaque", 2)}" https://x.test\nexport OPENAI_API_KEY=${createKey("openai")}\n`,
    );
    const repository = join(home, "repository");
    mkdirSync(repository);
    const git = (...args: readonly string[]) =>
      execFileSync(
        "git",
        ["-c", "user.name=t", "-c", "user.email=t@t.test", "-c", "commit.gpgsign=false", ...args],
        { cwd: repository, stdio: "ignore" },
      );
    git("init", "-q");
    write("repository/config.txt", `key ${createKey("github")}\n`);
    git("add", ".");
    git("commit", "-qm", "one");
    write("repository/config.txt", "key\n");
    git("commit", "-qam", "two");
    const { answer } = await scanned(repository, "--history", "--git", "50");
    expect(
      answer.findings.map(({ place, name, provider }: never) => [Object(place).kind, name, provider]),
    ).toEqual([
      ["file", "Authorization", null],
      ["file", "OPENAI_API_KEY", "openai"],
      ["git", null, "github"],
    ]);
    expect((await scanned(repository)).exitCode).toBe(0);
    expect((await scanned(repository, "--git", "1")).exitCode).toBe(0);
  });

  test.runIf(process.platform === "linux")(
    "reads the environment that a process was started with",
    async () => {
      const { spawn } = await import("node:child_process");
      const { once } = await import("node:events");
      const child = spawn("cat", [], {
        env: { GITHUB_TOKEN: createKey("github"), HOME: home },
        stdio: ["pipe", "pipe", "ignore"],
      });
      // It has answered, so the kernel has put the new program and its environment in place.
      child.stdin.write("x");
      await once(child.stdout, "data");
      const { answer } = await scanned(join(home), "--pid", String(child.pid));
      child.kill("SIGKILL");
      expect(answer.findings).toMatchObject([
        { place: { kind: "process", pid: child.pid }, name: "GITHUB_TOKEN", provider: "github" },
      ]);
      const refused = await scanned("--pid", "x");
      expect(refused.answer.error.code).toBe("usage");
      expect((await scanned("--pid", "4194303")).answer.error.code).toBe("not_found");
    },
  );

  test("leaves out links that lead elsewhere, binaries and what is too large, and says so", async () => {
    const outside = write("outside.txt", createKey("github"));
    write("tree/binary.dat", `\0${createKey("github")}`);
    write("tree/large.txt", `${createKey("github")}${"x".repeat(8_388_608)}`);
    symlinkSync(outside, join(home, "tree", "link.txt"));
    write("tree/node_modules/a/key.txt", createKey("github"));
    const { exitCode, answer } = await scanned(join(home, "tree"));
    expect(exitCode).toBe(0);
    expect(answer.skipped.map(({ why }: { why: string }) => why)).toEqual(["binary", "too large"]);
    symlinkSync(outside, join(home, ".claude.json"));
    expect((await scanned()).exitCode).toBe(3);
    rmSync(join(home, ".claude.json"));
    symlinkSync("/proc/self/environ", join(home, ".claude.json"));
    const elsewhere = await scanned();
    expect(elsewhere.answer.skipped).toMatchObject([{ why: "a link that leads elsewhere" }]);
    expect(elsewhere.exitCode).toBe(1);
    expect((await scanned(join(home, "nowhere"))).answer.error.code).toBe("not_found");
  });

  test("ends at its time, and then does not say that all is well", async () => {
    for (let index = 0; index < 5; index += 1) write(`tree/${index}.txt`, "nothing");
    let nowMs = 0;
    const { runProgram } = await import("./program.ts");
    const printed: string[] = [];
    const exitCode = await runProgram(["scan", join(home, "tree"), "--timeout", "10", "--json"], {
      env: {},
      home,
      stdout: (text) => void printed.push(text),
      stderr: (text) => void printed.push(text),
      nowMs: () => {
        nowMs += 3000;
        return nowMs;
      },
      random: (length) => new Uint8Array(length),
    });
    expect(exitCode).toBe(1);
    expect(printed[0]).toMatch(/^looked at 0 texts/);
    expect(JSON.parse(printed.at(-1) ?? "")).toMatchObject({ is_complete: false, looked_at: 1 });
  });

  test("is not told to look away by a comment in the file", async () => {
    const path = write("a.txt", `# secretlint-disable\n${createKey("github")}\n`);
    expect((await scanned(path)).exitCode).toBe(3);
  });

  test("gives equal values one fingerprint, on this machine only", async () => {
    const key = createKey("github");
    const path = write("a.txt", `${key}\n${key}\n${createKey("github", 2)}\n`);
    const of = async () =>
      (await scanned(path)).answer.findings.map(({ fingerprint }: { fingerprint: string }) => fingerprint);
    const [one, two, other] = await of();
    expect(one).toBe(two);
    expect(one).not.toBe(other);
    expect(await of()).toEqual([one, two, other]);
    expect(statSync(join(home, ".config/trustwarden/scan-salt")).mode & 0o777).toBe(0o600);
    rmSync(join(home, ".config/trustwarden/scan-salt"));
    expect(await of()).not.toContain(one);
  });

  test("speaks SARIF", async () => {
    const path = write("a.txt", createKey("github"));
    const { exitCode, stdout } = await runWarden(home, ["scan", path, "--sarif"]);
    const [run] = JSON.parse(stdout).runs;
    expect(exitCode).toBe(3);
    expect(run.results).toMatchObject([
      {
        ruleId: "github/GITHUB_TOKEN",
        locations: [{ physicalLocation: { region: { startLine: 1, startColumn: 1 } } }],
      },
    ]);
    expect(run.tool.driver.rules).toMatchObject([{ id: "github/GITHUB_TOKEN" }]);
    expect(stdout).not.toContain(createKey("github").slice(4, 20));
  });

  test("takes hostile texts in time that grows with their length", async () => {
    const length = 1 << 18;
    write("tree/mcp.json", "[".repeat(length));
    write("tree/deep/mcp.json", '{"a":'.repeat(length / 4));
    write("tree/.env", `A=b${" ".repeat(length)}x\nPASSWORD=${"${".repeat(length / 2)}`);
    write("tree/keys.txt", "-----BEGIN PRIVATE KEY-----\n".repeat(length / 32));
    const { answer } = await scanned(join(home, "tree"));
    expect(answer.looked_at).toBe(4);
  });

  test("ends at so many findings, and says that it did", async () => {
    write("tree/keys.txt", `${createKey("github")}\n`.repeat(5001));
    const { exitCode, answer } = await scanned(join(home, "tree"));
    expect([exitCode, answer.findings.length, answer.is_complete]).toEqual([3, 5000, false]);
    expect(answer.findings[4999].line).toBe(5000);
  });

  test("finds nothing in this repository but the vectors of its tests", async () => {
    const { answer } = await scanned(ROOT);
    const files = answer.findings.map(({ place }: { place: { path: string } }) =>
      place.path.slice(ROOT.length),
    );
    expect(answer.looked_at).toBeGreaterThan(500);
    expect(files.length).toBeGreaterThan(5);
    expect(files.filter((path: string) => !VECTORS.test(path))).toEqual([]);
  });
});

test("a moved key's address is a variable that `warden run` sets, and leads to its upstream", () => {
  const upstreams = (["openai", "anthropic", "custom", "web-search"] as const).map((name, index) => ({
    name: parseUpstreamName(name),
    kind: (["openai", "anthropic", "openai", "mcp"] as const)[index] ?? "mcp",
    resource: "",
    settings: {},
  }));
  const { paths } = gatewayVariables(upstreams);
  expect(upstreams.map(({ name }) => paths[addressVariableOf(name)])).toEqual([
    "/openai/v1",
    "/anthropic",
    "/custom",
    "/web-search",
  ]);
});

describe("warden scan --fix", () => {
  let server: RunningServer;
  const serverHome = join(base, "server");
  const [dataDir, configDir] = [join(serverHome, "data"), join(serverHome, "config")];
  const place = ["--data", dataDir, "--config-dir", configDir];
  beforeAll(async () => {
    mkdirSync(serverHome);
    server = await startServer(
      parseConfig({ trustDomain: "acme.test", port: 0, stopPort: 0, logLevel: "silent", dataDir, configDir }),
    );
  });
  afterAll(() => server.close());

  const facts = async (...args: readonly string[]) =>
    JSON.parse((await runWarden(home, [...args, ...place, "--json"])).stdout);
  const fix = (...args: readonly string[]) => scanned(...args, "--fix", ...place);

  test("moves model keys and MCP servers to the broker, and leaves every other byte as it was", async () => {
    const key = createKey("anthropic");
    const env = write("a/.env", `# mine\nANTHROPIC_API_KEY="${key}" # old\nPORT=1\n`);
    chmodSync(env, 0o640);
    const token = createKey("opaque", 9);
    const cursor = write(
      "a/.cursor/mcp.json",
      `{\n  // ours\n  "mcpServers": {"Web Search": {"url": "https://mcp.search.example/v1/mcp", "headers": {"Authorization": "Bearer ${token}"}}}\n}\n`,
    );
    const dry = await scanned(join(home, "a"));
    expect(dry.exitCode).toBe(3);
    expect(readFileSync(env, "utf8")).toContain(key);
    const { exitCode, stdout, answer } = await fix(join(home, "a"), "--agent", "agent:team/**");
    expect(exitCode).toBe(0);
    expect(stdout).not.toContain(key.slice(20, 60));
    expect(answer.findings).toEqual([]);
    expect(readFileSync(env, "utf8")).toBe('# mine\nANTHROPIC_API_KEY="held-by-the-gateway" # old\nPORT=1\n');
    expect(statSync(env).mode & 0o777).toBe(0o640);
    expect(readFileSync(cursor, "utf8")).toBe(
      '{\n  // ours\n  "mcpServers": {"Web Search": {"url": "REF/mcp", "headers": {"Authorization": "Bearer held-by-the-gateway"}}}\n}\n'.replace(
        "REF",
        reference("env:WEB_SEARCH_BASE_URL"),
      ),
    );
    expect(readdirSync(join(home, "a"))).toEqual([".cursor", ".env"]);
    const secrets = answer.moved.secrets.map(({ secret }: { secret: string }) => secret);
    expect(await facts("upstream", "show", "anthropic")).toMatchObject({
      kind: "anthropic",
      url: "https://api.anthropic.com",
      secret: secrets[1],
    });
    expect(await facts("upstream", "show", "web-search")).toMatchObject({
      kind: "mcp",
      url: "https://mcp.search.example",
      settings: { endpoint: "/v1/mcp" },
    });
    expect(await facts("secret", "show", secrets[0])).toMatchObject({
      agents: ["agent:team/**"],
      injection: { as: "header", name: "authorization", template: "Bearer {secret}" },
      upstreams: [{ name: "web-search", origin: "https://mcp.search.example" }],
    });
    expect((await fix(join(home, "a"))).answer.moved.secrets).toEqual([]);
  });

  test("points OpenClaw's providers at the gateway, beside each key", async () => {
    const path = write(".openclaw/openclaw.json", OPENCLAW(createKey("openai"), createKey("opaque", 2)));
    const before = readFileSync(path, "utf8");
    const { exitCode, answer } = await fix();
    const after = readFileSync(path, "utf8");
    expect(after).toContain(
      `openai: { apiKey: "held-by-the-gateway", "baseUrl": "${reference("OPENAI_BASE_URL")}", models: [] }`,
    );
    expect(after).toContain(
      `custom: { baseUrl: "${reference("CUSTOM_BASE_URL")}/v1", api: "openai-completions", apiKey: "held-by-the-gateway" }`,
    );
    expect(after.split("\n").filter((line) => !before.split("\n").includes(line))).toHaveLength(2);
    expect(exitCode).toBe(3);
    expect(answer.findings.map(({ name }: { name: string }) => name)).toEqual(["token", "botToken"]);
    expect(await facts("upstream", "show", "custom")).toMatchObject({
      kind: "openai",
      url: "https://llm.shop.example",
    });
  });

  test("does not move what the program itself needs, what goes elsewhere, or what the gateway could not stand in for", async () => {
    const opaque = createKey("opaque", 3);
    write(
      "b/.env",
      `GROQ_API_KEY=${createKey("groq")}\nGROQ_BASE_URL=https://own.example\nSTRIPE_SECRET_KEY=${createKey("stripe")}\n`,
    );
    write(
      "b/.mcp.json",
      JSON.stringify({
        mcpServers: {
          stdio: { command: "npx", env: { GITHUB_TOKEN: createKey("github") } },
          sse: { type: "sse", url: "https://a.example/sse", headers: { Authorization: `Bearer ${opaque}` } },
          plain: { url: "http://a.example/mcp", headers: { Authorization: `Bearer ${opaque}` } },
          two: {
            url: `https://a.example/mcp?api_key=${opaque}`,
            headers: { Authorization: `Bearer ${opaque}` },
          },
          more: { url: `https://a.example/mcp?api_key=${opaque}&team=7` },
        },
      }),
    );
    write(
      "b/claude_desktop_config.json",
      JSON.stringify({
        mcpServers: { a: { url: "https://a.example/mcp", headers: { Authorization: `Bearer ${opaque}` } } },
      }),
    );
    const files = ["b/.env", "b/.mcp.json", "b/claude_desktop_config.json"].map((path) => join(home, path));
    const before = files.map((path) => readFileSync(path, "utf8"));
    const { exitCode, answer } = await fix(join(home, "b"));
    expect(exitCode).toBe(3);
    expect(files.map((path) => readFileSync(path, "utf8"))).toEqual(before);
    expect(answer.moved.secrets).toEqual([]);
    expect(answer.findings.map(({ why_not: why }: { why_not: string }) => why.slice(0, 34))).toEqual([
      "the file sends it to an address of",
      "an http upstream with its routes: ",
      "it goes to a program on this machi",
      "it speaks the older SSE transport,",
      "its address is no plain https URL",
      "the server takes more than one sec",
      "the server takes more than one sec",
      "its address has further parameters",
      "Claude Desktop takes addresses lit",
    ]);
  });

  test("leaves a key whose upstream has another one, and a file whose server is gone", async () => {
    const path = write("c/.env", `OPENROUTER_API_KEY=${createKey("openrouter")}\n`);
    expect((await fix(path)).exitCode).toBe(0);
    const other = write("d/.env", `OPENROUTER_API_KEY=${createKey("openrouter", 2)}\n`);
    const { exitCode, answer } = await fix(other);
    expect(exitCode).toBe(3);
    expect(answer.findings).toMatchObject([
      { why_not: expect.stringContaining("has another secret already") },
    ]);
    const unreached = write("e/.env", `GROQ_API_KEY=${createKey("groq")}\n`);
    const failed = await scanned(unreached, "--fix", "--data", join(home, "none"));
    expect(failed.answer.error.code).toBe("server_unreachable");
    expect(readFileSync(unreached, "utf8")).toContain(createKey("groq"));
    expect(readdirSync(dirname(unreached))).toEqual([".env"]);
  });

  test("leaves a server whose name has another path at the same origin", async () => {
    const headers = { Authorization: `Bearer ${createKey("opaque", 11)}` };
    const write2 = (folder: string, url: string) =>
      write(`${folder}/.mcp.json`, JSON.stringify({ mcpServers: { tracker: { url, headers } } }));
    expect((await fix(write2("m", "https://mcp.tracker.example/a/mcp"))).exitCode).toBe(0);
    const path = write2("n", "https://mcp.tracker.example/b/mcp");
    const before = readFileSync(path, "utf8");
    const { answer } = await fix(path);
    expect(answer.findings).toMatchObject([{ why_not: expect.stringContaining("leads elsewhere") }]);
    expect(readFileSync(path, "utf8")).toBe(before);
  });

  test("a second run after a break keeps nothing twice", async () => {
    const text = `XAI_API_KEY=xai-${createKey("opaque", 4)}${createKey("opaque", 5)}\n`;
    const path = write("f/.env", text);
    expect((await fix(path)).exitCode).toBe(0);
    // As a break between the broker's answer and the file's replacement leaves it.
    writeFileSync(path, text);
    const { exitCode, answer } = await fix(path);
    expect(exitCode).toBe(0);
    expect(answer.moved.secrets).toHaveLength(1);
    expect(
      (await facts("secret", "list")).secrets.filter(({ name }: { name: string }) => name.startsWith("xai-")),
    ).toHaveLength(1);
    expect(readFileSync(path, "utf8")).toBe("XAI_API_KEY=held-by-the-gateway\n");
  });

  test("replaces nothing that somebody wrote to meanwhile, and cannot begin where nothing can be written", () => {
    const path = write("h/.env", "new\n");
    expect(() => beginRewrite(path, "old\n", "x")).toThrowError(
      expect.objectContaining({ code: "not_found" }),
    );
    const rewrite = beginRewrite(path, "new\n", "x");
    writeFileSync(path, "newer\n");
    expect(() => rewrite.commit("ours\n")).toThrowError(expect.objectContaining({ code: "not_found" }));
    rewrite.abandon();
    expect(readFileSync(path, "utf8")).toBe("newer\n");
    writeFileSync(path, "new\n");
    expect([readFileSync(path, "utf8"), readdirSync(dirname(path))]).toEqual(["new\n", [".env"]]);
    const other = beginRewrite(path, "new\n", "x");
    expect(() => beginRewrite(path, "new\n", "x")).toThrowError(
      expect.objectContaining({ code: "not_found" }),
    );
    other.commit("ours\n");
    other.abandon();
    expect(readFileSync(path, "utf8")).toBe("ours\n");
  });

  test("leaves a file that changed on the way as it is, without a copy, and goes on with the next", async () => {
    const text = (seed: number) => `TOGETHER_API_KEY=${createKey("opaque", seed)}\n`;
    const paths = ["i/.env", "j/.env"].map((path, index) => write(path, text(7 + index)));
    const { findings } = await scan({
      paths,
      home,
      directory: home,
      hasHistory: false,
      maxCommits: 0,
      pids: [],
      timeoutMs: 60_000,
      env: {},
      nowMs: () => 0,
      onProgress: () => undefined,
    });
    const files = findings.map((finding, index) => {
      const moves = planText(text(7 + index), [finding], maskSecret).filter(
        (plan): plan is Move => "edits" in plan,
      );
      return { path: paths[index] ?? "", text: text(7 + index), moves };
    });
    writeFileSync(paths[0] ?? "", "somebody was here\n");
    const transport = createAdminTransport(join(dataDir, "admin.sock"));
    const { moved, left, backups } = await moveSecrets(files, {
      client: createClient(transport),
      fingerprintOf: () => "0123456789ab",
      agents: [],
      suffix: "x",
      hasBackup: true,
    });
    transport.close();
    expect(left).toMatchObject([{ why: expect.stringContaining("has changed meanwhile") }]);
    expect(moved).toHaveLength(1);
    expect(backups).toEqual([join(home, "j/.env.x")]);
    expect(readdirSync(join(home, "i"))).toEqual([".env"]);
    expect(readFileSync(join(home, "j/.env"), "utf8")).toBe("TOGETHER_API_KEY=held-by-the-gateway\n");
  });

  test("keeps the old file only when asked, for its owner's eyes", async () => {
    const path = write("g/.env", `MISTRAL_API_KEY=${createKey("opaque", 6)}\n`);
    const { answer } = await fix(path, "--backup");
    const [backup] = answer.moved.backups;
    expect(readFileSync(backup, "utf8")).toContain(createKey("opaque", 6));
    expect(statSync(backup).mode & 0o777).toBe(0o600);
    expect((await scanned(join(home, "g"))).exitCode).toBe(3);
  });
});
