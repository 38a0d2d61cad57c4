/**
 * Hashes and entries of a stored tree, read through its tiles.
 *
 * Nothing read here is proven: who relies on it compares roots (`recovery.ts`, `sequencer.ts`, `verify-log.ts`).
 *
 * @see C2SP tlog-tiles, "Merkle Tree"
 */
import { TrustWardenError } from "../error.ts";
import { consistencyRanges } from "./consistency-proof.ts";
import { inclusionRanges } from "./inclusion-proof.ts";
import { EMPTY_ROOT, type LeafRange, nodeHash, rootOf } from "./merkle.ts";
import type { LogReader } from "./ports.ts";
import { outerRanges } from "./range-proof.ts";
import {
  countHashes,
  formatTilePath,
  parseBundle,
  parseTile,
  TILE_WIDTH,
  type TileName,
  tileAt,
} from "./tile.ts";
import type { TreeEdge } from "./tree-edge.ts";

/** Binary levels that one tile covers. */
const TILE_HEIGHT = 8;

/** Reads one tree; keeps the tiles it read, so make one for each question. */
export class TreeReader {
  readonly #reader: LogReader;
  readonly #size: number;
  readonly #tiles = new Map<string, Promise<readonly Uint8Array[]>>();

  /** @param size - of the tree whose tiles are to be read; at most the published size. */
  constructor(reader: LogReader, size: number) {
    this.#reader = reader;
    this.#size = size;
  }

  /** Unproven leaf hash of an entry. @throws TrustWardenError `not_found`, `ledger_corrupt`. */
  async readLeafHash(index: number): Promise<Uint8Array> {
    return this.#readNode({ level: 0, position: index, count: 1 });
  }

  /** Unproven entry. @throws TrustWardenError `not_found`, `ledger_corrupt`. */
  async readEntry(index: number): Promise<Uint8Array> {
    if (index >= this.#size) throw new TrustWardenError("not_found");
    const name = tileAt({ level: "entries", position: index, size: this.#size });
    const entry = parseBundle(await readTile(this.#reader, name), name)[index % TILE_WIDTH];
    if (entry === undefined) throw new TrustWardenError("not_found");
    return entry;
  }

  /** Unproven entries from one on, to the end of its bundle, each with its leaf hash. @throws as `readEntry` does. */
  async readBundleFrom(
    index: number,
  ): Promise<readonly { readonly entry: Uint8Array; readonly leafHash: Uint8Array }[]> {
    if (index >= this.#size) throw new TrustWardenError("not_found");
    const name = tileAt({ level: "entries", position: index, size: this.#size });
    const entries = parseBundle(await readTile(this.#reader, name), name);
    const hashes = await this.#readHashes(tileAt({ level: 0, position: index, size: this.#size }));
    return entries.slice(index % TILE_WIDTH).map((entry, offset) => {
      const leafHash = hashes[(index % TILE_WIDTH) + offset];
      if (leafHash === undefined) throw new TrustWardenError("ledger_corrupt", { index: index + offset });
      return { entry, leafHash };
    });
  }

  /** Unproven root of the first `size` entries. */
  async readRoot(size: number): Promise<Uint8Array> {
    return size === 0 ? EMPTY_ROOT : this.#readRange({ start: 0, end: size });
  }

  /** Inclusion proof of an entry in the tree of `size`. */
  async readInclusionProof(index: number, size: number): Promise<readonly Uint8Array[]> {
    return Promise.all(inclusionRanges(index, size).map((range) => this.#readRange(range)));
  }

  /** Hashes that prove entries [start, end) in the tree of `size`. */
  async readRangeProof(range: LeafRange, size: number): Promise<readonly Uint8Array[]> {
    return Promise.all(outerRanges(range, size).map((outer) => this.#readRange(outer)));
  }

  /** Consistency proof between two sizes. */
  async readConsistencyProof(oldSize: number, newSize: number): Promise<readonly Uint8Array[]> {
    return Promise.all(consistencyRanges(oldSize, newSize).map((range) => this.#readRange(range)));
  }

  /** The right edge of the tree, as appending needs it. */
  async readEdge(): Promise<TreeEdge> {
    const levels: (readonly Uint8Array[])[] = [];
    for (let level = 0; countHashes(this.#size, level) > 0; level += 1) {
      levels.push(await this.#readPartial(level));
    }
    const width = this.#size % TILE_WIDTH;
    if (width === 0) return { size: this.#size, levels, entries: [] };
    const name = tileAt({ level: "entries", position: this.#size - 1, size: this.#size });
    return { size: this.#size, levels, entries: parseBundle(await readTile(this.#reader, name), name) };
  }

  async #readPartial(level: number): Promise<readonly Uint8Array[]> {
    const count = countHashes(this.#size, level);
    return count % TILE_WIDTH === 0
      ? []
      : this.#readHashes(tileAt({ level, position: count - 1, size: this.#size }));
  }

  /** Root of leaves [start, end): full subtrees joined from the right, as RFC 6962 nests them. */
  async #readRange({ start, end }: LeafRange): Promise<Uint8Array> {
    const nodes: { readonly level: number; readonly position: number; readonly count: number }[] = [];
    for (let from = start; from < end; ) {
      let binaryLevel = 0;
      let span = 1;
      while (from % (span * 2) === 0 && from + span * 2 <= end) {
        span *= 2;
        binaryLevel += 1;
      }
      const level = Math.floor(binaryLevel / TILE_HEIGHT);
      const position = from / TILE_WIDTH ** level;
      nodes.push({ level, position, count: 2 ** (binaryLevel % TILE_HEIGHT) });
      from += span;
    }
    const hashes = await Promise.all(nodes.map((node) => this.#readNode(node)));
    return hashes.reduceRight((right, left) => nodeHash({ left, right }));
  }

  /** Root over `count` hashes of one tile. */
  async #readNode({
    level,
    position,
    count,
  }: {
    readonly level: number;
    readonly position: number;
    readonly count: number;
  }): Promise<Uint8Array> {
    if (position + count > countHashes(this.#size, level)) throw new TrustWardenError("not_found");
    const hashes = await this.#readHashes(tileAt({ level, position, size: this.#size }));
    const offset = position % TILE_WIDTH;
    return rootOf(hashes.slice(offset, offset + count));
  }

  #readHashes(name: TileName): Promise<readonly Uint8Array[]> {
    const path = formatTilePath(name);
    const known = this.#tiles.get(path);
    if (known !== undefined) return known;
    const hashes = readTile(this.#reader, name).then((bytes) => parseTile(bytes, name));
    this.#tiles.set(path, hashes);
    return hashes;
  }
}

/**
 * Bytes of a tile, or of the full tile when the partial one is gone; the parser then takes the width asked for.
 *
 * @throws TrustWardenError `not_found`.
 */
export async function readTile(reader: LogReader, name: TileName): Promise<Uint8Array> {
  try {
    return await reader.readObject(formatTilePath(name));
  } catch (error) {
    const isMissing = error instanceof TrustWardenError && error.code === "not_found";
    if (!isMissing || name.width === TILE_WIDTH) throw error;
    return reader.readObject(formatTilePath({ ...name, width: TILE_WIDTH }));
  }
}
