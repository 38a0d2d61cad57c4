/**
 * Checks every file of a log against the root that was signed, and says which file is wrong.
 *
 * Bundles, level 0 tiles and the level above are three witnesses of the same hashes: where two agree, the third is
 * named as damaged.
 */
import { isEqualBytes } from "../bytes.ts";
import { TrustWardenError } from "../error.ts";
import type { Checkpoint } from "./checkpoint.ts";
import type { Report } from "./finding.ts";
import { HASH_BYTES, leafHash, rootOf } from "./merkle.ts";
import type { LogReader } from "./ports.ts";
import {
  formatTilePath,
  parseBundle,
  parseTile,
  parseTilePath,
  TILE_WIDTH,
  type TileName,
  tileAt,
  tilesOf,
} from "./tile.ts";
import { EMPTY_EDGE, growTree, rootOfEdge, type TreeEdge } from "./tree-edge.ts";
import { readTile } from "./tree-reader.ts";

/** What one bundle turned out to hold. */
export interface AuditedBundle {
  /** Log index of the first entry. */
  readonly first: number;
  readonly entries: readonly Uint8Array[];
}

/**
 * Reads a whole log once, in order, and gives its entries as far as they can be read.
 *
 * Damage is reported, never thrown, so that one flipped bit does not hide the next.
 */
export async function* auditTiles(
  reader: LogReader,
  { head, report }: { readonly head: Checkpoint; readonly report: Report },
): AsyncGenerator<AuditedBundle, void, void> {
  const source = new TileSource(reader, report);
  const wanted = new Set(
    tilesOf(head.size)
      .filter(({ level }) => level !== "entries" && level > 0)
      .map(formatTilePath),
  );
  let edge = EMPTY_EDGE;
  for (let first = 0; first < head.size; first += TILE_WIDTH) {
    const bundle = tileAt({ level: "entries", position: first, size: head.size });
    const entries = await source.readBundle(bundle);
    const hashes = await settleHashes(source, { bundle, entries, head, edge });
    const growth = growTree(
      edge,
      hashes.map((hash) => ({ entry: NO_ENTRY, leafHash: hash })),
    );
    for (const { path, bytes } of growth.objects) {
      if (wanted.delete(path)) await source.compare(path, bytes);
    }
    edge = growth.edge;
    if (entries !== null) yield { first, entries };
  }
  if (!isEqualBytes(rootOfEdge(edge), head.root)) {
    report({ code: "root_mismatch", place: "checkpoint", detail: "the entries do not give the signed root" });
  }
}

/** Growing needs no entries here: their bundles are compared on their own. */
const NO_ENTRY = new Uint8Array(0);
const UNKNOWN_HASH = new Uint8Array(HASH_BYTES);

/** The leaf hashes of one bundle that the rest of the tree confirms; reports what does not fit them. */
async function settleHashes(
  source: TileSource,
  {
    bundle,
    entries,
    head,
    edge,
  }: {
    readonly bundle: TileName;
    readonly entries: readonly Uint8Array[] | null;
    readonly head: Checkpoint;
    readonly edge: TreeEdge;
  },
): Promise<readonly Uint8Array[]> {
  const tile: TileName = { ...bundle, level: 0 };
  const fromBundle = entries?.map(leafHash) ?? null;
  const fromTile = await source.readHashes(tile);
  if (fromBundle === null || fromTile === null)
    return fromBundle ?? fromTile ?? Array.from({ length: bundle.width }, () => UNKNOWN_HASH);
  const differs = fromBundle.findIndex((hash, index) => !isEqualBytes(hash, fromTile[index] ?? UNKNOWN_HASH));
  if (differs < 0) return fromBundle;
  const isConfirmed = await createConfirmation(source, { tile, head, edge });
  const isTileGood = isConfirmed(fromTile) && !isConfirmed(fromBundle);
  const index = bundle.index * TILE_WIDTH + differs;
  if (isTileGood || !isConfirmed(fromBundle)) {
    source.report({
      code: "bundle_damaged",
      place: formatTilePath(bundle),
      detail: `entry ${index} does not hash to its leaf`,
    });
  }
  if (!isTileGood) {
    source.report({
      code: "tile_damaged",
      place: formatTilePath(tile),
      detail: `leaf ${index} is not the hash of its entry`,
    });
  }
  return isTileGood ? fromTile : fromBundle;
}

/** Whether leaf hashes of a tile are the ones that the level above, or for the last tile the signed root, commits to. */
async function createConfirmation(
  source: TileSource,
  { tile, head, edge }: { readonly tile: TileName; readonly head: Checkpoint; readonly edge: TreeEdge },
): Promise<(hashes: readonly Uint8Array[]) => boolean> {
  if (tile.width < TILE_WIDTH) {
    return (hashes) => {
      const leaves = hashes.map((hash) => ({ entry: NO_ENTRY, leafHash: hash }));
      return isEqualBytes(growTree(edge, leaves).root, head.root);
    };
  }
  const above = tileAt({ level: 1, position: tile.index, size: head.size });
  const parent = (await source.readHashes(above))?.[tile.index % TILE_WIDTH];
  return (hashes) => parent !== undefined && isEqualBytes(rootOf(hashes), parent);
}

/** Reads files and reports what cannot be read. */
class TileSource {
  readonly #reader: LogReader;
  readonly report: Report;
  readonly #reported = new Set<string>();

  constructor(reader: LogReader, report: Report) {
    this.#reader = reader;
    this.report = report;
  }

  async readBundle(name: TileName): Promise<readonly Uint8Array[] | null> {
    return this.#read(name, "bundle_damaged", parseBundle);
  }

  async readHashes(name: TileName): Promise<readonly Uint8Array[] | null> {
    return this.#read(name, "tile_damaged", parseTile);
  }

  /** Reports a tile that does not hold what follows from the level below. */
  async compare(path: string, expected: Uint8Array): Promise<void> {
    const name = nameOf(path, expected);
    const hashes = await this.readHashes(name);
    if (hashes === null) return;
    const differs = hashes.findIndex((hash, index) => {
      return !isEqualBytes(hash, expected.subarray(index * HASH_BYTES, (index + 1) * HASH_BYTES));
    });
    if (differs >= 0)
      this.report({
        code: "tile_damaged",
        place: path,
        detail: `hash ${differs} does not follow from the level below`,
      });
  }

  async #read<T>(
    name: TileName,
    code: "bundle_damaged" | "tile_damaged",
    parse: (bytes: Uint8Array, name: TileName) => T,
  ): Promise<T | null> {
    const place = formatTilePath(name);
    try {
      return parse(await readTile(this.#reader, name), name);
    } catch (error) {
      // Damage is what an audit is for: it is reported, once a file, and the rest is still read.
      if (!(error instanceof TrustWardenError)) throw error;
      const isMissing = error.code === "not_found";
      if (!this.#reported.has(place)) {
        this.report({
          code: isMissing ? "tile_missing" : code,
          place,
          detail: isMissing ? "is not there" : "cannot be read",
        });
      }
      this.#reported.add(place);
      return null;
    }
  }
}

function nameOf(path: string, bytes: Uint8Array): TileName {
  return { ...parseTilePath(path), width: bytes.length / HASH_BYTES };
}
