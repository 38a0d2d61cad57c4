/** Files of a scan: bounded, never through a link out of where it looks, and said so when one is left out. */

import { isUtf8 } from "node:buffer";
import { closeSync, constants, fstatSync, lstatSync, openSync, readSync, realpathSync } from "node:fs";
import { sep } from "node:path";

/** Configurations, transcripts and histories are smaller; of a longer history the end is read. */
const MAX_FILE_BYTES = 8_388_608;
const BINARY_SAMPLE_BYTES = 8192;

/** Why a file was not looked at. */
export type SkipReason = "a link that leads elsewhere" | "too large" | "binary" | "not readable" | "no file";

/** A file's text, or why there is none. */
export type FileRead =
  | { readonly text: string; readonly path: string }
  | { readonly skipped: SkipReason; readonly path: string };

/** How to read one. */
export interface ReadOptions {
  /** No link is followed out of it. */
  readonly root: string;
  /** Of a file that is too large, read its end. */
  readonly isHistory?: boolean;
}

/** The text of one file. Its path is the real one, so that a rewrite replaces the file and not a link to it. */
export function readScannedFile(path: string, { root, isHistory = false }: ReadOptions): FileRead {
  let real: string;
  try {
    real = realpathSync(path);
    if (!isWithin(real, realpathSync(root))) return { skipped: "a link that leads elsewhere", path };
    // Asked before it is opened: opening a pipe would wait for somebody to write.
    if (!lstatSync(real).isFile()) return { skipped: "no file", path };
  } catch {
    // Safe: it is reported as left out.
    return { skipped: "not readable", path };
  }
  return readOpened(real, isHistory);
}

/** Whether a real path is the root or below it. */
function isWithin(path: string, root: string): boolean {
  return path === root || path.startsWith(root.endsWith(sep) ? root : `${root}${sep}`);
}

function readOpened(path: string, isHistory: boolean): FileRead {
  try {
    const descriptor = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    try {
      const { size } = fstatSync(descriptor);
      if (size > MAX_FILE_BYTES && !isHistory) return { skipped: "too large", path };
      const bytes = Buffer.alloc(Math.min(size, MAX_FILE_BYTES));
      const length = readSync(descriptor, bytes, 0, bytes.length, Math.max(0, size - MAX_FILE_BYTES));
      return toText(path, bytes.subarray(0, length), size > MAX_FILE_BYTES);
    } finally {
      closeSync(descriptor);
    }
  } catch {
    // Safe: it is reported as left out.
    return { skipped: "not readable", path };
  }
}

/** A cut may go through a character; a text that is not UTF-8 is read byte by byte, and found in all the same. */
function toText(path: string, bytes: Buffer, isCut: boolean): FileRead {
  if (bytes.subarray(0, BINARY_SAMPLE_BYTES).includes(0)) return { skipped: "binary", path };
  return { path, text: bytes.toString(isCut || isUtf8(bytes) ? "utf8" : "latin1") };
}
