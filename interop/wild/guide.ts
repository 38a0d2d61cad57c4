/** Reads the blocks of a guide as they stand on the page: what is documented is what is run. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Lab } from "../judge.ts";

/** What stands on the page, and what stands for it in this run; each must occur. */
export type Replacements = Readonly<Record<string, string>>;

/**
 * The block of that name, with its paths and ports replaced.
 *
 * @throws Error when the page has no such block, or not exactly the texts that are to be replaced.
 */
export function readBlock(
  { root }: Lab,
  from: { readonly guide: string; readonly name: string },
  replacements: Replacements,
): string {
  const page = readFileSync(join(root, "docs", "guides", from.guide), "utf8");
  const lines = page.split("\n");
  const start = lines.findIndex((line) => line.startsWith("```") && line.endsWith(` ${from.name}`));
  const end = lines.indexOf("```", start + 1);
  if (start === -1 || end === -1) throw new Error(`${from.guide} has no block ${from.name}`);
  let text = `${lines.slice(start + 1, end).join("\n")}\n`;
  for (const [written, meant] of Object.entries(replacements)) {
    if (!text.includes(written)) throw new Error(`${from.name} of ${from.guide} does not say ${written}`);
    text = text.replaceAll(written, meant);
  }
  return text;
}
