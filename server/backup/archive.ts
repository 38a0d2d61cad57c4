/** Files one after the other in a backup, each under its path below the data directory; a manifest ends them. */
import { closeSync, mkdirSync, openSync, readSync, statSync, writeSync } from "node:fs";
import { open } from "node:fs/promises";
import { dirname, join } from "node:path";
import { encodeUtf8, parseUtf8 } from "@trustwarden/core/bytes.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { formatCanonicalJson, type JsonObject, parseJsonObject } from "@trustwarden/core/json.ts";
import type { SealedReader, SealedWriter } from "./sealed-stream.ts";

const CHUNK_BYTES = 1_048_576;
/** Syncs at once: the file system's journal takes them together, and one after the other they take longer than all the writing. */
const SYNCS_AT_ONCE = 16;
const LENGTH_BYTES = 4;
const MAX_HEADER_BYTES = 65_536;
/** Of the data directory: lower-case names, digits, and the dots and signs that its files have; no `..`, nothing absolute. */
const PATH = /^(?!\.)(?:[A-Za-z0-9_][A-Za-z0-9_.-]*\/)*[A-Za-z0-9_][A-Za-z0-9_.-]*$/;

/** Appends a file as it is now. */
export function addFile(writer: SealedWriter, file: { readonly path: string; readonly from: string }): void {
  const { size } = statSync(file.from);
  addHeader(writer, { path: file.path, size });
  const descriptor = openSync(file.from, "r");
  try {
    const chunk = Buffer.alloc(CHUNK_BYTES);
    for (let left = size; left > 0; ) {
      const read = readSync(descriptor, chunk, 0, Math.min(left, CHUNK_BYTES), null);
      if (read === 0)
        throw new TrustWardenError("backup_malformed", { reason: "a file shrank", path: file.path });
      writer.write(chunk.subarray(0, read));
      left -= read;
    }
  } finally {
    closeSync(descriptor);
  }
}

/** Appends bytes as a file. */
export function addBytes(
  writer: SealedWriter,
  file: { readonly path: string; readonly bytes: Uint8Array },
): void {
  addHeader(writer, { path: file.path, size: file.bytes.length });
  writer.write(file.bytes);
}

/** Ends the files. */
export function addManifest(writer: SealedWriter, manifest: JsonObject): void {
  addHeader(writer, { manifest });
}

function addHeader(writer: SealedWriter, header: JsonObject): void {
  const bytes = encodeUtf8(formatCanonicalJson(header));
  const length = Buffer.alloc(LENGTH_BYTES);
  length.writeUInt32BE(bytes.length);
  writer.write(length);
  writer.write(bytes);
}

/** Files of a backup that were read. */
export interface ReadFiles {
  readonly manifest: JsonObject;
  readonly files: number;
  readonly bytes: number;
  /** Where they were written; not yet durable. */
  readonly written: readonly string[];
}

/**
 * Reads all files; where a target is given, into it, for `syncFiles` to make durable.
 *
 * @param target - an empty directory, or null to prove the backup alone.
 * @throws TrustWardenError `backup_malformed`; what was written until then is worth nothing.
 */
export function readFiles(reader: SealedReader, target: string | null): ReadFiles {
  const written: string[] = [];
  let files = 0;
  let total = 0;
  for (;;) {
    const header = readHeader(reader);
    const { manifest } = header;
    if (typeof manifest === "object" && manifest !== null && !Array.isArray(manifest)) {
      reader.end();
      return { manifest: Object(manifest), files, bytes: total, written };
    }
    const { path, size } = header;
    if (typeof path !== "string" || !PATH.test(path) || path.includes("..")) throw malformed("a path");
    if (typeof size !== "number" || !Number.isSafeInteger(size) || size < 0) throw malformed("a size");
    const to = target === null ? null : join(target, path);
    copyOut(reader, { size, path: to });
    if (to !== null) written.push(to);
    files += 1;
    total += size;
  }
}

/** Makes files durable that were written before. */
export async function syncFiles(paths: readonly string[]): Promise<void> {
  const left = [...paths];
  const syncNext = async (): Promise<void> => {
    for (let path = left.pop(); path !== undefined; path = left.pop()) {
      const file = await open(path, "r+");
      await file.sync().finally(() => file.close());
    }
  };
  await Promise.all(Array.from({ length: SYNCS_AT_ONCE }, syncNext));
}

function readHeader(reader: SealedReader): JsonObject {
  const length = Buffer.from(reader.read(LENGTH_BYTES)).readUInt32BE();
  if (length > MAX_HEADER_BYTES) throw malformed("a header");
  try {
    return parseJsonObject(parseUtf8(reader.read(length)), MAX_HEADER_BYTES);
  } catch (cause) {
    if (cause instanceof TrustWardenError && cause.code === "backup_malformed") throw cause;
    throw new TrustWardenError("backup_malformed", { reason: "a header" }, { cause });
  }
}

function copyOut(
  reader: SealedReader,
  { size, path }: { readonly size: number; readonly path: string | null },
): void {
  if (path !== null) mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  const descriptor = path === null ? null : openSync(path, "wx", 0o600);
  try {
    for (let left = size; left > 0; ) {
      const bytes = reader.read(Math.min(left, CHUNK_BYTES));
      if (descriptor !== null) for (let at = 0; at < bytes.length; ) at += writeSync(descriptor, bytes, at);
      left -= bytes.length;
    }
  } finally {
    if (descriptor !== null) closeSync(descriptor);
  }
}

function malformed(reason: string): TrustWardenError {
  return new TrustWardenError("backup_malformed", { reason });
}
