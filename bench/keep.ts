/** Keeps what a benchmark found where `./dev bench report` looks for it, with the command and what the machine did meanwhile. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describeMachine } from "./machine.ts";

/** Where results lie. */
export const RESULTS = join(import.meta.dirname, "..", ".cache", "bench");

/** Each is a file in `RESULTS`. */
export const RESULT_NAMES = [
  "report",
  "revocation",
  "spire",
  "gateway",
  "tessera",
  "questions",
  "size",
  "restore",
  "console",
  "overload",
  "opa",
  "outcomes",
] as const;
export type ResultName = (typeof RESULT_NAMES)[number];

/**
 * Writes a result as JSON.
 *
 * @param name - also the word after `./dev bench`, but for `report`, which is the bench without a word.
 * @param result - has `machine` as it was when the run began, so that its load is what others did.
 */
export function keepResult(name: ResultName, result: object, directory = RESULTS): void {
  mkdirSync(directory, { recursive: true });
  const command = ["./dev bench", ...(name === "report" ? [] : [name]), ...process.argv.slice(2)].join(" ");
  const { load, at } = describeMachine();
  const kept = { command, ended: { load, at }, ...result };
  writeFileSync(join(directory, `${name}.json`), `${JSON.stringify(kept, null, 2)}\n`);
}
