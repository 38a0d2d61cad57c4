/** A scan that a bound ended early, of whatever kind, does not say that all is well. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { scan } from "./scan.ts";

let home: string;

beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), "warden-scan-"));
});
afterEach(() => rmSync(home, { recursive: true, force: true }));

async function scanOf(text: string) {
  writeFileSync(join(home, ".mcp.json"), text);
  const bounds = { hasHistory: false, maxCommits: 0, pids: [], timeoutMs: 60_000 };
  const place = { paths: [home], home, directory: home, env: {} };
  return scan({ ...place, ...bounds, nowMs: () => 0, onProgress: () => undefined });
}

test.each([
  ["deeper than is read", `{"a": ${"[".repeat(80)}${"]".repeat(80)}, "password": "hunter2hunter2"}`],
  ["with more strings than are read", `[${'"",'.repeat(100_001)}{"password": "hunter2hunter2"}]`],
])("a configuration %s is not looked at whole", async (_, text) => {
  expect(await scanOf(text)).toMatchObject({ findings: [], isComplete: false });
});

test("another one is, and what stands in it is found", async () => {
  const text = `{"a": ${"[".repeat(60)}${"]".repeat(60)}, "password": "hunter2hunter2"}`;
  expect(await scanOf(text)).toMatchObject({ findings: [{ name: "password" }], isComplete: true });
});
