/**
 * Replaces a file as a whole or not at all: a new file beside it, on disk before it takes the name, with the mode and the
 * owner of the old one. Whatever wrote to the old one meanwhile wins: then nothing is replaced.
 */
import {
  chownSync,
  closeSync,
  constants,
  fchmodSync,
  fsyncSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { Edit } from "./planned.ts";

const PERMISSIONS = 0o7777;

/** A replacement that has begun: its file can be written, and has not been touched yet. */
export interface Rewrite {
  /** @throws TrustWardenError `not_found` when the file is no longer what was read, or the disk refuses; it then stays as it is. */
  commit(text: string): void;
  /** Leaves the file as it is. Harmless after `commit`. */
  abandon(): void;
}

/**
 * The text with every edit made, and one that is there twice made once.
 *
 * @throws TrustWardenError `not_found` when two overlap: nobody knows what the file would become.
 */
export function applyTextEdits(text: string, edits: readonly Edit[]): string {
  const ordered = edits.toSorted((a, b) => b.start - a.start || b.end - a.end);
  return ordered.reduce((result, edit, index) => {
    const { start, end, replacement } = edit;
    const behind = ordered[index - 1];
    const isRepeated = behind?.start === start && behind.end === end && behind.replacement === replacement;
    if (isRepeated) return result;
    if (behind !== undefined && end > behind.start)
      throw new TrustWardenError("not_found", { why: "its changes overlap, and it was left as it was" });
    return result.slice(0, start) + replacement + result.slice(end);
  }, text);
}

/**
 * Begins to replace a file.
 *
 * @param path - real path, no link.
 * @param expected - what the file holds; anything else is somebody's newer version.
 * @param suffix - of the new file's name until it takes the old one's.
 * @throws TrustWardenError `not_found` when nothing can be written beside it.
 */
export function beginRewrite(path: string, expected: string, suffix: string): Rewrite {
  const beside = join(dirname(path), `.${basename(path)}.${suffix}`);
  const before = statSync(path);
  // The other name would keep the secret, and whoever reads through it would not see the change.
  if (before.nlink > 1)
    throw new TrustWardenError("not_found", {
      why: `${path} has another name (a hard link), and was left as it is`,
    });
  if (!readFileSync(path).equals(Buffer.from(expected)))
    throw new TrustWardenError("not_found", {
      why: `${path} is no UTF-8 text, or has changed meanwhile, and was left as it is`,
    });
  writing(beside, () => writeFileSync(beside, "", { mode: 0o600, flag: "wx" }));
  return {
    commit: (text) => {
      writing(path, () => {
        writeDurably(beside, text, before.mode & PERMISSIONS);
        if (process.getuid?.() === 0) chownSync(beside, before.uid, before.gid);
      });
      if (!readFileSync(path).equals(Buffer.from(expected)))
        throw new TrustWardenError("not_found", {
          why: `${path} has changed meanwhile, and was left as it is`,
          next: "Close the program that writes it, then scan again.",
        });
      renameSync(beside, path);
      syncDirectory(dirname(path));
    },
    abandon: () => rmSync(beside, { force: true }),
  };
}

/** Keeps a copy that only its owner reads, on disk before the file is replaced. @throws TrustWardenError `not_found` where it cannot be written. */
export function writeBackup(path: string, text: string): void {
  writing(path, () => {
    writeFileSync(path, text, { mode: 0o600, flag: "wx", flush: true });
    syncDirectory(dirname(path));
  });
}

/** What the disk refuses is a reason for a person, and ends this file only. */
function writing(path: string, write: () => void): void {
  try {
    write();
  } catch (cause) {
    throw new TrustWardenError("not_found", { why: `${path} could not be written` }, { cause });
  }
}

function writeDurably(path: string, text: string, mode: number): void {
  const descriptor = openSync(path, constants.O_WRONLY | constants.O_TRUNC | constants.O_NOFOLLOW);
  try {
    writeFileSync(descriptor, text);
    fchmodSync(descriptor, mode);
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

function syncDirectory(path: string): void {
  const descriptor = openSync(path, constants.O_RDONLY);
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}
