/** Copies the data directory of a running server, as a thief does: what is renamed or removed meanwhile is left behind. */
import { copyFileSync, mkdirSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";

/**
 * Copies all files of a directory that somebody else writes to. A file that is gone before its turn (a temporary one
 * that became another, a socket) is not in the copy; every other failure throws. Directories keep their modes, without which a
 * server refuses the copy for a reason of no interest.
 */
export function copyLiveDirectory(from: string, to: string): void {
  mkdirSync(to, { recursive: true, mode: statSync(from).mode });
  for (const entry of readdirSync(from, { withFileTypes: true })) {
    const [source, target] = [join(from, entry.name), join(to, entry.name)];
    try {
      if (entry.isDirectory()) copyLiveDirectory(source, target);
      else if (entry.isFile()) copyFileSync(source, target);
    } catch (error) {
      if (!(error instanceof Error && "code" in error && error.code === "ENOENT")) throw error;
    }
  }
}
