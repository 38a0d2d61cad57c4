/** The report of made-up results: what it says, what it refuses, and that nothing is there which was not run. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { keepResult, RESULT_NAMES } from "../keep.ts";
import { sectionsOf, WITHOUT_PEER } from "./claims.ts";
import { type Found, readResults } from "./results.ts";
import { writeReport } from "./write.ts";

const MACHINE = {
  cpu: "Some CPU",
  cores: 2,
  memory_gib: 8,
  os: "Linux",
  load: 1.2,
  at: "2026-01-02T03:04:05.000Z",
};
const KEPT = {
  command: "./dev bench tessera --quick",
  machine: MACHINE,
  ended: { load: 1.4, at: "2026-01-02T03:05:05.000Z" },
  versions: { trustwarden: "0.1.0", tessera: "1.0.4" },
};
const TESSERA = {
  ...KEPT,
  rows: [
    {
      mode: "durable",
      ours: { rate: 30_000, p50: 10, p99: 100 },
      tessera: { rate: 6_000, p50: 150, p99: 250 },
      ratio: 5.1,
    },
  ],
};
const SPIRE = {
  ...KEPT,
  figures: [
    { what: "issued", unit: "1/s", ours: { "per second": 200 }, theirs: { "per second": 4_000 } },
    { what: "fetch", unit: "ms", ours: { count: 9, p50: 0.5 }, theirs: { count: 8, p50: 1 } },
  ],
};
const GATEWAY = {
  ...KEPT,
  results: [
    { target: "direct", form: "json", rate: 100, achieved: 100, p50: 0.3, p99: 1 },
    { target: "trustwarden", form: "json", rate: 100, achieved: 50, p50: 2.5, p99: 19 },
  ],
};

describe("the report", () => {
  it("has each claim beside its peer, with ratio, machine, load, versions, command and date", () => {
    const text = writeReport({ tessera: TESSERA, spire: SPIRE });
    expect(text).toContain("| durable | 30,000/s | 10 / 100 ms | 6,000/s | 150 / 250 ms | 5.10 |");
    expect(text).toContain("| issued, per second (1/s) | 200 | 4,000 | 0.0500 |");
    expect(text).toContain("| fetch, p50 (ms) | 0.5 | 1 | 0.500 |");
    expect(text).not.toContain("fetch, count");
    expect(text).toContain("- Command: `./dev bench tessera --quick`");
    expect(text).toContain("- Machine: Some CPU, 2 cores, 8 GiB, Linux");
    expect(text).toContain("- Load: 1.2 at the beginning, 1.4 at the end");
    expect(text).toContain("- Versions: trustwarden 0.1.0, tessera 1.0.4");
    expect(text).toContain("- Date: 2026-01-02T03:04:05.000Z");
  });

  it("names what was not run, and gives no figure of it", () => {
    const text = writeReport({ tessera: TESSERA });
    expect(text.match(/\*\*not run\*\*: no kept result/g)).toHaveLength(RESULT_NAMES.length - 1);
    expect(text).toContain("Identities, beside SPIRE: **not run**: no kept result (`./dev bench spire`)");
    expect(text).not.toContain("## Identities");
  });

  it("leaves a peer out that did not take part, and has no ratio to it", () => {
    const text = writeReport({ gateway: GATEWAY });
    expect(text).toContain("| json, 100/s asked | 50/s, 2.5 / 19 ms | 100/s, 0.3 / 1 ms | 0.500 |");
    expect(text).not.toContain("ratio to LiteLLM");
  });

  it("has our decisions beside the answers of OPA's server", () => {
    const [ours, opa] = [
      { rate: 200, p50: 4, p99: 9 },
      { rate: 2_000, p50: 0.4, p99: 1 },
    ];
    const text = writeReport({ opa: { ...KEPT, rows: [{ at_once: 1, ours, opa, ratio: 0.1 }] } });
    expect(text).toContain("| 1 | 200/s | 4 / 9 ms | 2,000/s | 0.4 / 1 ms | 0.100 |");
  });

  it("says how many calls a gateway refused", () => {
    const results = GATEWAY.results.map((row) => ({
      ...row,
      refused: row.target === "trustwarden" ? 168 : 0,
    }));
    const text = writeReport({ gateway: { ...GATEWAY, results } });
    expect(text).toContain("| 50/s, 2.5 / 19 ms, 168 refused | 100/s, 0.3 / 1 ms | 0.500 |");
  });

  it("says when a machine was not quiet, at the beginning or at the end, and that it was when it was", () => {
    const quiet: Found = { tessera: TESSERA };
    const late: Found = { tessera: { ...TESSERA, ended: { load: 9, at: MACHINE.at } } };
    const early: Found = { tessera: { ...TESSERA, machine: { ...MACHINE, load: 9 } } };
    expect(writeReport(quiet)).toContain("The machine was quiet");
    for (const busy of [late, early])
      expect(writeReport(busy)).toContain("**1 of 1 were not made on a quiet machine**");
  });

  it("says of an older result what it did not keep", () => {
    const text = writeReport({ tessera: { machine: MACHINE, rows: TESSERA.rows } });
    expect(text).toContain("- Command: not kept by the run");
    expect(text).toContain("- Load: 1.2 at the beginning, not kept at the end");
    expect(text).toContain("- Versions: not kept by the run");
  });

  it("of nothing is an error", () => {
    expect(() => writeReport({})).toThrow("nothing was run");
  });
});

describe("kept results", () => {
  let directory: string;
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), "bench-claims-"));
  });
  afterEach(() => rmSync(directory, { recursive: true }));

  it("are read as they were kept, with what the run was called and how busy the machine was at its end", () => {
    keepResult("tessera", { machine: MACHINE, rows: [] }, directory);
    const { tessera } = readResults(directory, RESULT_NAMES);
    expect(tessera?.command).toMatch(/^\.\/dev bench tessera/);
    expect(tessera?.ended?.load).toBeGreaterThanOrEqual(0);
    expect(tessera?.machine).toEqual(MACHINE);
  });

  it("that are none are refused, and not reported as not run", () => {
    writeFileSync(join(directory, "spire.json"), "{}");
    expect(() => readResults(directory, RESULT_NAMES)).toThrow("spire.json is no result");
    writeFileSync(join(directory, "spire.json"), "{");
    expect(() => readResults(directory, RESULT_NAMES)).toThrow(SyntaxError);
  });
});

describe("bench/REPORT.md", () => {
  it("says in every section where, when and with what load it was measured", () => {
    const text = readFileSync(join(import.meta.dirname, "..", "REPORT.md"), "utf8");
    const sections = text
      .split("\n## ")
      .slice(1)
      .filter((section) => !section.startsWith("Not run"));
    expect(sections.length).toBeGreaterThan(0);
    for (const section of sections)
      for (const name of ["Command", "Machine", "Load", "Versions", "Date"])
        expect(section).toContain(`\n- ${name}: `);
  });

  it("has every section, or says that it was not run, and every claim without its peer", () => {
    const text = readFileSync(join(import.meta.dirname, "..", "REPORT.md"), "utf8");
    for (const { title } of sectionsOf({})) expect(text).toContain(title);
    for (const line of WITHOUT_PEER) expect(text).toContain(`\n- ${line}\n`);
  });
});
