/** A key that backups are sealed to, as `warden backup key` makes it, for a server whose backups nobody opens. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { createRecipient } from "@trustwarden/server/backup/sealed-stream.ts";

/** Writes the public half into the folder. @returns the file, for the setting `backup.recipientFile`. */
export function writeRecipient(folder: string): string {
  const file = join(folder, "backup.pub");
  writeFileSync(file, createRecipient().publicPem);
  return file;
}
