/** The table of frameworks (`adapters/README.md`) says what the lockfiles say, and names what a reader can open. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";

const ROOT = join(import.meta.dirname, "..");
const read = (path: string): string => readFileSync(join(ROOT, path), "utf8");
/** Needed by the frameworks' programs, and no framework. */
const NOT_A_FRAMEWORK = new Set(["zod"]);
const PYTHON_GROUPS = ["crews", "main", "mcp1"].map((group) => `python/frameworks/${group}`);

interface Row {
  readonly name: string;
  readonly pinned: string;
  readonly newest: string;
  readonly paths: readonly string[];
}

const rows: readonly Row[] = [
  ...read("adapters/README.md").matchAll(
    /^\| [^|]+ \| (npm|PyPI) `([^`]+)` \| ([^|]+) \| ([^|]+) \|(.*)\|$/gm,
  ),
].map(([, registry, name, pinned = "", newest = "", links = ""]) => ({
  name: `${registry} ${name}`,
  pinned,
  newest,
  paths: [...links.matchAll(/`([^`]+)`/g)].map(([, path = ""]) => path),
}));

/** What `./dev adapters` and `./dev frameworks` install of what they name themselves. */
function locked(): ReadonlyMap<string, string> {
  const { packages } = JSON.parse(read("adapters/frameworks/package-lock.json"));
  const named = Object.keys(packages[""].dependencies).filter((name) => !NOT_A_FRAMEWORK.has(name));
  const npm = named.map((name) => [`npm ${name}`, packages[`node_modules/${name}`].version] as const);
  const python = PYTHON_GROUPS.flatMap((group) => {
    // A tool's line has its version; a framework's is the newest that can be installed.
    const wanted = [...read(`${group}/requirements.in`).matchAll(/^([a-z-]+)(?:\[[a-z]+\])?$/gm)];
    const lock = read(`${group}/requirements.txt`);
    return wanted.map(([, name = ""]) => {
      const [, version = "absent"] = new RegExp(`^${name}==(\\S+)`, "m").exec(lock) ?? [];
      return [`PyPI ${name}`, version] as const;
    });
  });
  return new Map([...npm, ...python]);
}

describe("the table of frameworks", () => {
  it("has a row for each framework that is installed, at the version of its lockfile", () => {
    expect(rows.length).toBeGreaterThan(15);
    expect(new Map(rows.map(({ name, pinned }) => [name, pinned]))).toEqual(locked());
  });

  it("says of each version that is not the newest why", () => {
    const others = rows.filter(({ pinned, newest }) => newest !== pinned);
    for (const { newest } of others) expect(newest).toMatch(/^[\d.]+, not (installable|yet taken)$/);
    for (const { newest } of others)
      expect(read("adapters/README.md")).toMatch(
        new RegExp(`${newest.split(",")[0]} (asks for|came out after)`),
      );
  });

  it("leads to a guide and an example of each", () => {
    for (const { name, paths } of rows) {
      expect([name, paths.length]).toEqual([name, 2]);
      for (const path of paths) expect([path, existsSync(join(ROOT, path))]).toEqual([path, true]);
    }
  });
});
