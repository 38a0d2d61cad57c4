/**
 * The growing right edge of the tree: all that appending needs of everything logged so far.
 *
 * Pure: `growTree` turns new entries into the tiles and bundles to write, and the same input always gives the same
 * bytes, so that a crash at any point is repaired by doing it again.
 *
 * @see C2SP tlog-tiles, "Merkle Tree"
 */

import { rootOf } from "./merkle.ts";
import type { LogObject } from "./ports.ts";
import { encodeBundle, encodeTile, formatFullTilePath, formatTilePath, TILE_WIDTH } from "./tile.ts";

/** A new entry and its leaf hash. */
export interface TreeLeaf {
  readonly entry: Uint8Array;
  readonly leafHash: Uint8Array;
}

/** The unfinished tiles of a tree. */
export interface TreeEdge {
  readonly size: number;
  /** Per tile level, the hashes of its last tile when that is partial (0 to 255 of them). */
  readonly levels: readonly (readonly Uint8Array[])[];
  /** Entries of the last bundle when that is partial. */
  readonly entries: readonly Uint8Array[];
}

/** A larger tree, and what must be written before anyone may rely on it. */
export interface Growth {
  readonly edge: TreeEdge;
  readonly root: Uint8Array;
  readonly objects: readonly LogObject[];
  /** Full tiles among the objects: their partial versions can go once a checkpoint covers them. */
  readonly fullTilePaths: readonly string[];
}

export const EMPTY_EDGE: TreeEdge = { size: 0, levels: [], entries: [] };

/** Root of the tree that ends at this edge. */
export function rootOfEdge({ levels }: TreeEdge): Uint8Array {
  // From the right: what is smaller than one hash of a level is the last, smaller subtree of that level.
  let right: Uint8Array | null = null;
  for (const hashes of levels) {
    if (hashes.length > 0 || right !== null) right = rootOf(right === null ? hashes : [...hashes, right]);
  }
  return right ?? rootOf([]);
}

/** The tree after appending leaves. */
export function growTree(edge: TreeEdge, leaves: readonly TreeLeaf[]): Growth {
  const writer = new TileWriter(edge);
  for (const leaf of leaves) writer.append(leaf);
  return writer.finish();
}

/** Collects the tiles of one growth; lives for one call of `growTree`. */
class TileWriter {
  readonly #objects: LogObject[] = [];
  readonly #fullTilePaths: string[] = [];
  readonly #levels: Uint8Array[][];
  readonly #changedLevels = new Set<number>();
  #entries: Uint8Array[];
  #size: number;

  constructor(edge: TreeEdge) {
    this.#levels = edge.levels.map((hashes) => [...hashes]);
    this.#entries = [...edge.entries];
    this.#size = edge.size;
  }

  append({ entry, leafHash }: TreeLeaf): void {
    this.#entries.push(entry);
    this.#size += 1;
    if (this.#entries.length === TILE_WIDTH) {
      const index = this.#size / TILE_WIDTH - 1;
      this.#addFull({ level: "entries", index }, encodeBundle(this.#entries));
      this.#entries = [];
    }
    this.#addHash(leafHash, 0);
  }

  finish(): Growth {
    if (this.#entries.length > 0 && this.#changedLevels.has(0)) {
      const index = Math.floor(this.#size / TILE_WIDTH);
      const path = formatTilePath({ level: "entries", index, width: this.#entries.length });
      this.#objects.push({ path, bytes: encodeBundle(this.#entries) });
    }
    for (const level of this.#changedLevels) {
      const hashes = this.#levels[level] ?? [];
      if (hashes.length === 0) continue;
      const index = Math.floor(this.#size / TILE_WIDTH ** (level + 1));
      this.#objects.push({
        path: formatTilePath({ level, index, width: hashes.length }),
        bytes: encodeTile(hashes),
      });
    }
    const edge: TreeEdge = { size: this.#size, levels: this.#levels, entries: this.#entries };
    return { edge, root: rootOfEdge(edge), objects: this.#objects, fullTilePaths: this.#fullTilePaths };
  }

  #addHash(hash: Uint8Array, level: number): void {
    const hashes = this.#levels[level] ?? [];
    this.#levels[level] = hashes;
    this.#changedLevels.add(level);
    hashes.push(hash);
    if (hashes.length < TILE_WIDTH) return;
    const index = Math.floor(this.#size / TILE_WIDTH ** (level + 1)) - 1;
    this.#addFull({ level, index }, encodeTile(hashes));
    this.#levels[level] = [];
    this.#addHash(rootOf(hashes), level + 1);
  }

  #addFull(name: { readonly level: number | "entries"; readonly index: number }, bytes: Uint8Array): void {
    const path = formatFullTilePath(name);
    this.#objects.push({ path, bytes });
    this.#fullTilePaths.push(path);
  }
}
