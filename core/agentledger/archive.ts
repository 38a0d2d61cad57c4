/**
 * The container of an evidence bundle: a zip with exactly one spelling for given files.
 *
 * Any unzip opens it. Files are stored, not deflated, sorted by path and without times, so that equal files give equal
 * bytes, nothing can blow up when it is read, and no byte of the container is free: reading is parsing and writing
 * again, and both must agree. A second file of one name, a path that leads outside and a cut-off end have no spelling.
 *
 * @see PKWARE APPNOTE.TXT 6.3.10, sections 4.3.7, 4.3.12 and 4.3.16; docs/decisions/0031
 */
import { concatBytes, encodeUtf8, isEqualBytes } from "../bytes.ts";
import { TrustWardenError } from "../error.ts";

/** Bytes of a whole bundle; more is a whole log, which `warden ledger export` gives. */
export const MAX_BUNDLE_BYTES = 16_000_000;
/** Three files an entry at most; far below the 65,535 of the format without its 64-bit extension. */
const MAX_FILES = 20_000;
const MAX_PATH_CHARS = 128;

const LOCAL = 0x04034b50;
const CENTRAL = 0x02014b50;
const END = 0x06054b50;
const LOCAL_BYTES = 30;
const CENTRAL_BYTES = 46;
const END_BYTES = 22;
/** Version 2.0, no flags, stored, midnight of 1980-01-01: the format has no way to say "no time". */
const HEAD = { version: 20, date: 0x0021 } as const;

/** One segment begins with a letter, a digit or an underscore, so `..` and absolute paths are none. */
const PATH = /^[A-Za-z0-9_][A-Za-z0-9._-]*(?:\/[A-Za-z0-9_][A-Za-z0-9._-]*)*$/;

/** Content by path. */
export type BundleFiles = ReadonlyMap<string, Uint8Array>;

/**
 * The zip of some files.
 *
 * @throws TrustWardenError `evidence_bundle_too_large`.
 */
export function encodeArchive(files: BundleFiles): Uint8Array {
  const sorted = [...files].sort(([left], [right]) => (left < right ? -1 : 1));
  if (sorted.length > MAX_FILES)
    throw new TrustWardenError("evidence_bundle_too_large", { files: sorted.length });
  const parts: Uint8Array[] = [];
  const directory: Uint8Array[] = [];
  let offset = 0;
  let total = END_BYTES;
  for (const [path, content] of sorted) {
    if (!isPath(path)) throw new Error(`not a path of a bundle: ${path}`);
    const name = encodeUtf8(path);
    const fields = encodeFields({ content, nameBytes: name.length });
    parts.push(encodeLocal(fields), name, content);
    directory.push(encodeCentral(fields, offset), name);
    offset += LOCAL_BYTES + name.length + content.length;
    total += LOCAL_BYTES + CENTRAL_BYTES + 2 * name.length + content.length;
    if (total > MAX_BUNDLE_BYTES)
      throw new TrustWardenError("evidence_bundle_too_large", { maxBytes: MAX_BUNDLE_BYTES });
  }
  const central = concatBytes(...directory);
  return concatBytes(...parts, central, encodeEnd({ count: sorted.length, bytes: central.length, offset }));
}

/**
 * The files of an untrusted zip.
 *
 * @throws TrustWardenError `evidence_bundle_malformed` unless it is byte for byte what `encodeArchive` makes of its files.
 */
export function parseArchive(bytes: Uint8Array): BundleFiles {
  if (bytes.length > MAX_BUNDLE_BYTES) throw malformed("too long");
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const files = new Map<string, Uint8Array>();
  let at = 0;
  while (at + LOCAL_BYTES <= bytes.length && view.getUint32(at, true) === LOCAL) {
    const size = view.getUint32(at + 18, true);
    const nameEnd = at + LOCAL_BYTES + view.getUint16(at + 26, true);
    const end = nameEnd + size;
    if (end > bytes.length) throw malformed("cut off");
    const path = String.fromCharCode(...bytes.subarray(at + LOCAL_BYTES, Math.min(nameEnd, at + 256)));
    if (!isPath(path) || files.has(path) || files.size >= MAX_FILES) throw malformed("a file's name");
    files.set(path, bytes.subarray(nameEnd, end));
    at = end;
  }
  if (files.size === 0 || !isCanonical(files, bytes)) throw malformed("not in the one spelling");
  return files;
}

function isCanonical(files: BundleFiles, bytes: Uint8Array): boolean {
  try {
    return isEqualBytes(encodeArchive(files), bytes);
  } catch (error) {
    if (error instanceof TrustWardenError && error.code === "evidence_bundle_too_large") return false;
    throw error;
  }
}

function isPath(path: string): boolean {
  return path.length <= MAX_PATH_CHARS && PATH.test(path);
}

/** The 26 bytes that both headers of a file have in common, from the version needed to the length of the extra field. */
function encodeFields({
  content,
  nameBytes,
}: {
  readonly content: Uint8Array;
  readonly nameBytes: number;
}): Uint8Array {
  const bytes = new Uint8Array(26);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, HEAD.version, true);
  view.setUint16(8, HEAD.date, true);
  view.setUint32(10, crc32(content), true);
  view.setUint32(14, content.length, true);
  view.setUint32(18, content.length, true);
  view.setUint16(22, nameBytes, true);
  return bytes;
}

function encodeLocal(fields: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(LOCAL_BYTES);
  new DataView(bytes.buffer).setUint32(0, LOCAL, true);
  bytes.set(fields, 4);
  return bytes;
}

function encodeCentral(fields: Uint8Array, offset: number): Uint8Array {
  const bytes = new Uint8Array(CENTRAL_BYTES);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, CENTRAL, true);
  view.setUint16(4, HEAD.version, true);
  bytes.set(fields, 6);
  view.setUint32(42, offset, true);
  return bytes;
}

function encodeEnd({
  count,
  bytes,
  offset,
}: {
  readonly count: number;
  readonly bytes: number;
  readonly offset: number;
}): Uint8Array {
  const end = new Uint8Array(END_BYTES);
  const view = new DataView(end.buffer);
  view.setUint32(0, END, true);
  view.setUint16(8, count, true);
  view.setUint16(10, count, true);
  view.setUint32(12, bytes, true);
  view.setUint32(16, offset, true);
  return end;
}

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte;
  for (let bit = 0; bit < 8; bit += 1) value = (value & 1) === 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1;
  return value;
});

function crc32(bytes: Uint8Array): number {
  let value = 0xffffffff;
  for (const byte of bytes) value = (value >>> 8) ^ (CRC_TABLE[(value ^ byte) & 0xff] ?? 0);
  return (value ^ 0xffffffff) >>> 0;
}

function malformed(reason: string): TrustWardenError {
  return new TrustWardenError("evidence_bundle_malformed", { reason });
}
