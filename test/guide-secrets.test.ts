/** The shell blocks of `docs/guides/secrets.md`, in their order, against a real server. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { runWarden } from "../cli/testing.ts";
import { startTestServer, type TestServer } from "./support/server.ts";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const GUIDE = readFileSync(join(ROOT, "docs/guides/secrets.md"), "utf8");
const BLOCKS = [...GUIDE.matchAll(/^```sh\n([\s\S]*?)^```$/gm)].map(([, block = ""]) => block);

const FILES = ["key.txt", "next.txt", "crm.json", ".env"];

const home = mkdtempSync(join(tmpdir(), "warden-guide-"));
let server: TestServer;

beforeAll(async () => {
  server = await startTestServer();
});
afterAll(async () => {
  await server.close();
  server.home.remove();
  rmSync(home, { recursive: true, force: true });
});

/** One line of the guide: `warden` in this process, whatever else it is in a shell. */
async function run(line: string): Promise<string> {
  if (!line.startsWith("warden ")) return execFileSync("sh", ["-c", line], { cwd: home, encoding: "utf8" });
  const words = execFileSync("sh", ["-c", `printf '%s\\n' ${line}`], { cwd: home, encoding: "utf8" });
  const [, ...args] = words.trimEnd().split("\n");
  const { dataDir, configDir } = server.home;
  // The program runs here and not in the reader's directory.
  const placed = args.map((word) => (FILES.includes(word) ? join(home, word) : word));
  const ran = await runWarden(home, [...placed, "--data", dataDir, "--config-dir", configDir]);
  if (ran.exitCode !== 0) throw new Error(`${line}: ${ran.stderr}`);
  return ran.stdout;
}

test("every block of the guide does what it says, and shows no value", async () => {
  expect(BLOCKS.length).toBeGreaterThan(5);
  for (const [, name = "", json = ""] of GUIDE.matchAll(/^```json file=(\S+)\n([\s\S]*?)^```$/gm)) {
    writeFileSync(join(home, name), json);
  }
  let shown = "";
  for (const line of BLOCKS.flatMap((block) => block.trim().split("\n"))) shown += await run(line);
  for (const value of ["sk-live-Zx81plk09", "sk-live-next-Ab34", "sk-proj-Ab12Cd34Ef56"])
    expect(shown).not.toContain(value);
  expect(shown).toContain("It goes to: models (https://api.model.example).");
  expect(shown).toMatch(/\.env:1 +openai-api-key +the form of a known credential +kept/);
  expect(shown).toMatch(/Plant it; it is shown this once: cnry_/);
});
