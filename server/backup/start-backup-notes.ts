/** Recording of backups, beside a server. */

import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { Services } from "../http/services.ts";
import type { Cleanup } from "../parts.ts";
import { BackupNotes } from "./backup-notes.ts";

/** @returns what ends it. */
export function startBackupNotes({ ledger, reads, clock, log }: Services, dataDir: string): Cleanup {
  const notes = new BackupNotes({
    dataDir,
    record: (events, context) => ledger.recordControls(events, context),
    epoch: () => reads.epoch(),
    nowMs: () => clock.nowMs(),
    onFailure: (error) => {
      const code = error instanceof TrustWardenError ? error.code : "internal";
      log.warn({ code }, "a backup is not recorded yet");
    },
  });
  notes.start();
  return () => notes.close();
}
