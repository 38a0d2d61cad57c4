import { Command } from "commander";
import { describe, expect, test } from "vitest";
import { FAMILIES, familiesFor } from "./families.ts";
import { SILENT } from "./testing.ts";

describe("a family of commands", () => {
  test.each(FAMILIES)("makes the commands that it is found by: $names", async ({ names, load }) => {
    const program = new Command();
    (await load())(program, SILENT);
    expect(program.commands.map((command) => command.name())).toEqual(names);
  });

  test("is loaded alone for its command, and with all others for no command and for an unknown one", () => {
    expect(familiesFor("agent").map(({ names }) => names)).toEqual([["agent"]]);
    expect(familiesFor(undefined)).toBe(FAMILIES);
    expect(familiesFor("agnet")).toBe(FAMILIES);
  });
});
