/** Whoever reads that a program is ready may ask it to end at once: it ends in order, and leaves the state sealed. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, expect, test } from "vitest";
import { createHome } from "./testing.ts";

const root = fileURLToPath(new URL("..", import.meta.url));
const homes: string[] = [];

afterEach(() => {
  for (const home of homes.splice(0)) rmSync(home, { recursive: true, force: true });
});

/** Asks a program to end as soon as it has said anything. @returns exit code, signal, and whether the state is sealed. */
async function askAtOnce(
  signal: "SIGTERM" | "SIGINT",
  file: string,
  args: (home: string) => readonly string[],
) {
  const home = createHome();
  homes.push(home);
  mkdirSync(join(home, "config"), { mode: 0o700, recursive: true });
  const child = spawn(process.execPath, [join(root, file), ...args(home)], {
    stdio: ["ignore", "pipe", "inherit"],
    env: {
      PATH: process.env.PATH,
      HOME: home,
      TRUSTWARDEN_DATA_DIR: join(home, "data"),
      TRUSTWARDEN_CONFIG_DIR: join(home, "config"),
      TRUSTWARDEN_TRUST_DOMAIN: "acme.test",
      TRUSTWARDEN_PORT: "0",
      TRUSTWARDEN_STOP_PORT: "0",
      TRUSTWARDEN_LOG_LEVEL: "error",
    },
  });
  child.stdout.once("data", () => child.kill(signal));
  const [code, by] = await once(child, "close");
  return [code, by, existsSync(join(home, "config", "acme.test.state-seal"))];
}

test("the server", async () => {
  expect(await askAtOnce("SIGTERM", "server/main.ts", () => [])).toEqual([0, null, true]);
});

test.each(["SIGTERM", "SIGINT"] as const)("warden up, by %s", async (signal) => {
  const ports = [
    "--port",
    "0",
    "--stop-port",
    "0",
    "--console-port",
    "0",
    "--no-node",
    "--log-level",
    "error",
  ];
  const ended = await askAtOnce(signal, "cli/main.ts", (home) => [
    "up",
    ...["--trust-domain", "acme.test", "--data", join(home, "data"), "--config-dir", join(home, "config")],
    ...ports,
  ]);
  expect(ended).toEqual([0, null, true]);
});
