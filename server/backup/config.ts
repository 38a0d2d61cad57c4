/** Settings of backups that are ordered from the server, by two admins or on the admin socket. */
import { isAbsolute } from "node:path";
import { z } from "zod";

const path = z.string().min(1).max(4096);

/** `backup` in the configuration. See docs/guides/backup.md. */
export const backupSettings = z.strictObject({
  /** Where they are written; neither the data directory nor the configuration directory, nor in one of them. */
  directory: path.refine(isAbsolute, "an absolute path"),
  /** Public key of who may restore them, as `warden backup-key` makes it. What is ordered is always sealed. */
  recipientFile: path.refine(isAbsolute, "an absolute path"),
});

export type BackupSettings = Readonly<z.output<typeof backupSettings>>;
