import { describe, expect, it } from "vitest";
import { digestOfComposition, selectorsOfComposition } from "./composition.ts";
import { formatSelectors } from "./selector.ts";

const MODEL = "A".repeat(43);
const TOOLS = "B".repeat(43);

describe("composition", () => {
  it("has one digest, whatever the order of its parts and whether absent ones are named", () => {
    const digest = digestOfComposition({ model: MODEL, tools: TOOLS });
    expect(digestOfComposition({ tools: TOOLS, prompts: undefined, model: MODEL })).toBe(digest);
    expect(digestOfComposition({ model: TOOLS, tools: MODEL })).not.toBe(digest);
    expect(digestOfComposition({ model: MODEL })).not.toBe(digest);
  });

  it("can be asked for by entries, in part or as a whole", () => {
    const composition = { model: MODEL, tools: TOOLS };
    expect(formatSelectors(selectorsOfComposition(composition))).toEqual([
      `composition:model:${MODEL}`,
      `composition:sha256:${digestOfComposition(composition)}`,
      `composition:tools:${TOOLS}`,
    ]);
  });
});
