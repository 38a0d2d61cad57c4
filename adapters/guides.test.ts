/** Every block of the adapters' guides: the examples are what the guides show, and run as they say. */
import { spawn } from "node:child_process";
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startTestServer, type TestServer } from "../test/support/server.ts";

const ROOT = join(import.meta.dirname, "..");
const directory = mkdtempSync(join(tmpdir(), "adapter-guides-"));
let server: TestServer;

beforeAll(async () => {
  server = await startTestServer();
  const { dataDir, configDir } = server.home;
  const warden = join(directory, "warden");
  const command = `exec "${process.execPath}" "${ROOT}/cli/main.ts" "$@" --data "${dataDir}" --config-dir "${configDir}"`;
  writeFileSync(warden, `#!/bin/sh\n${command}\n`);
  chmodSync(warden, 0o755);
  await run("warden owner create alice");
});
afterAll(async () => {
  await server?.close();
  server?.home.remove();
  rmSync(directory, { recursive: true, force: true });
});

/** What a shell prints. @throws Error when it fails. */
async function run(script: string, env: Readonly<Record<string, string>> = {}): Promise<string> {
  const PATH = [directory, join(process.execPath, ".."), process.env.PATH ?? ""].join(":");
  const child = spawn("sh", ["-eu", "-c", script], { cwd: ROOT, env: { PATH, HOME: directory, ...env } });
  let shown = "";
  child.stdout.on("data", (part) => {
    shown += part;
  });
  child.stderr.on("data", (part) => {
    shown += part;
  });
  const code = await new Promise((resolve) => child.once("close", resolve));
  if (code !== 0) throw new Error(`${script}: ${shown}`);
  return shown;
}

const guideOf = (name: string) => readFileSync(join(ROOT, "docs/guides", `${name}.md`), "utf8");
const blocksOf = (text: string, language: string): readonly string[] =>
  [...text.matchAll(new RegExp(`^\`\`\`${language}\\n([\\s\\S]*?)^\`\`\`$`, "gm"))].map(
    ([, block = ""]) => block,
  );
/** What each guide answers, in the order in which its blocks of commands come. */
const PARTS = [
  /^# Give your .+ an identity in 5 minutes/m,
  /^## The three questions$/m,
  /^## Stop an agent$/m,
  /^## Put a policy on an MCP tool$/m,
];
const partsOf = (text: string): readonly number[] => PARTS.map((part) => text.search(part));

const examplesOf = (folder: string, names: readonly string[]): readonly string[] =>
  names.map((name) => readFileSync(join(ROOT, "examples", folder, name), "utf8"));

/** Of the MCP server's tool: the record that the scope names was read, and the other one was denied. */
async function expectPolicy(script: string): Promise<void> {
  const shown = await run(script);
  expect(shown).toContain("Record 7 is paid");
  const rows = [...shown.matchAll(/(\w+) +(read:record:\d) /g)].map(([, ...row]) => row);
  expect(rows).toEqual([
    ["success", "read:record:7"],
    ["denied", "read:record:8"],
  ]);
}

describe("a guide", () => {
  it.each(["ai-sdk", "langchain-js", "openai-agents-js", "mastra", "claude-agent-js", "mcp-tools"])(
    "%s has each part",
    (guide) => {
      const places = partsOf(guideOf(guide));
      expect(places).not.toContain(-1);
      expect(places).toEqual(places.toSorted((one, other) => one - other));
    },
  );

  it.each([
    ["ai-sdk", ["use:tool:read_page", "use:tool:delete_page"]],
    ["langchain-js", ["use:tool:read_page", "use:tool:delete_page"]],
    ["openai-agents-js", ["use:tool:read_page", "use:tool:delete_page"]],
    ["mastra", ["use:tool:read_page", "use:tool:delete_page"]],
    ["claude-agent-js", ["use:tool:Bash", "use:tool:Write"]],
  ])("%s shows examples that run, and what they leave in the ledger", async (guide, actions) => {
    const text = guideOf(guide);
    expect(blocksOf(text, "ts")).toEqual(examplesOf(guide, ["agent.ts", "clerk.ts"]));
    const [start = "", questions = "", stop = "", policy = "", ...more] = blocksOf(text, "sh");
    expect(more).toEqual([]);
    expect(await run(start)).toContain("Parcel 7 arrives tomorrow");
    const shown = await run(questions);
    for (const words of [...actions, "denied", "support", "alice"]) expect(shown).toContain(words);
    expect(await run(stop)).toContain("support");
    await expectPolicy(policy);
  });

  it("mcp-tools shows examples that run, and what they leave in the ledger", async () => {
    const text = guideOf("mcp-tools");
    expect(blocksOf(text, "ts")).toEqual(examplesOf("mcp", ["server.ts", "agent.ts", "clerk.ts"]));
    const [start = "", questions = "", stop = "", policy = "", ...more] = blocksOf(text, "sh");
    expect(more).toEqual([]);
    expect(await run(start)).toContain("delete_page and set were refused");
    const shown = await run(questions);
    for (const words of ["call:mcp:clock/now", "call:mcp:files/read_page", "denied", "support", "alice"])
      expect(shown).toContain(words);
    expect(await run(stop)).toContain("support");
    await expectPolicy(policy);
  });

  it("one-process says what happens", async () => {
    const text = guideOf("one-process");
    const [program = "", ...others] = blocksOf(text, "ts");
    expect(others).toEqual([]);
    const file = join(ROOT, "adapters", ".guide-one-process.ts");
    writeFileSync(file, program);
    try {
      const scope = "--scope use:tool:read_page --scope use:tool:write_page --scope use:tool:other";
      const ticket = `env $(warden agent ticket --owner alice --name support ${scope} --ttl 1h)`;
      expect(await run(`${ticket} node ${JSON.stringify(file)}`)).toBe("reader\nagent_mismatch\n");
    } finally {
      rmSync(file);
    }
    const [question = ""] = blocksOf(text, "sh");
    expect(await run(question)).toContain("use:tool:read_page");
  });
});
