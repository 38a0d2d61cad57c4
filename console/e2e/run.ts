/**
 * The console, end to end: a real server, agents of the SDK, and a person in front of Debian's Chromium.
 *
 * `./dev e2e [--retry]`; pictures are kept under `.cache/e2e/`. Ends with `N passed, N failed`. With `--retry` a run that fails
 * is played once more from its beginning, in a new world, and what failed is named if it passes then.
 */
import { rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { buildConsole } from "../build.ts";
import { openBrowser, type Watched } from "./browser.ts";
import { SCENARIO } from "./scenario.ts";
import type { Step } from "./step.ts";
import { createWorld, type World } from "./world.ts";

const PICTURES = fileURLToPath(new URL("../../.cache/e2e/", import.meta.url));

async function play(steps: readonly Step[], world: World, browser: Watched): Promise<readonly string[]> {
  const failures: string[] = [];
  for (const [index, { name, act }] of steps.entries()) {
    // What comes after a failure rests on what did not happen.
    const failure =
      failures.length > 0 ? "not reached" : await attempt(() => act({ world, browser, pictures: PICTURES }));
    const faults = browser.takeFaults();
    const wrong = [failure, ...faults].filter((text) => text !== "");
    console.log(`${wrong.length === 0 ? "ok" : "FAIL"} ${index + 1} ${name}`);
    if (wrong.length === 0) continue;
    failures.push(`${name}: ${wrong.join(" ").replaceAll("\n", " ")}`);
    console.log(wrong.map((text) => text.replaceAll(/^/gm, "     ")).join("\n"));
    if (failures.length > 1) continue;
    await browser.page.screenshot({ path: join(PICTURES, "failure.png") });
    await browser.other.screenshot({ path: join(PICTURES, "failure-other.png") });
  }
  return failures;
}

/** What went wrong, in words; the empty text for nothing. */
async function attempt(act: () => Promise<void>): Promise<string> {
  try {
    await act();
    return "";
  } catch (error) {
    return error instanceof Error
      ? `${error.message}\n${error.stack?.split("\n").slice(-4).join("\n")}`
      : String(error);
  }
}

/** Plays the whole, in a world and a browser of its own. */
async function playAll(): Promise<readonly string[]> {
  rmSync(PICTURES, { recursive: true, force: true });
  const world = await createWorld();
  try {
    const browser = await openBrowser(world);
    try {
      return await play(SCENARIO, world, browser);
    } finally {
      await browser.close();
    }
  } finally {
    await world.close();
  }
}

await buildConsole();
const first = await playAll();
const isAgain = first.length > 0 && process.argv.includes("--retry");
const failures = isAgain ? await playAll() : first;
if (isAgain && failures.length === 0) console.log(`passed at the second try: ${first[0]}`);
console.log(`\n${SCENARIO.length - failures.length} passed, ${failures.length} failed`);
process.exitCode = failures.length === 0 ? 0 : 1;
