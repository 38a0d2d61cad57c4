/** One backup in a thread of its own. */
import { extname } from "node:path";
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";
import type { ServerConfig } from "../config.ts";
import { threadEnvironment } from "../thread-environment.ts";
import type { BackupOrder } from "./create-backup.ts";

export interface BackupJob {
  readonly config: ServerConfig;
  /** Must not exist. */
  readonly file: string;
  readonly recipientPem: string;
  readonly order: BackupOrder;
}

/** What came of it: its size, or a code. */
export type BackupJobEnd = { readonly bytes: number; readonly size: number } | { readonly code: string };

/** A job that runs. */
export interface RunningBackup {
  /** Never rejects. */
  readonly end: Promise<BackupJobEnd>;
  /** Breaks it off. */
  stop(): Promise<void>;
}

/** Starts a thread; it ends with its backup. */
export function startBackupJob(job: BackupJob): RunningBackup {
  const file = `./backup-thread${extname(fileURLToPath(import.meta.url))}`;
  const worker = new Worker(new URL(file, import.meta.url), { workerData: job, env: threadEnvironment() });
  const end = new Promise<BackupJobEnd>((resolve) => {
    worker.once("message", resolve);
    worker.once("error", () => resolve({ code: "internal" }));
    worker.once("exit", () => resolve({ code: "internal" }));
  });
  return {
    end,
    stop: async () => {
      await worker.terminate();
    },
  };
}
