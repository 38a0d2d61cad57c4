/**
 * Loaded into a server's process with `node --import`: kills it at a crash point when a plan says so.
 *
 * The source is changed while it is loaded, in this process only, so that no fault code is ever shipped. Threads that
 * the process starts inherit the option, and with it this hook. The plan is a file, which can come after the start.
 */
import { readFileSync } from "node:fs";
import { registerHooks } from "node:module";
import { parseJsonObject } from "@trustwarden/core/json.ts";
import {
  AUTHORITY_POINTS,
  CRASH_POINTS,
  insertAt,
  leaveOut,
  TURN_POINTS,
  WEAKENINGS,
} from "./crash-points.ts";

const { searchParams } = new URL(import.meta.url);
const planFile = searchParams.get("plan") ?? "";
const weakening = WEAKENINGS.find(({ name }) => name === searchParams.get("weakening"));
let hits = 0;

Object.assign(globalThis, {
  passPoint(name: string): void {
    const plan = readPlan();
    if (plan?.point !== name) return;
    hits += 1;
    if (hits < plan.hit) return;
    process.kill(process.pid, "SIGKILL");
    // The signal may reach another thread first; this one goes no further.
    for (;;) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
  },
});

registerHooks({
  load(url, context, nextLoad) {
    const loaded = nextLoad(url, context);
    const known = [...CRASH_POINTS, ...AUTHORITY_POINTS, ...TURN_POINTS];
    const points = known.filter(({ file }) => url.endsWith(`/${file}`));
    const isWeakened = weakening !== undefined && url.endsWith(`/${weakening.file}`);
    if (points.length === 0 && !isWeakened) return loaded;
    const text = typeof loaded.source === "string" ? loaded.source : new TextDecoder().decode(loaded.source);
    const weakened = isWeakened ? leaveOut(text, weakening) : text;
    const pass = ({ name }: { readonly name: string }) => `globalThis.passPoint(${JSON.stringify(name)});`;
    return { ...loaded, source: points.reduce((all, point) => insertAt(all, point, pass(point)), weakened) };
  },
});

function readPlan(): { readonly point: string; readonly hit: number } | undefined {
  let text: string;
  try {
    text = readFileSync(planFile, "utf8");
  } catch {
    // No plan yet: nobody has to die.
    return undefined;
  }
  const { point, hit } = parseJsonObject(text);
  return { point: String(point), hit: Number(hit) };
}
