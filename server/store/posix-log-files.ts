/**
 * Durable file operations of the ledger: what is written is on the disk, under its name, when a call returns.
 *
 * A name is as durable as its directory, so directories are synced too. Nothing is ever changed in place: content
 * goes to a temporary file first and takes its name in one step.
 */
import { link, mkdir, open, readFile, rename, rm, unlink } from "node:fs/promises";
import { dirname, join } from "node:path";
import { isEqualBytes } from "@trustwarden/core/bytes.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";

const FILE_MODE = 0o600;
const DIRECTORY_MODE = 0o700;

/** Puts the entries of a directory on the disk. */
export async function syncDirectory(path: string): Promise<void> {
  const handle = await open(path, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Makes a directory with its parents, all durable. */
export async function makeDirectory(path: string): Promise<void> {
  const first = await mkdir(path, { recursive: true, mode: DIRECTORY_MODE });
  if (first === undefined) return;
  // From the deepest parent up to the one that existed before.
  let parent = dirname(path);
  while (parent.length >= dirname(first).length) {
    await syncDirectory(parent);
    if (parent === dirname(parent)) return;
    parent = dirname(parent);
  }
}

/** Writes a new file and syncs its content; its name is not durable yet. */
async function writeSynced(path: string, bytes: Uint8Array): Promise<void> {
  const handle = await open(path, "wx", FILE_MODE);
  try {
    await handle.writeFile(bytes);
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Replaces a file in one step, durably. @param temporary - a free path on the same file system. */
export async function replaceFile({
  path,
  temporary,
  bytes,
}: {
  readonly path: string;
  readonly temporary: string;
  readonly bytes: Uint8Array;
}): Promise<void> {
  await removeIfThere(temporary);
  await writeSynced(temporary, bytes);
  await rename(temporary, path);
  await syncDirectory(dirname(path));
}

/**
 * Gives a file its content once; the same content again is fine. The caller syncs the directory.
 *
 * @param temporary - a free path on the same file system.
 * @throws TrustWardenError `ledger_corrupt` when other bytes have the name.
 */
export async function writeOnce({
  path,
  temporary,
  bytes,
}: {
  readonly path: string;
  readonly temporary: string;
  readonly bytes: Uint8Array;
}): Promise<void> {
  await writeSynced(temporary, bytes);
  try {
    // Unlike a rename, a link never replaces what is there.
    await link(temporary, path);
  } catch (error) {
    if (!isFileError(error, "EEXIST")) throw error;
    if (!isEqualBytes(await readFile(path), bytes)) {
      throw new TrustWardenError(
        "ledger_corrupt",
        { path, reason: "published tile differs" },
        { cause: error },
      );
    }
  }
  await unlink(temporary);
}

/** `rm` looks at a file before it removes it, and this thread waits for that. */
async function removeIfThere(path: string): Promise<void> {
  try {
    await unlink(path);
  } catch (error) {
    if (!isFileError(error, "ENOENT")) throw error;
  }
}

/** Bytes of a file, or null when there is none. */
export async function readFileIfAny(path: string): Promise<Uint8Array | null> {
  try {
    return await readFile(path);
  } catch (error) {
    if (isFileError(error, "ENOENT") || isFileError(error, "ENOTDIR")) return null;
    throw error;
  }
}

/** Whether an error is the named one of the file system. */
export function isFileError(error: unknown, code: string): boolean {
  return error instanceof Error && "code" in error && error.code === code;
}

/** An empty directory for temporary files: whatever a crash left in it is removed. */
export async function makeTemporaryDirectory(root: string): Promise<string> {
  const path = join(root, "tmp");
  await rm(path, { recursive: true, force: true });
  await makeDirectory(path);
  return path;
}
