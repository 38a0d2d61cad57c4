/**
 * Makes one process weak on purpose: `TW_WEAKEN=<name>[,<name>] node --import ./attacks/weaken.ts server/main.ts`.
 *
 * Shipped code holds no switch: the source of a file is edited while it is loaded, by the named edits of
 * `weakenings.ts`, in the main thread and in its workers. The variable is deleted once it is read; a server that
 * finds it has been started without this loader and refuses to start. Each edit that was made is told on standard
 * error, so that a run in which nothing was weakened cannot pass for one.
 */
import { writeSync } from "node:fs";
import { registerHooks } from "node:module";
import { getEnvironmentData, isMainThread, setEnvironmentData } from "node:worker_threads";
import { applyEdits, formatWeakened, type SourceEdit } from "./source-edit.ts";
import { editsOf } from "./weakenings.ts";

const STANDARD_ERROR = 2;
/** `EX_SOFTWARE`: an edit that does not fit its file is a mistake of the suite. */
const MISFIT = 70;
const SHARED = "trustwarden-weaken";

const names = readNames();
const edits = Map.groupBy(editsOf(names), ({ file }) => new URL(`../${file}`, import.meta.url).href);

registerHooks({
  load(url, context, nextLoad) {
    const loaded = nextLoad(url, context);
    const wanted = edits.get(url);
    return wanted === undefined ? loaded : { ...loaded, source: weaken(textOf(loaded.source), wanted) };
  },
});

/** Workers get no environment; what the main thread was told reaches them beside it. */
function readNames(): readonly string[] {
  const text = isMainThread ? process.env.TW_WEAKEN : getEnvironmentData(SHARED);
  if (isMainThread) {
    delete process.env.TW_WEAKEN;
    setEnvironmentData(SHARED, text);
  }
  return typeof text === "string" && text !== "" ? text.split(",") : [];
}

function weaken(source: string, wanted: readonly SourceEdit[]): string {
  try {
    const weakened = applyEdits(source, wanted);
    for (const { file } of wanted) writeSync(STANDARD_ERROR, `${formatWeakened(file)}\n`);
    return weakened;
  } catch (error) {
    writeSync(STANDARD_ERROR, `${String(error)}\n`);
    process.exit(MISFIT);
  }
}

function textOf(source: unknown): string {
  if (typeof source === "string") return source;
  if (source instanceof Uint8Array) return new TextDecoder().decode(source);
  throw new Error("a module without source cannot be weakened");
}
