/**
 * An export into a private temporary directory, for verifying the log of a running server on this side.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Client } from "./client.ts";
import { exportLog } from "./log-directory.ts";

export interface TemporaryExport {
  readonly directory: string;
  readonly remove: () => void;
}

/** The caller removes it; a failed export removes itself. */
export async function createTemporaryExport(client: Client): Promise<TemporaryExport> {
  const directory = mkdtempSync(join(tmpdir(), "warden-verify-"));
  const remove = (): void => rmSync(directory, { recursive: true, force: true });
  try {
    await exportLog(client, directory);
    return { directory, remove };
  } catch (error) {
    remove();
    throw error;
  }
}
