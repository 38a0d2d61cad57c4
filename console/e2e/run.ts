/**
 * The console, end to end: a real server, agents of the SDK, and a person in front of Debian's Chromium.
 *
 * `./dev e2e`; pictures are kept under `.cache/e2e/`. Ends with `N passed, N failed`.
 */
import { rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { buildConsole } from "../build.ts";
import { openBrowser, type Watched } from "./browser.ts";
import { SCENARIO, type Step } from "./scenario.ts";
import { createWorld, type World } from "./world.ts";

const PICTURES = fileURLToPath(new URL("../../.cache/e2e/", import.meta.url));

async function play(steps: readonly Step[], world: World, browser: Watched): Promise<number> {
  let failed = 0;
  for (const [index, { name, act }] of steps.entries()) {
    // What comes after a failure rests on what did not happen.
    const failure =
      failed > 0 ? "not reached" : await attempt(() => act({ world, browser, pictures: PICTURES }));
    const faults = browser.takeFaults();
    const wrong = [failure, ...faults].filter((text) => text !== "");
    console.log(`${wrong.length === 0 ? "ok" : "FAIL"} ${index + 1} ${name}`);
    if (wrong.length === 0) continue;
    failed += 1;
    console.log(wrong.map((text) => text.replaceAll(/^/gm, "     ")).join("\n"));
    if (failed === 1) await browser.page.screenshot({ path: join(PICTURES, "failure.png") });
  }
  return failed;
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

rmSync(PICTURES, { recursive: true, force: true });
await buildConsole();
const world = await createWorld();
const browser = await openBrowser(world.origin);
try {
  const failed = await play(SCENARIO, world, browser);
  console.log(`\n${SCENARIO.length - failed} passed, ${failed} failed`);
  process.exitCode = failed === 0 ? 0 : 1;
} finally {
  await browser.close();
  await world.close();
}
