/**
 * Records of the write-ahead log: what makes an entry durable before anything else happens to it.
 *
 * A record holds the entries of one group commit. Its header and its whole are each under a digest, so that three
 * cases stay apart: a good record; a torn last one, which was never acknowledged and is dropped; and a damaged one,
 * which may have been acknowledged and stops the start. Storage may prepare space ahead of the records: it reads as
 * zeros, and a log ends where nothing but zeros follows.
 */
import { isEqualBytes } from "../bytes.ts";
import { sha256 } from "../crypto.ts";
import { TrustWardenError } from "../error.ts";
import { encodeBundle } from "./tile.ts";

/** "TWL1"; none of its bytes is zero, so that prepared space is never taken for a header. */
const MAGIC = 0x54574c31;
const MAGIC_FIRST_BYTE = 0x54;
const DIGEST_BYTES = 16;
/** magic u32, body length u32, first index u64, count u32, then the digest of these. */
const HEADER_FIELDS_BYTES = 20;
const HEADER_BYTES = HEADER_FIELDS_BYTES + DIGEST_BYTES;
/** Storage writes whole sectors: one that was never written reads as zeros. */
const SECTOR_BYTES = 512;
/** Fewer zeros than this at a sector's edge could be an honest entry's. */
const MIN_UNWRITTEN_BYTES = 32;

/** The entries of one group commit. */
export interface WalRecord {
  /** Log index of the first entry. */
  readonly first: number;
  readonly entries: readonly Uint8Array[];
}

/** Bytes of a record. */
export function encodeWalRecord({ first, entries }: WalRecord): Uint8Array {
  const body = encodeBundle(entries);
  const bytes = new Uint8Array(HEADER_BYTES + body.length + DIGEST_BYTES);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, MAGIC);
  view.setUint32(4, body.length);
  view.setBigUint64(8, BigInt(first));
  view.setUint32(16, entries.length);
  bytes.set(digest(bytes.subarray(0, HEADER_FIELDS_BYTES)), HEADER_FIELDS_BYTES);
  bytes.set(body, HEADER_BYTES);
  bytes.set(digest(bytes.subarray(0, HEADER_BYTES + body.length)), HEADER_BYTES + body.length);
  return bytes;
}

/**
 * The good records of one segment of the write-ahead log, without a torn end and without prepared space.
 *
 * @throws TrustWardenError `ledger_corrupt` for a damaged record.
 */
export function parseWal(bytes: Uint8Array): readonly WalRecord[] {
  const records: WalRecord[] = [];
  let offset = 0;
  while (!isUnwritten(bytes, offset)) {
    const record = parseRecord(bytes, offset);
    if (record === "torn") break;
    records.push({ first: record.first, entries: record.entries });
    offset = record.end;
  }
  return records;
}

/** Whether nothing was ever written from an offset on: the end, or prepared space. */
export function isUnwritten(bytes: Uint8Array, offset = 0): boolean {
  return bytes.subarray(offset).every((byte) => byte === 0);
}

function parseRecord(bytes: Uint8Array, start: number): (WalRecord & { readonly end: number }) | "torn" {
  const bodyStart = start + HEADER_BYTES;
  if (bodyStart > bytes.length) return "torn";
  if (!hasGoodHeader(bytes, start)) {
    return requireTorn(bytes, { start, end: bodyStart, isCutOff: isUnwritten(bytes, bodyStart) });
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset + start);
  if (view.getUint32(0) !== MAGIC)
    throw new TrustWardenError("ledger_corrupt", { reason: "wal magic", offset: start });
  const bodyEnd = bodyStart + view.getUint32(4);
  const end = bodyEnd + DIGEST_BYTES;
  if (end > bytes.length) return "torn";
  if (!isEqualBytes(digest(bytes.subarray(start, bodyEnd)), bytes.subarray(bodyEnd, end))) {
    return requireTorn(bytes, { start, end, isCutOff: isUnwritten(bytes.subarray(bodyEnd, end)) });
  }
  const entries = splitEntries(bytes.subarray(bodyStart, bodyEnd));
  if (entries.length !== view.getUint32(16))
    throw new TrustWardenError("ledger_corrupt", { reason: "wal count", offset: start });
  return { first: Number(view.getBigUint64(8)), entries, end };
}

function hasGoodHeader(bytes: Uint8Array, start: number): boolean {
  const fields = bytes.subarray(start, start + HEADER_FIELDS_BYTES);
  return isEqualBytes(digest(fields), bytes.subarray(start + HEADER_FIELDS_BYTES, start + HEADER_BYTES));
}

function splitEntries(body: Uint8Array): readonly Uint8Array[] {
  const view = new DataView(body.buffer, body.byteOffset, body.byteLength);
  const entries: Uint8Array[] = [];
  for (let offset = 0; offset < body.length; ) {
    const end = offset + 2 + view.getUint16(offset);
    entries.push(body.slice(offset + 2, end));
    offset = end;
  }
  return entries;
}

/**
 * Bad bytes are only torn, and not damaged, when some of them were never written and no record follows: a record is
 * written when the one before it is durable. Never written is what lies behind the point where the write was cut off,
 * or any whole sector: those reach the disk in any order.
 */
function requireTorn(
  bytes: Uint8Array,
  { start, end, isCutOff }: { readonly start: number; readonly end: number; readonly isCutOff: boolean },
): "torn" {
  if ((isCutOff || hasUnwrittenSector(bytes, start, end)) && !hasRecordBehind(bytes, start)) return "torn";
  throw new TrustWardenError("ledger_corrupt", { reason: "wal record damaged", offset: start });
}

/** Looks at whole sectors, also behind `to`: what shares a sector with an unwritten end is unwritten too. */
function hasUnwrittenSector(bytes: Uint8Array, from: number, to: number): boolean {
  for (let start = from; start < to; ) {
    const end = Math.min(bytes.length, (Math.floor(start / SECTOR_BYTES) + 1) * SECTOR_BYTES);
    const sector = bytes.subarray(start, end);
    // A record begins with bytes that are not zero, so there even a few zeros say that it was not written.
    const isTelling = start === from || sector.length >= MIN_UNWRITTEN_BYTES;
    if (isTelling && isUnwritten(sector)) return true;
    start = end;
  }
  return false;
}

function hasRecordBehind(bytes: Uint8Array, from: number): boolean {
  const last = bytes.length - HEADER_BYTES;
  let start = bytes.indexOf(MAGIC_FIRST_BYTE, from + 1);
  while (start !== -1 && start <= last) {
    if (
      new DataView(bytes.buffer, bytes.byteOffset + start).getUint32(0) === MAGIC &&
      hasGoodHeader(bytes, start)
    )
      return true;
    start = bytes.indexOf(MAGIC_FIRST_BYTE, start + 1);
  }
  return false;
}

function digest(bytes: Uint8Array): Uint8Array {
  return sha256(bytes).subarray(0, DIGEST_BYTES);
}
