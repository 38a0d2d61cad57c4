/** A running server that comes back by a restore of its own backup. */
import { randomBytes } from "node:crypto";
import { renameSync } from "node:fs";
import { dirname, join } from "node:path";
import { createBackup } from "@trustwarden/server/backup/create-backup.ts";
import { restoreBackup } from "@trustwarden/server/backup/restore-backup.ts";
import { parseConfig } from "@trustwarden/server/config.ts";
import type { LiveServer } from "../../sdk/live.test.support.ts";

/**
 * Backs it up, and puts that back in the place of what was there.
 *
 * @param beforeEnd - between the backup and the end of the server.
 * @returns whether what was restored waits for two admins (decision 0104).
 */
export async function restoreLiveServer(live: LiveServer, beforeEnd: () => Promise<void>): Promise<boolean> {
  const directory = dirname(live.dataDir);
  const configOf = (dataDir: string) =>
    parseConfig({ dataDir, configDir: join(directory, "config"), trustDomain: "acme.test" });
  const common = {
    file: join(directory, "backup.tw"),
    random: (length: number) => new Uint8Array(randomBytes(length)),
    nowMs: () => Date.now(),
    onProgress: () => undefined,
  };
  await createBackup({ ...common, config: configOf(live.dataDir), recipient: null });
  await beforeEnd();
  let restored = false;
  await live.restart(async () => {
    const kept = join(directory, "kept");
    renameSync(live.dataDir, kept);
    const { isHeld } = await restoreBackup({
      ...common,
      ...{ dataDir: live.dataDir, configOf, recipientKey: null, ledger: join(kept, "ledger") },
      ...{ isVoidAccepted: false, vouched: [], areOlderRulesAccepted: true },
    });
    restored = isHeld;
  });
  return restored;
}
