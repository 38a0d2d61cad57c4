/** A repository of a stranger's: its configuration hides nothing from a scan and has nothing run. */
import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { readGitHistory } from "./git-history.ts";

let directory: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "warden-git-"));
  git("init", "-q");
  write("first.txt", "key-of-the-first-commit\n");
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

function git(...args: readonly string[]): string {
  const who = ["-c", "user.name=a", "-c", "user.email=a@shop.example"];
  return execFileSync("git", [...who, ...args], { cwd: directory, encoding: "utf8", stdio: "pipe" });
}

function write(name: string, text: string): void {
  writeFileSync(join(directory, name), text);
  git("add", ".");
  git("commit", "-qm", name);
}

async function readAll() {
  const env = { PATH: process.env.PATH, HOME: directory };
  const history = await readGitHistory(directory, { maxCommits: 50, env });
  return { texts: history?.added.map(({ text }) => text), isCut: history?.isCut };
}

describe("the history of a repository", () => {
  test.each([
    ["log.showRoot", "false"],
    ["core.bigFileThreshold", "1"],
    ["diff.noprefix", "true"],
    ["color.ui", "always"],
  ])("is read whole, whatever its configuration says of %s", async (name, value) => {
    git("config", name, value);
    expect(await readAll()).toEqual({ texts: ["key-of-the-first-commit"], isCut: false });
  });

  test("has what a merge itself brought", async () => {
    const main = git("branch", "--show-current").trim();
    git("checkout", "-qb", "side");
    write("side.txt", "side\n");
    git("checkout", "-q", main);
    write("main.txt", "main\n");
    git("merge", "-q", "--no-commit", "side");
    write("merged.txt", "key-of-the-merge\n");
    expect((await readAll()).texts).toContain("key-of-the-merge");
  });

  test("of which a part is missing is fetched from nowhere, and is not whole", async () => {
    const marker = join(directory, "was-run");
    const blob = git("rev-parse", "HEAD:first.txt").trim();
    rmSync(join(directory, ".git", "objects", blob.slice(0, 2), blob.slice(2)));
    for (const [name, value] of [
      ["core.repositoryFormatVersion", "1"],
      ["extensions.partialClone", "origin"],
      ["remote.origin.promisor", "true"],
      ["remote.origin.url", `ext::touch ${marker}`],
      ["protocol.ext.allow", "always"],
    ] as const)
      git("config", name, value);
    expect(await readAll()).not.toMatchObject({ isCut: false });
    expect(existsSync(marker)).toBe(false);
    expect(readdirSync(directory)).not.toContain("was-run");
  });
});
