/**
 * Files that only their owner may read: checked before they are used, and written whole or not at all.
 *
 * The check and the read use one descriptor, so that a file swapped between them is not read unchecked. Symbolic
 * links are followed to a file that is then checked itself, because that is how mounted secrets arrive.
 */
import {
  closeSync,
  constants,
  fstatSync,
  fsyncSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  type Stats,
  statSync,
  writeSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { TrustWardenError } from "@trustwarden/core/error.ts";

/** Any right of the group or of others. */
const SHARED_BITS = 0o077;
const FILE_MODE = 0o600;
const DIRECTORY_MODE = 0o700;
/** Keys and sealed keys are far smaller. */
const MAX_KEY_FILE_BYTES = 65_536;

/**
 * Requires a secret file that only this user can read, in a directory that only this user can enter.
 *
 * @throws TrustWardenError `file_mode_too_open`.
 */
export function requirePrivateFile(path: string): void {
  readPrivateFile(path);
}

/**
 * The bytes of such a file.
 *
 * @param maxBytes - a larger one is refused.
 * @throws TrustWardenError `file_mode_too_open`; file system errors as they are (`ENOENT` and the like).
 */
export function readPrivateFile(path: string, maxBytes = MAX_KEY_FILE_BYTES): Uint8Array {
  const descriptor = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const stats = fstatSync(descriptor);
    requirePrivate(stats, path);
    if (!stats.isFile() || stats.size > maxBytes) {
      throw new TrustWardenError("file_mode_too_open", { path, reason: "not a small regular file" });
    }
    requirePrivateDirectory(dirname(realpathSync(path)));
    return new Uint8Array(readFileSync(descriptor));
  } finally {
    closeSync(descriptor);
  }
}

/**
 * Requires a directory that only this user can enter.
 *
 * @throws TrustWardenError `file_mode_too_open`.
 */
function requirePrivateDirectory(path: string): void {
  const stats = statSync(path);
  requirePrivate(stats, path);
  if (!stats.isDirectory())
    throw new TrustWardenError("file_mode_too_open", { path, reason: "not a directory" });
}

/** Makes the directory (0700) where it is missing. @throws TrustWardenError `file_mode_too_open` if it was there and open. */
export function createPrivateDirectory(path: string): void {
  mkdirSync(path, { recursive: true, mode: DIRECTORY_MODE });
  requirePrivateDirectory(path);
}

/** Replaces the file (0600): afterwards it holds the old bytes or the new ones, also after a power cut. */
export function writePrivateFile(path: string, bytes: Uint8Array): void {
  writeThrough(path, bytes, (temporary) => renameSync(temporary, path));
}

/**
 * Creates the file (0600) and never replaces one; durable when the call returns.
 *
 * @throws the file system's `EEXIST` when somebody else was first.
 */
export function createPrivateFile(path: string, bytes: Uint8Array): void {
  writeThrough(path, bytes, (temporary) => linkSync(temporary, path));
}

/** Writes a temporary file beside the target, makes it durable, publishes it, and makes its name durable. */
function writeThrough(path: string, bytes: Uint8Array, publish: (temporary: string) => void): void {
  const folder = mkdtempSync(`${path}.tmp-`);
  try {
    const temporary = join(folder, "new");
    const descriptor = openSync(temporary, "wx", FILE_MODE);
    try {
      writeAll(descriptor, bytes);
      fsyncSync(descriptor);
    } finally {
      closeSync(descriptor);
    }
    publish(temporary);
    fsyncDirectory(dirname(path));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function writeAll(descriptor: number, bytes: Uint8Array): void {
  let written = 0;
  while (written < bytes.length) written += writeSync(descriptor, bytes, written);
}

function fsyncDirectory(path: string): void {
  const descriptor = openSync(path, "r");
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

/** The owner is this process's user, or root, who can read everything anyway and mounts secrets. */
function requirePrivate(stats: Stats, path: string): void {
  const uid = process.getuid?.();
  if (uid !== undefined && stats.uid !== uid && stats.uid !== 0) {
    throw new TrustWardenError("file_mode_too_open", { path, reason: "owned by another user" });
  }
  if ((stats.mode & SHARED_BITS) !== 0) {
    throw new TrustWardenError("file_mode_too_open", { path, mode: (stats.mode & 0o777).toString(8) });
  }
}
