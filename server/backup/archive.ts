/** Files one after the other in a backup, each under its path below the data directory; a manifest ends them. */
import { closeSync, fsync, mkdirSync, openSync, statSync, writeSync } from "node:fs";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { encodeUtf8, parseUtf8 } from "@trustwarden/core/bytes.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { formatCanonicalJson, type JsonObject, parseJsonObject } from "@trustwarden/core/json.ts";
import type { SealedReader, SealedWriter } from "./sealed-stream.ts";

/** Files whose syncs are under way: the disk works while the next ones are opened and written. */
const SYNCS_AT_ONCE = 64;
const sync = promisify(fsync);
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
    if (!writer.writeFrom(descriptor, size))
      throw new TrustWardenError("backup_malformed", { reason: "a file shrank", path: file.path });
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
}

/**
 * Reads all files; where a target is given, into it. What was written is durable when it returns, names excepted.
 *
 * @param target - an empty directory, or null to prove the backup alone.
 * @throws TrustWardenError `backup_malformed`; what was written until then is worth nothing.
 */
export async function readFiles(reader: SealedReader, target: string | null): Promise<ReadFiles> {
  const syncs = new Syncs();
  let files = 0;
  let total = 0;
  for (;;) {
    const header = readHeader(reader);
    const { manifest } = header;
    if (typeof manifest === "object" && manifest !== null && !Array.isArray(manifest)) {
      reader.end();
      await syncs.settle(0);
      return { manifest: Object(manifest), files, bytes: total };
    }
    const { path, size } = header;
    if (typeof path !== "string" || !PATH.test(path) || path.includes("..")) throw malformed("a path");
    if (typeof size !== "number" || !Number.isSafeInteger(size) || size < 0) throw malformed("a size");
    if (target === null) copyOut(reader, size, null);
    else {
      syncs.begin(writeOut(reader, size, join(target, path)));
      await syncs.settle(SYNCS_AT_ONCE);
    }
    files += 1;
    total += size;
  }
}

/** Owns files that were written, until they are durable and closed. */
class Syncs {
  #failure: unknown;
  readonly #under = new Set<Promise<void>>();

  /** Takes a file over. */
  begin(descriptor: number): void {
    const syncing = syncAndClose(descriptor)
      .catch((error: unknown) => {
        this.#failure ??= error;
      })
      .finally(() => this.#under.delete(syncing));
    this.#under.add(syncing);
  }

  /** Returns when so few are under way. @throws the first failure of any. */
  async settle(count: number): Promise<void> {
    while (this.#under.size > count) await Promise.race(this.#under);
    if (this.#failure !== undefined) throw this.#failure;
  }
}

async function syncAndClose(descriptor: number): Promise<void> {
  try {
    await sync(descriptor);
  } finally {
    closeSync(descriptor);
  }
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

/** @returns the open file. */
function writeOut(reader: SealedReader, size: number, path: string): number {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  const descriptor = openSync(path, "wx", 0o600);
  try {
    copyOut(reader, size, descriptor);
    return descriptor;
  } catch (error) {
    closeSync(descriptor);
    throw error;
  }
}

function copyOut(reader: SealedReader, size: number, descriptor: number | null): void {
  for (let left = size; left > 0; ) {
    const bytes = reader.readSome(left);
    if (descriptor !== null) for (let at = 0; at < bytes.length; ) at += writeSync(descriptor, bytes, at);
    left -= bytes.length;
  }
}

function malformed(reason: string): TrustWardenError {
  return new TrustWardenError("backup_malformed", { reason });
}
