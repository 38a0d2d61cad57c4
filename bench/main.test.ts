import { execFile } from "node:child_process";
import { join } from "node:path";
import { describe, expect, it } from "vitest";

interface Said {
  readonly code: number | string | null | undefined;
  readonly out: string;
  readonly error: string;
}

function bench(...args: readonly string[]): Promise<Said> {
  return new Promise((resolve) => {
    execFile(process.execPath, [join(import.meta.dirname, "main.ts"), ...args], (failure, out, error) =>
      resolve({ code: failure === null ? 0 : failure.code, out, error }),
    );
  });
}

describe("./dev bench", () => {
  it("says how a benchmark is used when it is asked, and measures nothing", async () => {
    const [all, one] = await Promise.all([bench("--help"), bench("tessera", "--json", "--help")]);
    expect([all.code, one.code]).toEqual([0, 0]);
    expect(all.out).toMatch(/^`\.\/dev bench`: [\s\S]+--only ID,ID/);
    expect(one.out).toMatch(/^`\.\/dev bench tessera`: [\s\S]+\[--quick\] \[--json\]/);
  });

  it("answers an option that nobody knows, and a benchmark that is not there, in one line and by the exit code", async () => {
    const [option, name, only, claim] = await Promise.all([
      bench("scale", "--sed", "2"),
      bench("nonsense"),
      bench("--only", "sign,nonsense"),
      bench("report", "--measure", "--only", "nonsense", "--to", "/dev/null"),
    ]);
    expect([option.code, name.code, only.code, claim.code]).toEqual([2, 2, 2, 2]);
    expect(option.error).toMatch(/^bench: Unknown option '--sed'[\s\S]+\[--seed 1\]/);
    expect(name.error).toMatch(
      /^bench: there is no benchmark 'nonsense'\. There are: python, [\s\S]+soak\.\n$/,
    );
    expect(only.error).toMatch(/^bench: There is no benchmark 'nonsense'\. There are: sign, /);
    expect(claim.error).toMatch(/^bench: The report has no benchmark 'nonsense'\. It has: report, /);
    expect([option, name, only].map(({ error }) => error.includes("    at "))).toEqual([false, false, false]);
  });
});
