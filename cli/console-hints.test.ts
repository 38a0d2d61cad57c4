/** What the console tells people to type is a command that there is, with options that it has, and links lead to a screen. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Command } from "commander";
import { describe, expect, test } from "vitest";
import { createProgram } from "./program.ts";
import { SILENT } from "./testing.ts";

const CONSOLE = fileURLToPath(new URL("../console/src", import.meta.url));
const GUIDES = ["people.md", "console.md"].map((name) =>
  fileURLToPath(new URL(`../docs/guides/${name}`, import.meta.url)),
);

const program = await createProgram(SILENT);

const sources = [
  ...readdirSync(CONSOLE, { recursive: true, encoding: "utf8" })
    .filter((name) => /\.tsx?$/.test(name))
    .map((name) => join(CONSOLE, name)),
  ...GUIDES,
].map((path) => readFileSync(path, "utf8"));

/** Commands as they stand in quotes of any kind, or as the text of an element. */
const hints = sources.flatMap((source) => source.match(/(?<=["`>])warden [^"`<\n]+/g) ?? []);

/** What is wrong with a command line; empty for nothing. */
function faultOf(hint: string): string {
  const [, ...words] = hint.split(" ");
  let command: Command = program;
  while (command.commands.length > 0) {
    const next = command.commands.find((child) => child.name() === words[0]);
    if (next === undefined) break;
    command = next;
    words.shift();
  }
  if (command === program) return "no such command";
  if (command.commands.length > 0) return "a group without its command";
  const options = new Set([...command.options, ...program.options].map(({ long }) => long));
  const unknown = words.filter((word) => word.startsWith("--") && word !== "--help" && !options.has(word));
  return unknown.join(" ");
}

describe("a command that the console shows", () => {
  test("is there, with the options that it names", () => {
    expect(hints.length).toBeGreaterThan(10);
    const faults = hints.flatMap((hint) => {
      const fault = faultOf(hint);
      return fault === "" ? [] : [`${hint}: ${fault}`];
    });
    expect(faults).toEqual([]);
  });

  test("is missed when it is not there", () => {
    expect(faultOf("warden people link")).toBe("no such command");
    expect(faultOf("warden person")).toBe("a group without its command");
    expect(faultOf("warden person link --nonsense x")).toBe("--nonsense");
  });
});
