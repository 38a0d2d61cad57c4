/**
 * `./dev bench [NAME] [OPTION…]`: finds the benchmark, and says how it is used when it is asked, or asked wrongly.
 *
 *   node bench/main.ts [NAME] [OPTION…]
 *
 * What `--help` prints is the head of the benchmark's own file, so that it is written once.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { isWrongUse } from "./wrong-use.ts";

/** By the name that `./dev bench` takes; without a name it is `run.ts`. */
const FILES: ReadonlyMap<string, string> = new Map([
  ["spire", "spire/run.ts"],
  ["size", "size/run.ts"],
  ["restore", "size/restore.ts"],
  ["questions", "questions/run.ts"],
  ["cost", "cost/run.ts"],
  ["gateway", "gateway/run.ts"],
  ["tessera", "tessera/run.ts"],
  ["report", "claims/run.ts"],
  ["scale", "scale/run.ts"],
  ["console", "console/run.ts"],
  ["overload", "overload/run.ts"],
  ["opa", "opa/run.ts"],
  ["outcomes", "overload/outcomes.ts"],
  ["revocation", "revocation/run.ts"],
  ["revocations", "revocation/all.ts"],
  ["rotation", "rotation.ts"],
  ["connects", "connects.ts"],
  ["soak", "gateway/soak.ts"],
]);
/** The way that commands end which were asked wrongly. */
const USAGE_EXIT = 2;

const [name = "", ...rest] = process.argv.slice(2);
const isNamed = name !== "" && !name.startsWith("-");
const file = isNamed ? FILES.get(name) : "run.ts";
if (file === undefined)
  refuse(`there is no benchmark '${name}'. There are: python, ${[...FILES.keys()].join(", ")}.`);
else await run(join(import.meta.dirname, file), isNamed ? rest : process.argv.slice(2));

async function run(path: string, args: readonly string[]): Promise<void> {
  if (args.includes("--help") || args.includes("-h")) {
    console.log(headOf(path));
    return;
  }
  process.argv = [process.argv0, path, ...args];
  try {
    await import(pathToFileURL(path).href);
  } catch (error) {
    if (!isWrongUse(error)) throw error;
    refuse(`${error.message}\n\n${headOf(path)}`);
  }
}

/** The comment that a file begins with, without its stars. */
function headOf(path: string): string {
  const [, head = ""] = /^\/\*\*\n(.*?)\n \*\//s.exec(readFileSync(path, "utf8")) ?? [];
  if (head === "") throw new Error(`${path} does not begin with how it is used`);
  return head.replaceAll(/^ \* ?/gm, "");
}

function refuse(message: string): void {
  console.error(`bench: ${message}`);
  process.exitCode = USAGE_EXIT;
}
