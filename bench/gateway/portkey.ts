/** Portkey's gateway before the same fake model, with its defaults: no keys, no store, no cache; whoever asks names the model's host. */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { freePort } from "../../test/support/free-port.ts";

export const PORTKEY_VERSION = "1.15.2";
const READY_MS = 60_000;
const PLACE = join(import.meta.dirname, "..", "..", ".cache", "bench", `portkey-${PORTKEY_VERSION}`);

/** The program, installed from npm once, without scripts. @throws Error without the registry. */
function requirePortkey(): string {
  const program = join(PLACE, "node_modules", "@portkey-ai", "gateway", "build", "start-server.js");
  if (existsSync(join(PLACE, "complete"))) return program;
  mkdirSync(PLACE, { recursive: true });
  process.stderr.write(`bench: installing Portkey's gateway ${PORTKEY_VERSION}\n`);
  const options = ["--prefix", PLACE, "--ignore-scripts", "--no-audit", "--no-fund"];
  execFileSync("npm", ["install", ...options, `@portkey-ai/gateway@${PORTKEY_VERSION}`], {
    stdio: ["ignore", "ignore", "inherit"],
  });
  writeFileSync(join(PLACE, "complete"), "");
  return program;
}

/** Starts it before a model. @param directory - its home. */
export async function startPortkey(
  modelUrl: string,
  directory: string,
): Promise<{
  readonly url: string;
  /** That each call brings. */
  readonly headers: Readonly<Record<string, string>>;
  readonly child: ChildProcess;
}> {
  const port = await freePort();
  const child = spawn(process.execPath, [requirePortkey(), `--port=${port}`, "--headless"], {
    stdio: ["ignore", "ignore", "ignore"],
    env: { PATH: process.env.PATH, HOME: directory, NODE_ENV: "production" },
  });
  const url = `http://127.0.0.1:${port}`;
  const deadline = performance.now() + READY_MS;
  for (;;) {
    const isReady = await fetch(url).then(
      () => true,
      () => false,
    );
    const headers = { "x-portkey-provider": "openai", "x-portkey-custom-host": `${modelUrl}/v1` };
    if (isReady) return { url, headers, child };
    if (performance.now() > deadline || child.exitCode !== null)
      throw new Error("Portkey's gateway did not become ready");
    await sleep(100);
  }
}
