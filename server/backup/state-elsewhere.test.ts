/** A state that is in a database is neither backed up from the file of before the move, nor restored beside it. */
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import { loadConfig, type ServerConfig } from "../config.ts";
import { createBackup } from "./create-backup.ts";
import { restoreBackup } from "./restore-backup.ts";

const folder = mkdtempSync(join(tmpdir(), "tw-backup-"));
const dataDir = join(folder, "data");
const file = join(folder, "monday.tw");
const random = (length: number) => new Uint8Array(length);
const common = { file, random, nowMs: () => 0, onProgress: () => undefined };

afterAll(() => rmSync(folder, { recursive: true }));

function configOf(directory: string): ServerConfig {
  const settings = join(folder, "server.json");
  const postgres = { host: "127.0.0.1", database: "warden", user: "warden_state" };
  writeFileSync(settings, JSON.stringify({ state: { storage: "postgres", postgres } }));
  const flags = { dataDir: directory, configDir: join(folder, "config") };
  return loadConfig({ flags, environment: {}, file: settings });
}

it("refuses to back a state in a database up, and leaves no file", async () => {
  const refused = createBackup({ ...common, config: configOf(dataDir), recipient: null });
  await expect(refused).rejects.toMatchObject({ code: "config_invalid", details: { setting: "state" } });
  expect(existsSync(file)).toBe(false);
});

it("refuses to restore a state where the server would start on the database", async () => {
  const refused = restoreBackup({
    ...common,
    dataDir,
    configOf,
    recipientKey: null,
    ledger: null,
    isVoidAccepted: false,
    vouched: [],
    areOlderRulesAccepted: false,
  });
  await expect(refused).rejects.toMatchObject({ code: "config_invalid", details: { setting: "state" } });
  expect(existsSync(dataDir)).toBe(false);
});
