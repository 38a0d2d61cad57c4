/** The console's files: what was built is served, addresses of screens lead to the page, and nothing else is there. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { readConsoleFiles } from "./static-files.ts";

const folder = mkdtempSync(join(tmpdir(), "tw-console-"));
mkdirSync(join(folder, "assets"));
writeFileSync(join(folder, "index.html"), "<!doctype html>page");
writeFileSync(join(folder, "assets/index-abc.js"), "script");
afterAll(() => rmSync(folder, { recursive: true }));

const textOf = (content: unknown) => (content instanceof Uint8Array ? new TextDecoder().decode(content) : "");

describe("the console's files", () => {
  it("are those of the build, by their types; hashed ones are kept, the page is not", () => {
    const files = readConsoleFiles(folder);
    expect(files.isBuilt).toBe(true);
    const script = files.read("assets/index-abc.js");
    expect(script).toMatchObject({ contentType: "text/javascript; charset=utf-8" });
    expect(script.cacheControl).toContain("immutable");
    expect(files.read("")).toMatchObject({
      contentType: "text/html; charset=utf-8",
      cacheControl: "no-store",
    });
  });

  it("show the page at each screen's address", () => {
    const files = readConsoleFiles(folder);
    for (const path of ["", "agents", "agents/agt_1", "index.html"]) {
      expect(textOf(files.read(path).content)).toContain("page");
    }
  });

  it("are nothing else: no other file, and nothing outside", () => {
    const files = readConsoleFiles(folder);
    for (const path of ["assets/other.js", "../package.json", "assets/../../x.json", "mark.svg"]) {
      expect(() => files.read(path)).toThrow(expect.objectContaining({ code: "not_found" }));
    }
  });

  it("say how to build them where there are none", () => {
    const files = readConsoleFiles(join(folder, "none"));
    expect(files.isBuilt).toBe(false);
    expect(textOf(files.read("").content)).toContain("./dev console");
  });
});
