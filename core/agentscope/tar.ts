/**
 * Tar archives, as far as policy bundles need them: regular files under plain names, nothing else.
 *
 * Links, directories, long-name extensions and names that climb out are refused, so that an archive has one reading for
 * us and for whoever else unpacks it. Compression is the business of whoever has the bytes.
 *
 * @see POSIX pax, "ustar Interchange Format"
 */
import { concatBytes, encodeUtf8, parseUtf8 } from "../bytes.ts";
import { TrustWardenError } from "../error.ts";

const BLOCK = 512;
/** More files than any bundle of ours. */
const MAX_FILES = 512;
const MAX_NAME_BYTES = 100;
/** Where the fields of a header lie. */
const SIZE_AT = 124;
const CHECKSUM_AT = 148;
const TYPE_AT = 156;
const MAGIC_AT = 257;
const PREFIX_AT = 345;
/** Plain relative paths; a leading slash, which `opa build` writes, is cut off before. */
const NAME = /^(?!\.{1,2}(?:\/|$))[A-Za-z0-9._-]+(?:\/(?!\.{1,2}(?:\/|$))[A-Za-z0-9._-]+)*$/;

/** Contents by name, in the order of the archive. */
export type Files = ReadonlyMap<string, Uint8Array>;

/**
 * The files of an archive.
 *
 * @throws TrustWardenError `policy_bundle_malformed` for anything but regular files with plain names, each once.
 */
export function parseTar(archive: Uint8Array): Files {
  const files = new Map<string, Uint8Array>();
  let at = 0;
  while (at + BLOCK <= archive.length) {
    const header = archive.subarray(at, at + BLOCK);
    if (header.every((byte) => byte === 0)) return files;
    requireChecksum(header);
    const name = parseName(header);
    const size = parseOctal(header.subarray(SIZE_AT, SIZE_AT + 12));
    const end = at + BLOCK + size;
    const type = header[TYPE_AT];
    if (type !== 0 && type !== 0x30) refuse("not a regular file");
    if (end > archive.length) refuse("cut short");
    if (files.has(name)) refuse("a name twice");
    if (files.size >= MAX_FILES) refuse("too many files");
    files.set(name, archive.slice(at + BLOCK, end));
    at = at + BLOCK + Math.ceil(size / BLOCK) * BLOCK;
  }
  return refuse("no end");
}

/** The archive of files: the same files give the same bytes. Names have to be plain and at most 100 bytes. */
export function encodeTar(files: Files): Uint8Array {
  const parts = [...files].flatMap(([name, content]) => {
    const padding = new Uint8Array((BLOCK - (content.length % BLOCK)) % BLOCK);
    return [encodeHeader(name, content.length), content, padding];
  });
  return concatBytes(...parts, new Uint8Array(2 * BLOCK));
}

function encodeHeader(name: string, size: number): Uint8Array {
  const bytes = encodeUtf8(name);
  if (bytes.length > MAX_NAME_BYTES || !NAME.test(name)) throw new Error(`no name for an archive: ${name}`);
  const header = new Uint8Array(BLOCK);
  const put = (at: number, text: string): void => header.set(encodeUtf8(text), at);
  header.set(bytes, 0);
  put(100, "0000644\0");
  put(108, "0000000\0");
  put(116, "0000000\0");
  put(SIZE_AT, `${octal(size, 11)}\0`);
  put(136, "00000000000\0");
  put(CHECKSUM_AT, " ".repeat(8));
  put(TYPE_AT, "0");
  put(MAGIC_AT, "ustar\0");
  put(MAGIC_AT + 6, "00");
  put(CHECKSUM_AT, `${octal(sumOf(header), 6)}\0 `);
  return header;
}

function octal(value: number, digits: number): string {
  return value.toString(8).padStart(digits, "0");
}

function parseName(header: Uint8Array): string {
  const name = textAt(header, 0, MAX_NAME_BYTES).replace(/^\//, "");
  if (textAt(header, PREFIX_AT, 155) !== "" || !NAME.test(name)) refuse("a name that is not plain");
  return name;
}

function requireChecksum(header: Uint8Array): void {
  const expected = parseOctal(header.subarray(CHECKSUM_AT, CHECKSUM_AT + 8));
  const blank = header.slice();
  blank.fill(0x20, CHECKSUM_AT, CHECKSUM_AT + 8);
  if (sumOf(blank) !== expected) refuse("checksum");
}

function sumOf(header: Uint8Array): number {
  return header.reduce((sum, byte) => sum + byte, 0);
}

function parseOctal(field: Uint8Array): number {
  const text = textAt(field, 0, field.length).trim();
  return /^[0-7]{1,11}$/.test(text) ? Number.parseInt(text, 8) : refuse("a number");
}

/** Text up to the first NUL. */
function textAt(bytes: Uint8Array, from: number, length: number): string {
  const field = bytes.subarray(from, from + length);
  const end = field.indexOf(0);
  return parseUtf8(end === -1 ? field : field.subarray(0, end));
}

function refuse(reason: string): never {
  throw new TrustWardenError("policy_bundle_malformed", { reason });
}
