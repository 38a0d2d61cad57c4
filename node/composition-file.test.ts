import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { encodeBase64url } from "@trustwarden/core/bytes.ts";
import { sha256 } from "@trustwarden/core/crypto.ts";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { openCompositionFile, openCompositionsFile } from "./composition-file.ts";
import { temporaryDirectory } from "./workload-api/endpoint.test.support.ts";

const DIGEST = "A".repeat(43);
const invalid = expect.objectContaining({ code: "config_invalid" });
let directory: ReturnType<typeof temporaryDirectory>;

beforeEach(() => {
  directory = temporaryDirectory();
});
afterEach(() => directory.remove());

const write = (name: string, content: unknown): string => {
  const path = join(directory.path, name);
  writeFileSync(path, typeof content === "string" ? content : JSON.stringify(content));
  return path;
};

describe("a composition file", () => {
  it("declares digests as they are written, and takes those of files anew each time", () => {
    const prompt = write("prompt.md", "You are careful.");
    const path = write("composition.json", { model: DIGEST, prompts: { file: "prompt.md" } });
    const measure = openCompositionFile(path);
    const digestOf = (text: string) => encodeBase64url(sha256(Buffer.from(text)));
    expect(measure()).toEqual({ model: DIGEST, prompts: digestOf("You are careful.") });
    writeFileSync(prompt, "You are not.");
    expect(measure()).toEqual({ model: DIGEST, prompts: digestOf("You are not.") });
  });

  it.each([
    ["nothing", {}],
    ["an unknown part", { model: DIGEST, weights: DIGEST }],
    ["a digest that is none", { model: "abc" }],
    ["a file that is not there", { tools: { file: "missing" } }],
    ["another member beside the file", { tools: { file: "x", sha256: DIGEST } }],
    ["a list", { tools: ["a"] }],
  ])("refuses %s", (_name, content) => {
    const path = write("composition.json", content);
    expect(() => openCompositionFile(path)).toThrow(invalid);
  });

  it("may hold those of several agents by their names", () => {
    const path = write("all.json", { "team/web/crawler": { model: DIGEST }, crawler: { tools: DIGEST } });
    const compositions = openCompositionsFile(path);
    expect([...compositions.keys()]).toEqual(["team/web/crawler", "crawler"]);
    expect(compositions.get("crawler")?.()).toEqual({ tools: DIGEST });
    expect(() => openCompositionsFile(write("bad.json", { crawler: DIGEST }))).toThrow(invalid);
    expect(() => openCompositionFile(join(directory.path, "none.json"))).toThrow(invalid);
  });
});
