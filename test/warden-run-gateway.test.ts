/** `warden run` and the gateway: an unmodified program reaches models by its base URL, and nobody else does. Linux only. */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { runWarden } from "../cli/testing.ts";
import { type FakeModel, startFakeModel } from "./support/model/fake-model.ts";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const MAIN = join(ROOT, "cli/main.ts");
const CHAT = join(ROOT, "test/support/model/launched-chat.mjs");
const home = mkdtempSync(join(tmpdir(), "warden-gateway-test-"));
const hasWalls = spawnSync("bwrap", ["--ro-bind", "/", "/", "--unshare-all", "true"]).status === 0;
const children: ChildProcess[] = [];
const SCOPE = ["infer:llm:openai/gpt-test", "infer:llm:anthropic/**"];
let model: FakeModel;

function run(args: readonly string[], env: Readonly<Record<string, string>> = {}): ChildProcess {
  const child = spawn(process.execPath, [MAIN, ...args], {
    env: { PATH: process.env.PATH, HOME: home, ...env },
    cwd: ROOT,
    stdio: ["ignore", "pipe", "inherit"],
  });
  children.push(child);
  return child;
}

function launch(agent: string, options: readonly string[], flags: readonly string[] = []) {
  const scope = SCOPE.flatMap((atom) => ["--scope", atom]);
  const own = ["run", "--no-report", "--owner", "alice", "--agent", agent, ...scope, ...options];
  const env = { OPENAI_API_KEY: "sk-canary-0123456789abcdef0123", OPENAI_BASE_URL: "https://elsewhere.test" };
  const child = run([...own, "--", process.execPath, CHAT, ...flags], env);
  if (child.stdout === null) throw new Error("its lines are read");
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const next = async (): Promise<Record<string, unknown>> => {
    const line = await lines.next();
    if (line.done === true) throw new Error("no more lines");
    return JSON.parse(line.value);
  };
  return { child, next };
}

beforeAll(async () => {
  model = await startFakeModel();
  const ports = ["--port", "0", "--stop-port", "0", "--gateway-port", "0"];
  const server = run(["up", "--trust-domain", "acme.test", "--no-node", ...ports]);
  if (server.stdout === null) throw new Error("its lines are read");
  for await (const line of createInterface({ input: server.stdout }))
    if (line.includes('"ready":true')) break;
  expect((await runWarden(home, ["owner", "create", "alice"])).exitCode).toBe(0);
  for (const kind of ["openai", "anthropic"]) {
    const set = ["upstream", "set", kind, "--kind", kind, "--url", model.url, "--allow-private"];
    expect((await runWarden(home, set)).exitCode).toBe(0);
  }
});
afterAll(async () => {
  for (const child of children) child.kill("SIGKILL");
  await Promise.all(
    children.map((child) =>
      child.exitCode === null && child.signalCode === null ? once(child, "close") : null,
    ),
  );
  await model.close();
  rmSync(home, { recursive: true, force: true });
});

async function expectChat(next: () => Promise<Record<string, unknown>>): Promise<string> {
  const { base, key } = await next();
  expect([base, key]).toEqual([
    expect.stringMatching(/^http:\/\/127\.0\.0\.1:\d+\/openai\/v1$/),
    "held-by-the-gateway",
  ]);
  expect(await next()).toEqual({ openai: "one two" });
  expect(await next()).toEqual({ anthropic: "one two" });
  expect(await next()).toEqual({ refused: "PermissionDeniedError", status: 403 });
  return String(base);
}

describe.skipIf(process.platform !== "linux")("warden run with a gateway", () => {
  test("gives the vendors' own clients models, with no key of anybody in their environment", async () => {
    const { child, next } = launch("chatter", []);
    await expectChat(next);
    await once(child, "close");
    expect(child.exitCode).toBe(0);
    expect(model.requests.every(({ headers }) => headers.authorization === undefined)).toBe(true);
    expect(JSON.stringify(model.requests)).not.toContain("sk-canary");
  });

  test("serves nobody else on the machine, and no page of a browser", async () => {
    const { child, next } = launch("watched", ["--no-end-on-revoke"], ["--stay"]);
    const base = await expectChat(next);
    expect(await next()).toEqual({ streaming: true });
    const before = model.requests.length;
    const body = JSON.stringify({ model: "gpt-test", messages: [{ role: "user", content: "x" }] });
    const post = (headers: Record<string, string> = {}) =>
      fetch(`${base}/chat/completions`, {
        method: "POST",
        headers: { "content-type": "application/json", ...headers },
        body,
      });
    expect(await (await post()).json()).toMatchObject({ error: { code: "no_identity" } });
    expect(await (await post({ origin: "https://evil.test" })).json()).toMatchObject({
      error: { code: "request_malformed" },
    });
    expect(model.requests.length).toBe(before);
    for (const file of ["environ", "cmdline"])
      expect(readFileSync(`/proc/${child.pid}/${file}`, "latin1")).not.toContain("BEGIN PRIVATE KEY");
    await runWarden(home, ["stop", "watched"]);
    expect(await next()).toEqual({ cut: expect.any(String) });
    await once(child, "close");
    await expect(post()).rejects.toThrow();
  });

  test.skipIf(!hasWalls)(
    "reaches the same from inside a sandbox, where nothing else can be reached",
    async () => {
      const { child, next } = launch("walled", ["--sandbox", "--read-only", ROOT]);
      await expectChat(next);
      await once(child, "close");
      expect(child.exitCode).toBe(0);
    },
  );

  // The last one: what it sets stays, a budget in money of the owner among it.
  test("does what its guide says", async () => {
    const guide = readFileSync(join(ROOT, "docs/guides/llm-gateway.md"), "utf8");
    const blocks = [...guide.matchAll(/```(sh|json)\n(.*?)```/gs)].map(([, kind, text = ""]) => ({
      kind,
      text,
    }));
    const settings = blocks.filter(({ kind }) => kind === "json").map(({ text }) => text);
    expect(settings).toHaveLength(1);
    const file = join(home, "openai.json");
    writeFileSync(file, settings[0] ?? "");
    const owners = JSON.parse((await runWarden(home, ["owner", "list", "--json"])).stdout);
    const lines = blocks.filter(({ kind }) => kind === "sh").flatMap(({ text }) => text.trim().split("\n"));
    expect(lines.length).toBeGreaterThan(5);
    for (const line of lines) {
      const [program, command = "", ...rest] = line
        .replace(/https:\/\/api\.\S+/, `${model.url} --allow-private`)
        .replace(/ --secret \S+/, "")
        .replace("openai.json", file)
        .replace(/own_\w+/, owners.owners[0].owner_id)
        .replace("python3 research.py", "printenv OPENAI_BASE_URL ANTHROPIC_BASE_URL")
        .replaceAll("'", "")
        .split(" ");
      expect(program).toBe("warden");
      if (command === "run") {
        const child = run([command, "--no-report", ...rest]);
        await once(child, "close");
        expect(child.exitCode).toBe(0);
      } else {
        const done = await runWarden(home, [command, ...rest]);
        expect([line, done.exitCode, done.stderr]).toEqual([line, 0, ""]);
      }
    }
  });
});
