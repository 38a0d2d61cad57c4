/** `warden secret` against a real server: values go in and never come out; imports say what lay where. */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { parseConfig } from "@trustwarden/server/config.ts";
import { type RunningServer, startServer } from "@trustwarden/server/main.ts";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { parseEnvFile, whySecret } from "./secret-input.ts";
import { createHome, runWarden } from "./testing.ts";

const VALUE = "sk-live-Zx81/plk+09";
const home = createHome();
const valueFile = join(home, "value.txt");
let server: RunningServer;

beforeAll(async () => {
  mkdirSync(home, { recursive: true });
  const [dataDir, configDir] = [join(home, "data"), join(home, "config")];
  server = await startServer(
    parseConfig({ trustDomain: "acme.test", port: 0, stopPort: 0, logLevel: "silent", dataDir, configDir }),
  );
  writeFileSync(valueFile, `${VALUE}\n`);
});
afterAll(() => server.close());

const warden = (args: readonly string[], env: Readonly<Record<string, string>> = {}) =>
  runWarden(home, [...args, "--data", join(home, "data"), "--config-dir", join(home, "config")], env);
const facts = async (...args: readonly string[]) => {
  const { stdout, exitCode } = await warden([...args, "--json"]);
  return { exitCode, answer: JSON.parse(stdout) };
};

describe("warden secret", () => {
  test("keeps a secret, shows it without its value, replaces it, and takes it out of use", async () => {
    const put = await warden([
      ..."secret put model-key --upstream models=https://api.example.test --agent agent:team/** --value-file".split(
        " ",
      ),
      valueFile,
      "--header",
      "Authorization: Bearer {secret}",
    ]);
    expect(put).toMatchObject({ exitCode: 0, stderr: "" });
    expect(put.stdout).toContain("It goes to: models (https://api.example.test).");
    const shown = await facts("secret", "show", "model-key");
    expect(shown.answer).toMatchObject({
      injection: { as: "header", name: "authorization", template: "Bearer {secret}" },
      versions: [{ version: 1 }],
    });
    const rotated = await facts("secret", "rotate", "model-key", "--grace", "1h", "--value-file", valueFile);
    expect(rotated.answer.versions).toHaveLength(2);
    expect((await facts("secret", "rollback", "model-key")).answer.versions).toMatchObject([{ version: 3 }]);
    expect(
      (await facts("secret", "scope", "model-key", "--agent", "agent:team/payer")).answer.agents,
    ).toEqual(["agent:team/payer"]);
    expect((await facts("secret", "disable", "model-key", "--reason", "leak")).answer.is_disabled).toBe(true);
    expect((await warden(["secret", "list"])).stdout).toMatch(
      /model-key +static +disabled +3 +models +agent:team\/payer/,
    );
    expect((await facts("secret", "enable", "model-key")).answer.is_disabled).toBe(false);
    expect((await facts("secret", "rotate-key")).answer).toMatchObject({ remaining: 0 });
    expect((await facts("secret", "delete", "model-key")).answer.name).toBe("model-key");
    expect((await facts("secret", "show", "model-key")).answer.error.code).toBe("not_found");
  });

  test("shows a canary once, and never again", async () => {
    const { answer } = await facts("secret", "canary", "crm-row");
    expect(answer.value).toMatch(/^cnry_[A-Za-z0-9_-]{24}$/);
    for (const args of [["list"], ["show", "crm-row"]]) {
      expect((await warden(["secret", ...args, "--json"])).stdout).not.toContain(answer.value);
    }
  });

  test("warns of a query, and refuses what it cannot read", async () => {
    const put = (...args: readonly string[]) =>
      warden(["secret", "put", "q-key", "--value-file", valueFile, ...args]);
    expect((await put("--query", "key")).stderr).toContain("Warning");
    const codeOf = async (...args: readonly string[]) => (await facts(...args)).answer.error.code;
    expect(await codeOf("secret", "put", "x", "--value-file", valueFile)).toBe("usage");
    expect(
      await codeOf("secret", "put", "x", "--value-file", valueFile, "--basic", "a", "--query", "b"),
    ).toBe("usage");
    expect(await codeOf("secret", "put", "x", "--value-file", join(home, "none"), "--basic", "a")).toBe(
      "usage",
    );
    expect(await codeOf("secret", "put", "x", "--value-file", valueFile, "--header", "nothing")).toBe(
      "usage",
    );
    expect(
      await codeOf("secret", "put", "x", "--value-file", valueFile, "--basic", "a", "--upstream", "none"),
    ).toBe("upstream_unknown");
    expect(await codeOf("secret", "disable", "../x")).toBe("usage");
    expect(await codeOf("secret", "import")).toBe("usage");
  });
});

const ENV_FILE = `# set-up
export OPENAI_API_KEY="sk-proj-Ab12Cd34Ef56"
DATABASE_URL=postgres://shop:hunter2hunter2@db.test/shop
PORT=8080
GREETING='hello # world'   # a remark
SESSION_SECRET=x
`;

