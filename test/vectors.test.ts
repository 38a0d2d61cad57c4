/** The golden vectors: what is checked in is what the script makes, and this half of the project answers each right. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { isErrorCode, TrustWardenError } from "@trustwarden/core/error.ts";
import { describe, expect, it } from "vitest";
import { z } from "zod";
import { VECTOR_FILES } from "../vectors/files.ts";
import { VECTOR_JUDGES } from "./support/vector-judges.ts";

const FOLDER = new URL("../vectors/", import.meta.url);
const vectorFile = z.object({
  cases: z.array(
    z.object({
      name: z.string(),
      check: z.string(),
      input: z.unknown(),
      expect: z.union([z.strictObject({ value: z.unknown() }), z.strictObject({ error: z.string() })]),
    }),
  ),
});

describe("the golden vectors", () => {
  const files = readdirSync(FOLDER).filter((name) => name.endsWith(".json"));

  it("are the files that the script knows", () => {
    expect(files.sort()).toEqual(Object.keys(VECTOR_FILES).sort());
  });

  for (const name of files) {
    const text = readFileSync(new URL(name, FOLDER), "utf8");
    const { cases } = vectorFile.parse(JSON.parse(text));

    it(`${name} is, byte for byte, what the script makes`, () => {
      expect(text === VECTOR_FILES[name]?.()).toBe(true);
    });

    it(`${name} has good and bad cases, each once`, () => {
      const names = cases.map((one) => `${one.check} ${one.name}`);
      expect(new Set(names).size).toBe(names.length);
      expect(cases.some((one) => "value" in one.expect)).toBe(true);
      expect(cases.some((one) => "error" in one.expect && isErrorCode(one.expect.error))).toBe(true);
    });

    it(`${name}: every case comes out as it says`, () => {
      for (const one of cases)
        expect({ name: one.name, ...answer(one) }).toEqual({ name: one.name, ...one.expect });
    });
  }
});

const forms = z
  .strictObject({
    dsse: z.record(z.string(), z.array(z.string()).min(1)),
    texts: z.record(z.string(), z.array(z.string()).min(1)),
    others: z.record(z.string(), z.array(z.string()).min(1)),
    in_neither_sdk: z.record(z.string(), z.string()),
    no_vector_yet: z.record(z.string(), z.string()),
  })
  .parse(JSON.parse(readFileSync(new URL("sdk-forms.json", import.meta.url), "utf8")));

describe("the forms that both SDKs read or write", () => {
  const asked = new Map<string, Set<string>>();
  for (const name of Object.keys(VECTOR_FILES)) {
    for (const { check, expect: comes } of vectorFile.parse(JSON.parse(VECTOR_FILES[name]?.() ?? "")).cases)
      asked.set(check, (asked.get(check) ?? new Set()).add("error" in comes ? "bad" : "good"));
  }
  const left = { ...forms.in_neither_sdk, ...forms.no_vector_yet };

  it("have vectors, or programs that write cases for both, and nothing else has", () => {
    const named = [forms.dsse, forms.texts, forms.others].flatMap((list) => Object.values(list).flat());
    const programs = named.filter((name) => name.endsWith(".ts"));
    expect(programs.filter((name) => !existsSync(new URL(`support/${name}`, import.meta.url)))).toEqual([]);
    const others = ["canonical_json", "scope", "scope_subset", "action", "spiffe_id", "envelope"];
    expect(new Set([...named.filter((name) => !programs.includes(name)), ...others])).toEqual(
      new Set(asked.keys()),
    );
    // What is read is also refused somewhere; what is only written, or computed, has nothing to refuse.
    const computed = /_written$|_commitment$|^(?:card_payload|work_bits|scope_subset)$/;
    const untried = [...asked].filter(([check, ends]) => ends.size < 2 && !computed.test(check));
    expect(untried.map(([check]) => check)).toEqual([]);
  });

  it("are all envelopes and texts that the sources name", () => {
    const types = /type PayloadName =([^;]*);/.exec(read("../core/dsse.ts"))?.[1] ?? "";
    const names = types.match(/[a-z-]+(?=")/g) ?? [];
    expect(names.length).toBeGreaterThan(10);
    expect(
      [...Object.keys(forms.dsse), ...Object.keys(left).filter((name) => !/1\.$/.test(name))].sort(),
    ).toEqual([...names].sort());
    const sources = ["core", "sdk", "cli", "server", "node", "python/src/trustwarden"].flatMap((folder) =>
      readdirSync(new URL(`../${folder}/`, import.meta.url), { recursive: true, encoding: "utf8" })
        .filter((file) => /\.(?:ts|py)$/.test(file) && !file.includes(".test."))
        .map((file) => read(`../${folder}/${file}`)),
    );
    const prefixes = new Set(sources.flatMap((source) => source.match(/(?<=")tw[a-z]?1\.(?=")/g) ?? []));
    expect(
      [...Object.keys(forms.texts), ...Object.keys(left).filter((name) => /1\.$/.test(name))].sort(),
    ).toEqual([...prefixes].sort());
  });
});

function read(path: string): string {
  return readFileSync(new URL(path, import.meta.url), "utf8");
}

function answer({ check, input }: { readonly check: string; readonly input?: unknown }): object {
  const judge = VECTOR_JUDGES[check];
  if (judge === undefined) throw new Error(`nobody judges ${check}`);
  try {
    return { value: judge(input) };
  } catch (error) {
    if (error instanceof TrustWardenError) return { error: error.code };
    throw error;
  }
}
