/**
 * The files that every evidence bundle has: how to verify it, and two programs that do, which share no code with each
 * other or with us.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";

const FOLDER = join(import.meta.dirname, "verifiers");
const FILES: Readonly<Record<string, string>> = {
  "VERIFY.md": "VERIFY.md",
  "verifier/verify.mjs": "verify.mjs",
  "verifier/verify.go": "verify.go",
  "verifier/go.mod": "go.mod",
  "verifier/go.sum": "go.sum",
};

let files: ReadonlyMap<string, Uint8Array> | undefined;

/** By their path in the bundle; read once. */
export function readFixedFiles(): ReadonlyMap<string, Uint8Array> {
  files ??= new Map(Object.entries(FILES).map(([path, name]) => [path, readFileSync(join(FOLDER, name))]));
  return files;
}
