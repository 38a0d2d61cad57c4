/** A ledger on a disk of a few megabytes, until it is full; then the disk grows, and the ledger goes on. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { verifyCheckpoint } from "@trustwarden/core/agentledger/checkpoint.ts";
import { type LogPlace, readerOf, sequencerOf } from "../../server/store/log-place.test.support.ts";
import { auditPlace, startWriter } from "../../server/store/log-writer-process.test.support.ts";

const SMALL = "size=4m";
const LARGE = "size=64m";

/** Whether this process may make a disk of its own. */
export async function mayMount(): Promise<boolean> {
  try {
    await withDisk(async () => undefined);
    return true;
  } catch {
    return false;
  }
}

/** Throws for whatever does not hold. @returns entries of the log after there is space again. */
export async function fillDisk(): Promise<number> {
  return withDisk(async (disk, folder) => {
    const place: LogPlace = {
      origin: "ledger.acme.test/2026q4",
      directory: join(disk, "log"),
      mark: join(folder, "mark"),
    };
    const writer = await startWriter(place, { run: "full", work: "endless" });
    assert.equal(await writer.ended, 3, "the writer stops");
    assert.match(writer.errors(), /ENOSPC/);
    assert.ok(writer.acknowledged.size > 100, "the disk took something");
    // What is shown was signed before the disk was full, and covers no entry that the disk does not have.
    const { vkey } = sequencerOf(place);
    const shown = verifyCheckpoint((await readerOf(place).readCheckpoint()) ?? "", vkey);
    assert.ok(shown.size <= Math.max(...writer.acknowledged.keys()) + 1);
    await assert.rejects(sequencerOf(place).start(), "a start needs space");
    execFileSync("mount", ["-o", `remount,${LARGE}`, disk]);
    return auditPlace(place, writer.acknowledged);
  });
}

async function withDisk<T>(use: (disk: string, folder: string) => Promise<T>): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), "disk-full-"));
  const disk = join(folder, "disk");
  mkdirSync(disk);
  try {
    execFileSync("mount", ["-t", "tmpfs", "-o", SMALL, "tmpfs", disk], { stdio: "ignore" });
    try {
      return await use(disk, folder);
    } finally {
      execFileSync("umount", [disk]);
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
