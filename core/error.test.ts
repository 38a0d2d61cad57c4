import { globSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { ERRORS, isErrorCode, publicError, TrustWardenError } from "./error.ts";

describe("errors", () => {
  it("carries its code and status, and keeps details out of its message", () => {
    const error = new TrustWardenError("svid_expired", { spiffeId: "spiffe://acme.test/a" });
    expect(error).toMatchObject({ code: "svid_expired", status: 401, name: "TrustWardenError" });
    expect(error.message).not.toContain("acme");
  });

  it("tells a stranger neither which check stopped it nor any detail", () => {
    const shown = (Object.keys(ERRORS) as (keyof typeof ERRORS)[]) // cast: the keys of a constant object
      .filter((code) => ERRORS[code].status === 401)
      .map((code) => JSON.stringify(publicError(new TrustWardenError(code, { secret: "s3cret" }))));
    expect(shown.length).toBeGreaterThan(10);
    expect(new Set(shown).size).toBe(1);
    expect(shown[0]).not.toContain("s3cret");
  });

  it("shows a proven caller the counter-example of a delegation refusal", () => {
    const error = new TrustWardenError("scope_not_subset", {
      counterexample: "delete:transactions",
      parent: "inst-1",
    });
    expect(publicError(error)).toEqual({
      error: {
        code: "scope_not_subset",
        message: ERRORS.scope_not_subset.message,
        counterexample: "delete:transactions",
      },
    });
  });

  it("knows its own codes and not those that objects inherit", () => {
    expect(isErrorCode("denied")).toBe(true);
    expect(isErrorCode("constructor")).toBe(false);
    expect(isErrorCode("__proto__")).toBe(false);
  });

  it("is asserted: every code stands in a test by its name", () => {
    const cwd = fileURLToPath(new URL("..", import.meta.url));
    const own = "core/error.test.ts";
    const files = globSync(["**/*.test.ts", "attacks/?/*.ts"], { cwd, exclude: ["**/node_modules/**", own] });
    expect(files.length).toBeGreaterThan(200);
    const words = new Set(
      files.flatMap(
        (file) => readFileSync(`${cwd}/${file}`, "utf8").match(/\b[a-z][a-z0-9]*(?:_[a-z0-9]+)*\b/g) ?? [],
      ),
    );
    expect(Object.keys(ERRORS).filter((code) => !words.has(code))).toEqual([]);
  });

  it("is documented: every code stands in docs/errors.md with its status, and nothing else does", () => {
    const documented = readFileSync(new URL("../docs/errors.md", import.meta.url), "utf8").matchAll(
      /^\| `(\w+)` \| (\d+) \|/gm,
    );
    const rows = [...documented].map(([, code, status]) => `${code} ${status}`).toSorted();
    expect(rows).toEqual(
      Object.entries(ERRORS)
        .map(([code, { status }]) => `${code} ${status}`)
        .toSorted(),
    );
  });

  it("is the same in Python: `python3 python/scripts/write_codes.py` writes it there", () => {
    const written = readFileSync(new URL("../python/src/trustwarden/_codes.py", import.meta.url), "utf8");
    const rows = [...written.matchAll(/^ {4}"(\w+)": \((\d+), "(.*)"\),$/gm)].map((row) => row.slice(1));
    const expected = Object.entries(ERRORS).map(([code, { status, message }]) => [
      code,
      String(status),
      message,
    ]);
    expect(rows).toEqual(expected);
  });
});
