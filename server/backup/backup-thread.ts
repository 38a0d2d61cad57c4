/** Makes one backup beside the server's own thread, which a copy of the state would hold up. Its environment is empty. */
import { randomBytes } from "node:crypto";
import { parentPort, workerData } from "node:worker_threads";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { BackupJob, BackupJobEnd } from "./backup-job.ts";
import { createBackup } from "./create-backup.ts";
import { parseRecipient } from "./sealed-stream.ts";

async function make({ config, file, recipientPem, order }: BackupJob): Promise<BackupJobEnd> {
  try {
    const { bytes, size } = await createBackup({
      config,
      file,
      order,
      recipient: parseRecipient(recipientPem),
      random: (length) => new Uint8Array(randomBytes(length)),
      nowMs: () => Date.now(),
      onProgress: () => undefined,
    });
    return { bytes, size };
  } catch (error) {
    // Whoever ordered it reads the code; there is nobody in this thread to throw to.
    return { code: error instanceof TrustWardenError ? error.code : "internal" };
  }
}

// The one who starts this thread is in `backup-job.ts`, and gives it a job.
parentPort?.postMessage(await make(workerData));
