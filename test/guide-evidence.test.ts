/** The shell blocks of `docs/guides/evidence.md` and `docs/guides/exports.md`, in their order, against a real server. */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { runWarden } from "../cli/testing.ts";
import { sinkSettings } from "../server/sinks/config.ts";
import { type BundleStory, createBundleStory } from "./support/evidence.ts";
import { shellLinesOf } from "./support/guide.ts";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const VERIFIER = join(ROOT, "server/evidence/verifiers/verify.mjs");
const home = mkdtempSync(join(tmpdir(), "warden-guide-"));
let story: BundleStory;

beforeAll(async () => {
  story = await createBundleStory();
});
afterAll(async () => {
  await story.server.close();
  story.server.home.remove();
  rmSync(home, { recursive: true, force: true });
});

const FILE = /^(\.\/kept\S*|[\w.-]+\.(?:twb|jsonl|csv))$/;

/** Runs a line of a guide; its files lie in a directory of the test's own. */
async function run(line: string): Promise<string> {
  const [root = ""] = JSON.parse(story.bundleText).keys.find(
    ({ use }: { use: string }) => use === "x509-svid",
  ).x5c;
  const words = line
    .replace("$EVENT", story.eventId)
    .replace("$VKEY", story.vkey)
    .replace("$ROOT", createHash("sha256").update(Buffer.from(root, "base64")).digest("hex"))
    .split(" ")
    .map((word) => (FILE.test(word) ? join(home, word) : word));
  const [program, ...args] = words;
  if (program === "node")
    return execFileSync(process.execPath, [VERIFIER, ...args.slice(1)], { encoding: "utf8" });
  const { dataDir, configDir } = story.server.home;
  const ran = await runWarden(home, [...args, "--data", dataDir, "--config-dir", configDir]);
  if (ran.exitCode !== 0) throw new Error(`${line}: ${ran.stdout}${ran.stderr}`);
  return ran.stdout;
}

describe("docs/guides/evidence.md", () => {
  it("makes bundles and verifies them, with our program and with one that shares nothing with it", async () => {
    const lines = shellLinesOf("evidence.md");
    expect(lines.length).toBe(11);
    let shown = "";
    for (const line of lines) shown += await run(line);
    for (const words of [
      "Verified: 1 event(s)",
      "who authorized it",
      "as you hold it.",
      '"verified": true',
      "VERIFIED\n",
      "was revoked at epoch 1",
    ])
      expect(shown).toContain(words);
  });

  it("refuses to verify without anchors, against others, and to overwrite a bundle", async () => {
    const file = join(home, "payment.twb");
    const { dataDir } = story.server.home;
    const missing = await runWarden(home, ["evidence", "verify", file, "--vkey", story.vkey]);
    expect([missing.exitCode, missing.stderr]).toEqual([2, expect.stringContaining("--bundle")]);
    const other = await runWarden(home, ["evidence", "verify", file, "--vkey", story.vkey, "--root", "00"]);
    expect([other.exitCode, other.stderr]).toEqual([1, expect.stringContaining("is not verified")]);
    const again = ["evidence", "make", "--event", story.eventId, "--out", file, "--data", dataDir];
    expect((await runWarden(home, again)).exitCode).toBe(2);
  });
});

describe("docs/guides/exports.md", () => {
  it("shows settings that the server takes", () => {
    const text = readFileSync(join(ROOT, "docs/guides/exports.md"), "utf8");
    const [, block = ""] = /^```json\n([\s\S]*?)^```$/m.exec(text) ?? [];
    const kinds = sinkSettings.parse(JSON.parse(block).sinks).map(({ kind }) => kind);
    expect(kinds).toEqual(["webhook", "webhook", "syslog"]);
  });

  it("writes each format and follows the log from any cursor", async () => {
    const lines = shellLinesOf("exports.md");
    expect(lines.length).toBe(6);
    let shown = "";
    for (const line of lines) shown = await run(line);
    const read = (name: string) => readFileSync(join(home, name), "utf8").trimEnd().split("\n");
    expect(read("events.csv")[0]).toMatch(/^event_id,kind,timestamp/);
    expect(read("events.jsonl").map((line) => JSON.parse(line).event_id)).toContain(story.eventId);
    expect(read("refusals.jsonl").map((line) => JSON.parse(line).data.event_id)).toEqual([story.deniedId]);
    expect(new Set(read("events.ocsf.jsonl").map((line) => JSON.parse(line).class_uid))).toEqual(
      new Set([6003, 3004, 3003]),
    );
    expect(JSON.parse(read("events.otlp.jsonl")[0] ?? "").resourceLogs).toHaveLength(1);
    const streamed = shown
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line));
    const own = streamed.filter(({ event_id }) => event_id === story.eventId);
    expect(own.map(({ outcome }) => outcome)).toEqual(["pending", "success"]);
    const rest = await run(`warden ledger tail --since ${own[0].cursor} --no-follow --json`);
    expect(JSON.parse(rest.split("\n")[0] ?? "").cursor).toBe(own[1].cursor);
    expect(rest).not.toContain("/v1/ledger/tail");
  });

  it("follows until as many events came as were asked for", async () => {
    const following = run("warden ledger tail --count 1 --json");
    const settled = following.then((text) => JSON.parse(text).kind);
    let kind: string | undefined;
    void settled.then((found) => {
      kind = found;
    });
    await expect
      .poll(
        async () => {
          await run("warden owner create bob").catch(() => undefined);
          return kind;
        },
        { timeout: 25_000 },
      )
      .toBeDefined();
    expect(kind).toMatch(/^(owner|refuse|read)$/);
  });
});
