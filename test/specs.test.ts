/**
 * `docs/specs.md` is true: every requirement that it has to list is there, and every test that it names exists.
 *
 * By text: it reads the named files and looks for the names. That the tests pass is what running them shows.
 */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";

const ROOT = join(import.meta.dirname, "..");
/** Behind it stands a case of a test that is written once for many. */
const CASE = " › ";
const NONE = "none: ";
/** A reason is a sentence, not a shrug. */
const MIN_REASON_CHARS = 40;

interface Row {
  readonly id: string;
  readonly file: string;
  readonly test: string;
}

const rows: readonly Row[] = readFileSync(join(ROOT, "docs", "specs.md"), "utf8")
  .split("\n")
  .filter((line) => line.startsWith("| ") && !line.startsWith("| row |") && !line.startsWith("| --- |"))
  .map((line) => {
    const [id = "", , file = "", test = ""] = line.slice(2, -2).split(" | ");
    return { id, file: file.trim(), test };
  });
const tested = rows.filter(({ test }) => !test.startsWith(NONE));

const numbers = (first: number, last: number) =>
  Array.from({ length: last - first + 1 }, (_, index) => first + index);
const prefixed = (prefix: string, wanted: readonly number[]) => wanted.map((number) => `${prefix}${number}`);

/** What the standards mark as MUST, wholly or in part, the ledger's checklist, the protocols' rows and traps, and the pitfalls of scopes. */
const REQUIRED: readonly string[] = [
  ...prefixed("ID-", [...numbers(1, 14), 16, 17]),
  ...prefixed("X-", [...numbers(1, 10), ...numbers(12, 16)]),
  ...prefixed("J-", [1, 2, 3, ...numbers(5, 10), 13]),
  ...prefixed("B-", [...numbers(1, 4), 6, 7, 8]),
  ...prefixed("E-", numbers(1, 8)),
  ...prefixed("A-", numbers(1, 15)),
  ...prefixed("W-", [1, 2, 3, 5, 7, 8, 9]),
  ...prefixed("WPT-", numbers(1, 9)),
  ...prefixed("CAT-", [1, 2]),
  ...prefixed("JAG-", numbers(1, 13)),
  ...prefixed("CIMD-", numbers(1, 8)),
  // Clients of the Workload API: a row may stand for several cases of the catalogue, and says which.
  ...prefixed("EP-", [1, 2, 4, 5, 7, 8]),
  ...prefixed("WA-", numbers(1, 4)),
  ...["XS-1", "XS-4", "XV-1", "XV-5", "XF-1", "JV-1", "JV-2", "JV-3", "JB-1", "JB-4", "JB-5", "JF-1"],
  ...prefixed("", numbers(1, 47)),
  ...prefixed("O-", numbers(1, 20)),
  ...prefixed("WPT-", numbers(1, 4)),
  ...prefixed("Z-", numbers(1, 12)),
  ...prefixed("MCP-", numbers(1, 16)),
  ...prefixed("A2A-", numbers(1, 9)),
  ...prefixed("EV-", numbers(1, 9)),
  ...prefixed("EX-", numbers(1, 9)),
  ...prefixed("L-", numbers(1, 8)),
  ...prefixed("H-", numbers(1, 6)),
  ...prefixed("T-", numbers(1, 9)),
  ...prefixed("V-", numbers(1, 35)),
  ...["wildcards", "confusables", "empty", "proto", "duplicates", "caps"].map((pitfall) => `S-${pitfall}`),
  ...["der", "id", "jwt", "dsse", "checkpoint", "json"].map((parser) => `P-${parser}`),
];

/** Whether a file has a test (`it` or `test`) of that name, written out or as the title of a table of cases that holds the case. */
function hasTest(text: string, test: string): boolean {
  const [name = "", ...cases] = test.split(CASE);
  const calls = text.replaceAll(/\(\s+"/g, '("');
  const isWritten = calls.includes(`t("${name}"`) || calls.includes(`)("${name}"`);
  return isWritten && cases.every((one) => text.includes(one));
}

describe("docs/specs.md", () => {
  it("lists every requirement that it has to", () => {
    const listed = new Set(rows.map(({ id }) => id));
    expect(REQUIRED.filter((id) => !listed.has(id))).toEqual([]);
    expect(listed.size).toBeGreaterThanOrEqual(REQUIRED.length);
  });

  it("names only tests that are there", () => {
    expect(tested.length).toBeGreaterThan(REQUIRED.length);
    const missing = tested.filter(({ file, test }) => {
      const path = join(ROOT, file);
      return !existsSync(path) || test === "" || !hasTest(readFileSync(path, "utf8"), test);
    });
    expect(missing).toEqual([]);
  });

  it("says why where there is no test, and nearly everywhere there is one", () => {
    const without = rows.filter(({ test }) => test.startsWith(NONE));
    expect(without.filter(({ test }) => test.length < MIN_REASON_CHARS)).toEqual([]);
    expect(without.map(({ id }) => id)).toEqual([]);
  });

  it("names each test of a row once", () => {
    const lines = rows.map(({ id, file, test }) => `${id} ${file} ${test}`);
    expect(lines.filter((line, index) => lines.indexOf(line) !== index)).toEqual([]);
  });
});
