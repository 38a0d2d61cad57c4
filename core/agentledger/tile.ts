/**
 * The files of a tlog-tiles log: their paths, and the bytes of hash tiles and entry bundles.
 *
 * Only formats. Which tiles a tree needs is in `tree-edge.ts`; reading hashes through tiles in `tree-reader.ts`.
 *
 * @see C2SP tlog-tiles, "Merkle Tree" and "Log Entries"
 */
import { TrustWardenError } from "../error.ts";
import { HASH_BYTES } from "./merkle.ts";

/** Hashes in a full tile, entries in a full bundle. */
export const TILE_WIDTH = 256;

/** An entry's length is written in 16 bits. */
export const MAX_ENTRY_BYTES = 65_535;

/** Tile levels above this cannot exist in a tree of safe-integer size; the format itself allows 63. */
const MAX_TILE_LEVEL = 6;

/** One hash tile or entry bundle. */
export interface TileName {
  /** 0 upwards for hash tiles; `entries` for bundles. */
  readonly level: number | "entries";
  readonly index: number;
  /** 1 to 256 items; fewer than 256 is a partial tile. */
  readonly width: number;
}

/** Where the signed note of the latest checkpoint lies. */
export const CHECKPOINT_PATH = "checkpoint";

/** Path of a tile: `tile/<level>/<index>[.p/<width>]`, the index in groups of three digits, all but the last with x. */
export function formatTilePath({ level, index, width }: TileName): string {
  return `${formatFullTilePath({ level, index })}${width === TILE_WIDTH ? "" : `.p/${width}`}`;
}

/** Path of the full tile of this level and index. */
export function formatFullTilePath({
  level,
  index,
}: {
  readonly level: TileName["level"];
  readonly index: number;
}): string {
  const groups = [pad(index % 1000)];
  for (let rest = Math.floor(index / 1000); rest > 0; rest = Math.floor(rest / 1000)) {
    groups.unshift(`x${pad(rest % 1000)}`);
  }
  return `tile/${level}/${groups.join("/")}`;
}

const TILE_PATH = /^tile\/(entries|0|[1-9]\d?)\/((?:x\d{3}\/)*)(\d{3})(?:\.p\/([1-9]\d{0,2}))?$/;

/**
 * The tile that an untrusted path names; exactly one path names each tile.
 *
 * @throws TrustWardenError `not_found` for anything else, so that no path reaches a file system unparsed.
 */
export function parseTilePath(path: string): TileName {
  const match = TILE_PATH.exec(path);
  if (match === null) throw new TrustWardenError("not_found");
  const [, levelText = "", groups = "", last = "", widthText] = match;
  const level = levelText === "entries" ? "entries" : Number(levelText);
  const index = Number(`${groups.replaceAll(/[x/]/g, "")}${last}`);
  const name: TileName = { level, index, width: widthText === undefined ? TILE_WIDTH : Number(widthText) };
  const isPossible = Number.isSafeInteger(index) && (level === "entries" || level <= MAX_TILE_LEVEL);
  if (!isPossible || formatTilePath(name) !== path) throw new TrustWardenError("not_found");
  return name;
}

/** Hashes that a tree of `size` has at a tile level (level 0: leaves). */
export function countHashes(size: number, level: TileName["level"]): number {
  return level === "entries" ? size : Math.floor(size / TILE_WIDTH ** level);
}

/** The tile that holds hash `position` of a level, as wide as it is in a tree of `size`. */
export function tileAt({
  level,
  position,
  size,
}: {
  readonly level: TileName["level"];
  readonly position: number;
  readonly size: number;
}): TileName {
  const index = Math.floor(position / TILE_WIDTH);
  return { level, index, width: Math.min(TILE_WIDTH, countHashes(size, level) - index * TILE_WIDTH) };
}

/** Every tile and bundle of a tree of `size`: bundles first, then hash tiles from level 0 up. */
export function tilesOf(size: number): readonly TileName[] {
  const names: TileName[] = [];
  const levels: TileName["level"][] = ["entries"];
  for (let level = 0; countHashes(size, level) > 0; level += 1) levels.push(level);
  for (const level of levels) {
    for (let position = 0; position < countHashes(size, level); position += TILE_WIDTH) {
      names.push(tileAt({ level, position, size }));
    }
  }
  return names;
}

/** Bytes of a hash tile. */
export function encodeTile(hashes: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(hashes.length * HASH_BYTES);
  hashes.forEach((hash, index) => {
    bytes.set(hash, index * HASH_BYTES);
  });
  return bytes;
}

/**
 * The first `width` hashes of a tile; a wider tile than asked for is fine, since a log may drop partial tiles once
 * the full one exists.
 *
 * @throws TrustWardenError `ledger_corrupt` when it is too short or not whole hashes.
 */
export function parseTile(bytes: Uint8Array, name: TileName): readonly Uint8Array[] {
  if (
    bytes.length % HASH_BYTES !== 0 ||
    bytes.length < name.width * HASH_BYTES ||
    bytes.length > TILE_WIDTH * HASH_BYTES
  ) {
    throw new TrustWardenError("ledger_corrupt", { path: formatTilePath(name), reason: "tile length" });
  }
  return Array.from({ length: name.width }, (_, index) =>
    bytes.subarray(index * HASH_BYTES, (index + 1) * HASH_BYTES),
  );
}

/** Bytes of an entry bundle: each entry after its length, 16 bits big-endian. */
export function encodeBundle(entries: readonly Uint8Array[]): Uint8Array {
  const total = entries.reduce((sum, entry) => sum + 2 + entry.length, 0);
  const bytes = new Uint8Array(total);
  const view = new DataView(bytes.buffer);
  let offset = 0;
  for (const entry of entries) {
    view.setUint16(offset, entry.length);
    bytes.set(entry, offset + 2);
    offset += 2 + entry.length;
  }
  return bytes;
}

/**
 * The first `width` entries of a bundle; see `parseTile` about wider ones.
 *
 * @throws TrustWardenError `ledger_corrupt` when it has fewer entries, more than 256, or bytes after the last.
 */
export function parseBundle(bytes: Uint8Array, name: TileName): readonly Uint8Array[] {
  const entries: Uint8Array[] = [];
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let offset = 0;
  while (offset + 2 <= bytes.length) {
    const end = offset + 2 + view.getUint16(offset);
    if (end > bytes.length) break;
    entries.push(bytes.subarray(offset + 2, end));
    offset = end;
  }
  if (offset !== bytes.length || entries.length < name.width || entries.length > TILE_WIDTH) {
    throw new TrustWardenError("ledger_corrupt", { path: formatTilePath(name), reason: "bundle" });
  }
  return entries.slice(0, name.width);
}

function pad(group: number): string {
  return String(group).padStart(3, "0");
}
