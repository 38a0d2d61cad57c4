/** LiteLLM's proxy before the same fake model, with its defaults, one worker and no database. */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { freePort } from "../../test/support/free-port.ts";

export const LITELLM_VERSION = "1.106.2";
const READY_MS = 90_000;
const PLACE = join(import.meta.dirname, "..", "..", ".cache", "bench", `litellm-${LITELLM_VERSION}`);

/** The program, installed from PyPI once. @throws Error without Python or the registry. */
export function requireLitellm(): string {
  const program = join(PLACE, "bin", "litellm");
  if (existsSync(join(PLACE, "complete"))) return program;
  mkdirSync(PLACE, { recursive: true });
  process.stderr.write(`bench: installing LiteLLM ${LITELLM_VERSION} (a minute or two)\n`);
  execFileSync("python3", ["-m", "venv", PLACE]);
  execFileSync(join(PLACE, "bin", "pip"), ["install", "--quiet", `litellm[proxy]==${LITELLM_VERSION}`], {
    stdio: ["ignore", "inherit", "inherit"],
  });
  writeFileSync(join(PLACE, "complete"), "");
  return program;
}

/** Starts it before a model. @param directory - for its configuration. */
export async function startLitellm(
  modelUrl: string,
  directory: string,
): Promise<{ readonly url: string; readonly key: string; readonly child: ChildProcess }> {
  const program = requireLitellm();
  const port = await freePort();
  const key = "sk-bench-litellm-0123456789";
  const config = join(directory, "litellm.json");
  const parameters = { model: "openai/gpt-test", api_base: `${modelUrl}/v1`, api_key: "sk-fake-model" };
  const settings = {
    model_list: [{ model_name: "gpt-test", litellm_params: parameters }],
    general_settings: { master_key: key },
  };
  writeFileSync(config, JSON.stringify(settings));
  const child = spawn(
    program,
    ["--config", config, "--host", "127.0.0.1", "--port", String(port), "--telemetry", "False"],
    {
      stdio: ["ignore", "ignore", "ignore"],
      env: { PATH: process.env.PATH, HOME: directory, LITELLM_LOG: "ERROR" },
    },
  );
  const url = `http://127.0.0.1:${port}`;
  const deadline = performance.now() + READY_MS;
  for (;;) {
    const isReady = await fetch(`${url}/health/liveliness`).then(
      ({ ok }) => ok,
      () => false,
    );
    if (isReady) return { url, key, child };
    if (performance.now() > deadline || child.exitCode !== null)
      throw new Error("LiteLLM did not become ready");
    await sleep(250);
  }
}
