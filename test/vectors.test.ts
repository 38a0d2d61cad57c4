/** The golden vectors: what is checked in is what the script makes, and this half of the project answers each right. */
import { readdirSync, readFileSync } from "node:fs";
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
