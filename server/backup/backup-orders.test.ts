/** Backups that are ordered: one at a time, and only where there is a place for them that is not the server's own. */
import { mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { expect, it, onTestFinished } from "vitest";
import { parseConfig } from "../config.ts";
import type { BackupJobEnd } from "./backup-job.ts";
import { BackupOrders } from "./backup-orders.ts";

function scene(directory?: string) {
  const root = mkdtempSync(join(tmpdir(), "tw-orders-"));
  onTestFinished(() => rmSync(root, { recursive: true }));
  const recipientFile = join(root, "backup.pub");
  writeFileSync(recipientFile, "a key");
  const places = { dataDir: join(root, "data"), configDir: join(root, "config") };
  const backup = { directory: join(root, directory ?? "vault"), recipientFile };
  const config = parseConfig({ ...places, ...(directory === "" ? {} : { backup }) });
  const ends: ((end: BackupJobEnd) => void)[] = [];
  const open = () =>
    new BackupOrders({
      config,
      random: (length) => new Uint8Array(length),
      nowMs: () => 0,
      start: () => ({ end: new Promise((resolve) => ends.push(resolve)), stop: async () => undefined }),
    });
  return { open, ends, recipientFile, config, directory: backup.directory };
}

const refused = (code: string) => expect.objectContaining({ code });

it("are made one after another, and what came of the last is known", async () => {
  const { open, ends } = scene();
  const orders = open();
  expect(orders.order("operator")).toMatchObject({ orderedAt: 0, made: null });
  expect(() => orders.order("operator")).toThrow(refused("backup_running"));
  ends[0]?.({ code: "config_invalid" });
  await expect.poll(() => orders.last).toMatchObject({ made: null, code: "config_invalid", endedAt: 0 });
  orders.order("operator");
  ends[1]?.({ bytes: 7, size: 3 });
  const file = "trustwarden.localhost-19700101T000000Z-00000000.tw";
  await expect.poll(() => orders.last?.made).toEqual({ file, bytes: 7, size: 3 });
});

it("leave nothing behind where they are written when they are broken off, also by an earlier end", async () => {
  const { config, directory } = scene();
  mkdirSync(directory);
  const left = (file: string) => {
    const folder = mkdtempSync(join(directory, `.${file}-`));
    writeFileSync(join(folder, "backup"), "half");
  };
  left("trustwarden.localhost-20261123T080000Z-0123abcd.tw");
  left("somebody-elses.tw");
  const ended = Promise.withResolvers<BackupJobEnd>();
  const orders = new BackupOrders({
    config,
    random: (length) => new Uint8Array(length),
    nowMs: () => 0,
    start: ({ file }) => {
      left(basename(file));
      return { end: ended.promise, stop: async () => ended.resolve({ code: "internal" }) };
    },
  });
  orders.order("operator");
  await orders.close();
  expect(readdirSync(directory)).toEqual([expect.stringMatching(/^\.somebody-elses\.tw-/)]);
});

it("are refused without a place, and without the recipient's key, which stands in nobody's way afterwards", () => {
  expect(() => scene("").open().order("operator")).toThrow(refused("backup_not_configured"));
  const { open, recipientFile } = scene();
  rmSync(recipientFile);
  const orders = open();
  expect(() => orders.order("operator")).toThrow(refused("config_invalid"));
  expect(orders.last).toBeNull();
  writeFileSync(recipientFile, "a key");
});

it.each(["data", "data/backups", "config"])("never go to the server's own directories: %s", (directory) => {
  expect(() => scene(directory).open()).toThrow(refused("config_invalid"));
});

it("never go there by a link either, whether it led there at the start or leads there since", () => {
  const { open, config, directory } = scene("vault/backups");
  mkdirSync(config.dataDir);
  symlinkSync(config.dataDir, dirname(directory));
  expect(open).toThrow(refused("config_invalid"));
  rmSync(dirname(directory));
  mkdirSync(directory, { recursive: true });
  const orders = open();
  rmSync(dirname(directory), { recursive: true });
  symlinkSync(config.dataDir, dirname(directory));
  expect(() => orders.order("operator")).toThrow(refused("config_invalid"));
});
