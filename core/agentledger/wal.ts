/**
 * Records of the write-ahead log: what makes an entry durable before anything else happens to it.
 *
 * A record holds the entries of one group commit. Its header and its whole are each under a digest, so that three
 * cases stay apart: a good record; a torn last one, which was never acknowledged and is dropped; and a damaged one,
 * which may have been acknowledged and stops the start.
 */
import { isEqualBytes } from "../bytes.ts";
import { sha256 } from "../crypto.ts";
import { TrustWardenError } from "../error.ts";
import { encodeBundle } from "./tile.ts";

/** "TWL1" */
const MAGIC = 0x54574c31;
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
 * The good records of one write-ahead log, without a torn end.
 *
 * @throws TrustWardenError `ledger_corrupt` for a damaged record.
 */
export function parseWal(bytes: Uint8Array): readonly WalRecord[] {
  const records: WalRecord[] = [];
  let offset = 0;
  while (offset < bytes.length) {
    const record = parseRecord(bytes, offset);
    if (record === "torn") break;
    records.push({ first: record.first, entries: record.entries });
    offset = record.end;
  }
  return records;
}

function parseRecord(bytes: Uint8Array, start: number): (WalRecord & { readonly end: number }) | "torn" {
  if (start + HEADER_BYTES > bytes.length) return "torn";
  const view = new DataView(bytes.buffer, bytes.byteOffset + start);
  const header = bytes.subarray(start, start + HEADER_FIELDS_BYTES);
  if (!isEqualBytes(digest(header), bytes.subarray(start + HEADER_FIELDS_BYTES, start + HEADER_BYTES))) {
    return requireTorn(bytes, start, bytes.length);
  }
  if (view.getUint32(0) !== MAGIC)
    throw new TrustWardenError("ledger_corrupt", { reason: "wal magic", offset: start });
  const bodyEnd = start + HEADER_BYTES + view.getUint32(4);
  const end = bodyEnd + DIGEST_BYTES;
  if (end > bytes.length) return "torn";
  if (!isEqualBytes(digest(bytes.subarray(start, bodyEnd)), bytes.subarray(bodyEnd, end))) {
    return requireTorn(bytes, start, end);
  }
  const entries = splitEntries(bytes.subarray(start + HEADER_BYTES, bodyEnd));
  if (entries.length !== view.getUint32(16))
    throw new TrustWardenError("ledger_corrupt", { reason: "wal count", offset: start });
  return { first: Number(view.getBigUint64(8)), entries, end };
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

/** Bad bytes are only torn, and not damaged, when some sector of them was never written. */
function requireTorn(bytes: Uint8Array, from: number, to: number): "torn" {
  for (let start = from; start < to; ) {
    const end = Math.min(to, (Math.floor(start / SECTOR_BYTES) + 1) * SECTOR_BYTES);
    const sector = bytes.subarray(start, end);
    if (sector.length >= MIN_UNWRITTEN_BYTES && sector.every((byte) => byte === 0)) return "torn";
    start = end;
  }
  throw new TrustWardenError("ledger_corrupt", { reason: "wal record damaged", offset: from });
}

function digest(bytes: Uint8Array): Uint8Array {
  return sha256(bytes).subarray(0, DIGEST_BYTES);
}
