/** The shell blocks of `docs/guides/questions.md` and `docs/guides/report.md`, in their order, against a real server. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { runWarden } from "../cli/testing.ts";
import { type BundleStory, createBundleStory } from "./support/evidence.ts";
import { shellLinesOf } from "./support/guide.ts";

const FILE = /^(\.\/kept|[\w-]+\.(?:html|md))$/;
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

/** Runs a line of a guide; its files lie in a directory of the test's own. */
async function run(line: string) {
  const words = line.replace("$EVENT", story.eventId).replace("$VKEY", story.vkey).split(" ");
  const [, ...args] = words.map((word) => (FILE.test(word) ? join(home, word) : word));
  const { dataDir, configDir } = story.server.home;
  return runWarden(home, [...args, "--data", dataDir, "--config-dir", configDir]);
}

async function must(line: string): Promise<string> {
  const { exitCode, stdout, stderr } = await run(line);
  if (exitCode !== 0) throw new Error(`${line}: ${stdout}${stderr}`);
  return stdout;
}

describe("docs/guides/questions.md", () => {
  it("answers each question, and proves what is proven", async () => {
    const lines = shellLinesOf("questions.md");
    expect(lines).toHaveLength(6);
    const answers: string[] = [];
    for (const line of lines) answers.push(await must(line));
    const [owner = "", policy = "", job = "", denied = "", reads = "", revoked = ""] = answers;
    for (const answer of [owner, policy, job]) expect(answer).toContain(story.eventId);
    expect(job).toContain("Proof: verified here. 8 records of 3 events");
    expect(job.indexOf(story.eventId)).toBeLessThan(job.indexOf(story.deniedId));
    expect(denied).toContain(story.deniedId);
    expect(denied).not.toContain(story.eventId);
    expect(reads).toContain(story.eventId);
    expect(JSON.parse(revoked).events).toHaveLength(1);
  });
});

describe("docs/guides/report.md", () => {
  it("reports on the running server and on an export, and proves an event", async () => {
    const lines = shellLinesOf("report.md");
    expect(lines).toHaveLength(5);
    for (const line of lines) await must(line);
    const read = (name: string) => readFileSync(join(home, name), "utf8");
    expect(read("report.html")).toContain("Regulation (EU) 2024/1689");
    expect(read("report.html")).toContain(story.deniedId);
    expect(read("act.md")).toContain("### Art. 19(1): Logs are kept for at least six months");
    expect(read("act.md")).not.toContain("OWASP");
    expect(read("again.html")).toContain("the log&#39;s key was given");
  });

  it("gives the same report of the same log and range, and never writes over one", async () => {
    const first = await must("warden report ./kept --format html");
    expect(await must("warden report ./kept --format html")).toBe(first);
    const { exitCode } = await run("warden report ./kept --out again.html");
    expect(exitCode).not.toBe(0);
    expect(readFileSync(join(home, "again.html"), "utf8")).toContain("the log&#39;s key was given");
  });

  it("counts what happened in the range and nothing else", async () => {
    const countOf = async (flags: string, label: string): Promise<unknown> => {
      const report = JSON.parse(await must(`warden report ./kept --json${flags}`));
      const controls = report.frameworks.flatMap(
        ({ controls }: { controls: readonly unknown[] }) => controls,
      );
      const figures = controls.flatMap(({ figures }: { figures: readonly unknown[] }) => figures);
      return figures.find((figure: { readonly label: string }) => figure.label === label).count;
    };
    expect(await countOf("", "actions denied")).toBe(1);
    expect(await countOf("", "revocations")).toBe(1);
    expect(await countOf("", "actions by agents that other agents made")).toBe(3);
    expect(
      await countOf(" --until 2020-01-01T00:00:00Z --since 2019-01-01T00:00:00Z", "actions denied"),
    ).toBe(0);
    const { exitCode, stderr } = await run(
      "warden report ./kept --since 2020-01-01T00:00:00Z --until 2020-01-01T00:00:00Z",
    );
    expect([exitCode, stderr]).toEqual([expect.any(Number), expect.stringContaining("(request_malformed)")]);
    expect(exitCode).not.toBe(0);
  });

  it("is not made of a log with damage", async () => {
    const directory = join(home, "kept", "tile", "entries");
    const [name = ""] = readdirSync(directory).filter((file) => file.endsWith(".p"));
    const [width = ""] = readdirSync(join(directory, name));
    const file = join(directory, name, width);
    const bytes = readFileSync(file);
    bytes[400] = (bytes[400] ?? 0) ^ 1;
    writeFileSync(file, bytes);
    const { exitCode, stdout, stderr } = await run("warden report ./kept");
    expect([exitCode, stdout]).toEqual([1, ""]);
    expect(stderr).toContain("(ledger_corrupt)");
  });
});
