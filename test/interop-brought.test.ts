/** A judge whose program has to be brought is never counted as having judged without it, and is not believed blindly. */
import { chmodSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { createDomain } from "../interop/domain.ts";
import { hear } from "../interop/hear.ts";
import { closeLab, createLab, JudgeUnavailable, type Lab } from "../interop/judge.ts";
import { createRandom } from "../interop/random.ts";
import { createFormCases } from "../interop/scc-cases.ts";
import { sccJudge } from "../interop/scc-judge.ts";
import { suiteJudge } from "../interop/suite-judge.ts";

let lab: Lab;
const lines: string[] = [];

beforeEach(() => {
  lab = createLab(join(import.meta.dirname, ".."), createRandom(1));
  lines.length = 0;
  vi.spyOn(console, "log").mockImplementation((line: string) => void lines.push(line));
});

afterEach(() => {
  vi.restoreAllMocks();
  vi.unstubAllEnvs();
  closeLab(lab);
});

/** Something that answers in the form of the judge, and looks at nothing. */
function bring({ status, code }: { readonly status: string; readonly code: number }): void {
  const answer = {
    summary: { passed: 1 - code, failed: code, warnings: 0 },
    assertions: [{ status, section: "1", text: "a clause" }],
  };
  const program = join(lab.scratch, "brought");
  writeFileSync(
    program,
    `#!/bin/sh\n[ "$1" = --version ] && exit 0\necho '${JSON.stringify(answer)}'\nexit ${code}\n`,
  );
  chmodSync(program, 0o700);
  vi.stubEnv("SCC_BIN", program);
}

describe("a judge whose program has to be brought", () => {
  it.each(["true", ""])("is a loud skip where nobody did, with CI=%j", async (ci) => {
    vi.stubEnv("CI", ci);
    vi.stubEnv("SCC_BIN", "");
    expect(await hear(sccJudge, lab, 2)).toBe("skipped");
    expect(lines).toEqual([expect.stringMatching(/^SKIP scc: NOT JUDGED, set SCC_BIN /)]);
  });

  it("is a failure in CI where the named program does not run", async () => {
    vi.stubEnv("CI", "true");
    vi.stubEnv("SCC_BIN", join(lab.scratch, "nothing-here"));
    expect(await hear(sccJudge, lab, 1)).toBe("failed");
    expect(lines.join("\n")).toContain("SCC_BIN names no program that runs");
  });

  it.each([
    { says: "yes to everything", status: "pass", code: 0 },
    { says: "no to everything", status: "fail", code: 1 },
  ])("fails when it says $says", async ({ status, code }) => {
    bring({ status, code });
    expect(await hear(sccJudge, lab, 1)).toBe("failed");
    expect(lines.join("\n")).toMatch(/expected (accept|refuse)/);
  });

  it("fails when its exit code and its report differ", async () => {
    bring({ status: "fail", code: 0 });
    expect(await hear(sccJudge, lab, 1)).toBe("failed");
    expect(lines.join("\n")).toContain("exit code 0 with 1 of 1 clauses failed");
  });
});

/** What the client suite would write of these cases; nothing was run. */
function bringSuite(results: readonly object[], more: object = {}, code = 0): void {
  const program = join(lab.scratch, "brought");
  const answer = join(lab.scratch, "answer.json");
  writeFileSync(answer, JSON.stringify({ results, ...more }));
  const find = 'while [ "$1" != --results-file ]; do shift; done';
  writeFileSync(program, `#!/bin/sh\n${find}\ncp ${answer} "$2"\nexit ${code}\n`);
  chmodSync(program, 0o700);
  vi.stubEnv("SUITE_BIN", program);
}

/** As many cases as the catalogue has, all passed but the one that we do otherwise. */
function casesOf(status = "PASS"): object[] {
  const names = Array.from({ length: 82 }, (_, index) =>
    index % 2 === 0 ? `XV-8/${index}` : `XV-1/${index}`,
  );
  return [...names.map((name) => ({ name, status })), { name: "JB-5/missing-use", status: "FAIL" }];
}

describe("the judge of the client", () => {
  it.each(["true", ""])("is a loud skip where nobody brought its program, with CI=%j", async (ci) => {
    vi.stubEnv("CI", ci);
    vi.stubEnv("SUITE_BIN", "");
    expect(await hear(suiteJudge, lab, 2)).toBe("skipped");
    expect(lines).toEqual([
      expect.stringMatching(/^SKIP spiffe-conformance-test-suite: NOT JUDGED, set SUITE_BIN /),
    ]);
  });

  it("is a failure in CI where the named program does not run", async () => {
    vi.stubEnv("CI", "true");
    vi.stubEnv("SUITE_BIN", join(lab.scratch, "nothing-here"));
    expect(await hear(suiteJudge, lab, 1)).toBe("failed");
    expect(lines.join("\n")).toContain("SUITE_BIN names no program that runs");
  });

  it("counts what the SDK has to refuse and what it has to take, and the one that we do otherwise", async () => {
    bringSuite(casesOf());
    expect(await hear(suiteJudge, lab, 1)).toBe("passed");
    expect(lines.join("\n")).toContain("41 accepted, 42 refused, 0 wrong; 83 cases, 1 exception");
  });

  it.each([
    {
      what: "a case that failed",
      results: [...casesOf(), { name: "WA-1", status: "FAIL", message: "old" }],
      says: "WA-1: expected accept; FAIL: old",
    },
    {
      what: "one that was left out",
      results: [...casesOf(), { name: "WA-1", status: "SKIP" }],
      says: "WA-1: expected accept; SKIP",
    },
    {
      what: "one that could not be run",
      results: [...casesOf(), { name: "XV-9/client", status: "ERROR" }],
      says: "XV-9/client: expected refuse; ERROR",
    },
    {
      what: "an exception that is none any more",
      results: [...casesOf().slice(0, 82), { name: "JB-5/missing-use", status: "PASS" }],
      says: "JB-5/missing-use: expected refuse; PASS",
    },
    { what: "too few cases", results: casesOf().slice(1), says: "the suite ran 82 cases only" },
    {
      what: "a part of the cases",
      results: casesOf(),
      more: { partial: true },
      says: "the suite ran 83 cases only",
    },
    {
      what: "tokens that the endpoint validated",
      results: [...casesOf(), { name: "JV-1", status: "PASS", delegated: true }],
      says: "the suite judged itself",
    },
    { what: "a run that ended otherwise", results: casesOf(), code: 1, says: "the suite ended with 1" },
  ])("fails by $what", async ({ results, more, code, says }) => {
    bringSuite(results, more, code);
    expect(await hear(suiteJudge, lab, 1)).toBe("failed");
    expect(lines.join("\n")).toContain(says);
  });
});

it("its broken artifacts are broken: no two cases are the same artifact, and each kind is judged both ways", () => {
  const now = Math.floor(Date.now() / 1000);
  const cases = createFormCases(createDomain("acme.test", now), createDomain("other.test", now), now);
  const seen = new Map(cases.map(({ kind, artifact }) => [`${kind} ${String(artifact)}`, kind]));
  expect(seen.size).toBe(cases.length);
  for (const kind of seen.values()) {
    const expected = new Set(cases.filter((one) => one.kind === kind).map((one) => one.expected));
    expect([...expected].sort(), kind).toEqual(["accept", "refuse"]);
  }
});

describe("a judge that we install ourselves", () => {
  it.each([
    { ci: "true", outcome: "failed" },
    { ci: "", outcome: "skipped" },
  ])("is $outcome with CI=$ci where it cannot be had", async ({ ci, outcome }) => {
    vi.stubEnv("CI", ci);
    const run = () => Promise.reject(new JudgeUnavailable("not to be had"));
    expect(await hear({ name: "other", run }, lab, 1)).toBe(outcome);
  });
});
