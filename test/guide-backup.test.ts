/** The shell blocks of `docs/guides/backup.md`, in their order, against a real server. */
import { mkdtempSync, renameSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import { runWarden } from "../cli/testing.ts";
import { loadConfig } from "../server/config.ts";
import { startServer } from "../server/main.ts";
import { shellLinesOf } from "./support/guide.ts";

const home = mkdtempSync(join(tmpdir(), "warden-guide-"));
const places = { dataDir: join(home, "data"), configDir: join(home, "config") };
const FILE = /^(?:backup(?:\.pub|\.key)?|monday\.tw|old-data\/ledger)$/;

afterAll(() => rmSync(home, { recursive: true, force: true }));

function start() {
  const flags = { ...places, trustDomain: "acme.test", port: 0, stopPort: 0, logLevel: "silent" } as const;
  return startServer(loadConfig({ flags, environment: {} }));
}

async function run(line: string): Promise<string> {
  const [program, command = "", ...rest] = line.split(" ");
  expect(program).toBe("warden");
  const args = rest.map((word) => (FILE.test(word) ? join(home, word) : word));
  const ran = await runWarden(home, [
    command,
    ...args,
    "--data",
    places.dataDir,
    "--config-dir",
    places.configDir,
  ]);
  if (ran.exitCode !== 0) throw new Error(`${line}: ${ran.stdout}${ran.stderr}`);
  return ran.stdout;
}

it("backs a working server up, and restores it with its ledger and without", async () => {
  const [makeKey = "", backUp = "", withLedger = "", without = "", status = "", ...more] =
    shellLinesOf("backup.md");
  expect(more).toEqual([]);
  const server = await start();
  await run("warden owner create alice");
  await run(makeKey);
  expect(await run(backUp)).toContain("written and read again");
  await server.close();
  renameSync(places.dataDir, join(home, "old-data"));
  expect(await run(withLedger)).toContain("0 stop(s) after the backup are in force again");
  // It goes on, and is lost with its ledger.
  const restored = await start();
  expect(await run(status)).toContain("It issues and allows.");
  await restored.close();
  rmSync(places.dataDir, { recursive: true });
  expect(await run(without)).toContain("The ledger is ledger2.acme.test");
});
