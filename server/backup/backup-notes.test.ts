import { existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { describe, expect, it, onTestFinished } from "vitest";
import { BackupNotes, leaveBackupNote, makerOf } from "./backup-notes.ts";

const ID = "0123456789abcdef0123456789abcdef";
const NOTE = {
  id: ID,
  madeBy: "uid:1000",
  orderedBy: null,
  madeAt: "2026-11-23T08:00:00.000Z",
  size: 7,
  isSealed: true,
};

function scene() {
  const dataDir = mkdtempSync(join(tmpdir(), "tw-notes-"));
  onTestFinished(() => rmSync(dataDir, { recursive: true }));
  const events: unknown[] = [];
  const ledger = { isFull: false };
  const notes = new BackupNotes({
    dataDir,
    record: async (drafts, { principal, peer }) => {
      if (ledger.isFull) throw new TrustWardenError("ledger_unavailable");
      events.push(
        ...drafts.map(({ draft: { subject, details } }) => ({ subject, details, principal, peer })),
      );
    },
    epoch: () => 1,
    nowMs: () => 0,
    onFailure: (error) => {
      throw error;
    },
  });
  return { dataDir, events, ledger, notes };
}

describe("who made a backup", () => {
  it("is recorded once, with the account of the host, and never a file's name", async () => {
    const { dataDir, events, notes } = scene();
    await leaveBackupNote(dataDir, NOTE);
    await notes.look();
    await notes.look();
    const details = { change: "backup", backup: ID, made_at: NOTE.madeAt, size: 7, sealed: true };
    expect(events).toEqual([{ subject: `backup:${ID}`, details, principal: "operator", peer: "uid:1000" }]);
    expect(existsSync(join(dataDir, "backups", `${ID}.json`))).toBe(false);
  });

  it("says who ordered it from the server, where somebody did", async () => {
    const { dataDir, events, notes } = scene();
    await leaveBackupNote(dataDir, { ...NOTE, orderedBy: "person:prs_1 person:prs_2" });
    await notes.look();
    expect(events).toMatchObject([{ details: { ordered_by: "person:prs_1 person:prs_2" } }]);
  });

  it("waits for a ledger that has no place", async () => {
    const { dataDir, events, ledger, notes } = scene();
    await leaveBackupNote(dataDir, NOTE);
    ledger.isFull = true;
    await expect(notes.look()).rejects.toMatchObject({ code: "ledger_unavailable" });
    expect(existsSync(join(dataDir, "backups", `${ID}.json`))).toBe(true);
    ledger.isFull = false;
    await notes.look();
    expect(events).toHaveLength(1);
  });

  it("is not read from another file, or from what is no note", async () => {
    const { dataDir, events, notes } = scene();
    mkdirSync(join(dataDir, "backups"));
    symlinkSync("/etc/hostname", join(dataDir, "backups", `${ID}.json`));
    writeFileSync(join(dataDir, "backups", "readme.txt"), "hello");
    await notes.look();
    rmSync(join(dataDir, "backups", `${ID}.json`));
    writeFileSync(join(dataDir, "backups", `${ID}.json`), `{"id":"${ID}","made_by":"root"}`);
    await expect(notes.look()).rejects.toMatchObject({ code: "backup_malformed" });
    expect([events, existsSync(join(dataDir, "backups", "readme.txt"))]).toEqual([[], true]);
  });

  it("is recorded also behind a note that is none, of which is told all the same", async () => {
    const { dataDir, events, notes } = scene();
    mkdirSync(join(dataDir, "backups"));
    writeFileSync(join(dataDir, "backups", `${"0".repeat(32)}.json`), "{}");
    await leaveBackupNote(dataDir, NOTE);
    await expect(notes.look()).rejects.toMatchObject({ code: "backup_malformed" });
    expect(events).toHaveLength(1);
  });

  it("is null for a backup of before it was said, and refused where it is half said", () => {
    expect(makerOf({ v: 1 })).toBeNull();
    expect(makerOf({ id: ID, made_by: "uid:0" })).toEqual({ id: ID, madeBy: "uid:0" });
    expect(() => makerOf({ id: ID })).toThrow(expect.objectContaining({ code: "backup_malformed" }));
  });
});