describe("warden secret import", () => {
  const envFile = join(home, ".env");

  test("says first what would be kept, then keeps it, for nobody; and never shows a value", async () => {
    writeFileSync(envFile, ENV_FILE);
    const dry = await facts("secret", "import", "--env-file", envFile, "--dry-run");
    expect(dry.answer).toMatchObject({ kept: 0, found: 5, dry_run: true });
    const all = await warden([
      "secret",
      "import",
      "--env-file",
      envFile,
      "--include",
      "GREETING",
      "--prefix",
      "shop-",
    ]);
    expect(all.exitCode).toBe(0);
    expect(all.stdout).toMatch(/\.env:2 +shop-openai-api-key +the form of a known credential +kept/);
    expect(all.stdout).toMatch(/\.env:3 +shop-database-url +a password in a URL +kept/);
    expect(all.stdout).toMatch(/\.env:4 +shop-port +no secret by its looks/);
    expect(all.stdout).toMatch(/\.env:5 +shop-greeting +asked for +kept/);
    expect(all.stdout).toMatch(/\.env:6 +shop-session-secret +its name +left: secret_malformed/);
    expect(all.stdout).not.toMatch(/Ab12Cd34|hunter2|hello/);
    const { answer } = await facts("secret", "show", "shop-openai-api-key");
    expect(answer).toMatchObject({ agents: [], upstreams: [] });
    const again = await facts("secret", "import", "--env-file", envFile, "--prefix", "shop-");
    expect(again.answer.report[0].verdict).toBe("left: secret_exists");
  });

  test("reads assignments as they stand, and names the line that is none", () => {
    const values = (text: string) => parseEnvFile(text).map(({ value }) => value);
    expect(values('A=1\n B = two words \nexport C=\'a"b\'\nD="a\\"b\\$c" # x\nE=\nF=a#b')).toEqual([
      "1",
      "two words",
      'a"b',
      'a"b$c',
      "",
      "a#b",
    ]);
    for (const text of ["A=1\nnot a line", 'A=1\nB="open', "A=1\nB='a' b"]) {
      expect(() => parseEnvFile(text)).toThrowError(
        expect.objectContaining({
          code: "usage",
          details: expect.objectContaining({ reason: expect.stringContaining("line 2") }),
        }),
      );
    }
  });

  test.each([
    ["STRIPE", "sk_live_123456", true],
    ["MY_PASSWORD", "hunter2", true],
    ["URL", "redis://:secretword@cache.test:6379", true],
    ["BUILD", "a3f4c9d27b1e0f5a6c8d9e0b1a2c3d4e", true],
    ["HOST", "cache.test", false],
    ["URL", "https://example.test/path", false],
    ["KEYBOARD", "qwerty", false],
    ["API_KEY", "", false],
  ])("judges %s=%s", (variable, value, expected) => {
    expect(whySecret({ variable, value, line: 1 }) !== undefined).toBe(expected);
  });
});

/** Answers of OpenBao 2.7.2, as it gave them to these requests; `interop/openbao-judge.ts` asks a real one. */
const RECORDED = join(import.meta.dirname, "recorded", "openbao-kv.json");

interface Recorded {
  readonly method: string;
  readonly target: string;
  readonly status: number;
  readonly body: unknown;
}

describe("warden secret import --vault", () => {
  test.each([
    ["kv2", ""],
    ["kv1", "apps"],
  ])("walks %s below %j as OpenBao answers, and keeps every text in it", async (mount, path) => {
    const recorded: readonly Recorded[] = JSON.parse(readFileSync(RECORDED, "utf8"));
    const vault = await openRecorded(recorded);
    const args = [
      "secret",
      "import",
      "--vault",
      vault.url,
      "--mount",
      mount,
      "--path",
      path,
      "--prefix",
      `${mount}-`,
      "--json",
    ];
    const { stdout } = await warden(args, { VAULT_TOKEN: "recorded-token" });
    const { report } = JSON.parse(stdout);
    expect(report).toEqual([
      {
        from: `${mount}/apps/shop/db#password`,
        name: `${mount}-apps-shop-db-password`,
        why: "in the vault",
        verdict: "kept",
      },
      {
        from: `${mount}/apps/shop/db#user`,
        name: `${mount}-apps-shop-db-user`,
        why: "in the vault",
        verdict: "kept",
      },
      {
        from: `${mount}/apps/stripe#key`,
        name: `${mount}-apps-stripe-key`,
        why: "in the vault",
        verdict: "kept",
      },
    ]);
    expect(vault.tokens).toEqual(new Set(["recorded-token"]));
    vault.close();
  });

  test("refuses an address in plain over the network, a refused token, and a redirect", async () => {
    const codeOf = async (url: string) => {
      const { stdout } = await warden(["secret", "import", "--vault", url, "--json"], { VAULT_TOKEN: "t" });
      return JSON.parse(stdout).error.code;
    };
    expect(await codeOf("http://vault.example:8200")).toBe("usage");
    const refusing = await openServer((_, response) =>
      response.writeHead(403).end('{"errors":["permission denied"]}'),
    );
    expect(await codeOf(refusing.url)).toBe("exchange_refused");
    const moving = await openServer((_, response) =>
      response.writeHead(302, { location: refusing.url }).end(),
    );
    expect(await codeOf(moving.url)).toBe("exchange_unreachable");
    refusing.close();
    moving.close();
  });
});

async function openServer(handler: (request: IncomingMessage, response: ServerResponse) => void) {
  const vault = createServer(handler);
  await new Promise<void>((resolve) => vault.listen(0, "127.0.0.1", resolve));
  const { port } = vault.address() as AddressInfo; // cast: a TCP server that listens has a port
  return { url: `http://127.0.0.1:${port}`, close: () => vault.close() };
}

async function openRecorded(recorded: readonly Recorded[]) {
  const tokens = new Set<unknown>();
  const opened = await openServer((request, response) => {
    tokens.add(request.headers["x-vault-token"]);
    const found = recorded.find(({ method, target }) => method === request.method && target === request.url);
    response.writeHead(found?.status ?? 501).end(JSON.stringify(found?.body ?? {}));
  });
  return { ...opened, tokens };
}
