/**
 * A ledger as files: fetching it from a server into a directory, and reading such a directory again.
 *
 * The layout is that of C2SP tlog-tiles (`checkpoint`, `tile/`, `tile/entries/`), so that anybody's tools can verify
 * it; `bundle.json` (trust roots), `trust-domain` and `vkey` (the log's key) lie beside it for convenience and prove
 * nothing by themselves: compare them with what you got on another way.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { type Checkpoint, verifyCheckpoint } from "@trustwarden/core/agentledger/checkpoint.ts";
import type { LogReader } from "@trustwarden/core/agentledger/ports.ts";
import {
  compareShardNames,
  isShardName,
  type ShardName,
  shardFolder,
} from "@trustwarden/core/agentledger/shard.ts";
import {
  CHECKPOINT_PATH,
  encodeBundle,
  encodeTile,
  formatTilePath,
  parseBundle,
  parseTile,
  parseTilePath,
  type TileName,
  tilesOf,
} from "@trustwarden/core/agentledger/tile.ts";
import { readTile } from "@trustwarden/core/agentledger/tree-reader.ts";
import { discovery, type ShardList, shardList } from "@trustwarden/core/api/ledger.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { Client } from "./client.ts";

const BUNDLE_FILE = "bundle.json";
const VKEY_FILE = "vkey";
const TRUST_DOMAIN_FILE = "trust-domain";
const WITNESSED_FILE = "witnessed-checkpoint";
const CHECK_DIRECTORY = "Name a directory that `warden ledger export` wrote, and check that it is all there.";

/** What was fetched. */
export interface ExportedLog {
  /** Of the newest shard. */
  readonly checkpoint: Checkpoint;
  /** Entries of all shards. */
  readonly size: number;
  readonly vkey: string;
  readonly files: number;
}

/** A directory with an exported log. */
export interface LogDirectory {
  /** Of the log that the ledger began with. */
  readonly reader: LogReader;
  readonly openShard: (name: ShardName) => LogReader;
  /** Text of the SPIFFE bundle beside the log. */
  readonly bundleText: string;
  /** The log's key as it lies beside the log. */
  readonly vkey: string;
  readonly trustDomain: string;
  /** The newest checkpoint with cosignatures, unverified, of this tree or of an earlier one; null where there was none. */
  readonly witnessed: string | null;
}

/** Reads a shard through the HTTP API. */
function createRemoteReader(client: Client, name: ShardName): LogReader {
  const prefix = `/ledger/${shardFolder(name)}`;
  return {
    readObject: (path) => client.getBytes(`${prefix}${path}`),
    readCheckpoint: () => client.getText(`${prefix}${CHECKPOINT_PATH}`),
  };
}

/**
 * Writes the whole ledger, each shard at its latest checkpoint, into an empty or new directory.
 *
 * @throws TrustWardenError `usage` for a directory that is not empty; `checkpoint_untrusted`, `ledger_corrupt`.
 */
export async function exportLog(client: Client, directory: string): Promise<ExportedLog> {
  requireEmpty(directory);
  const { log_vkey: vkey, trust_domain } = await client.get("/.well-known/trustwarden", discovery);
  writeUnder(directory, BUNDLE_FILE, await client.getBytes("/v1/bundle"));
  writeUnder(directory, VKEY_FILE, `${vkey}\n`);
  writeUnder(directory, TRUST_DOMAIN_FILE, `${trust_domain}\n`);
  let files = 3;
  let last: ExportedShard | undefined;
  // A shard that ends while it is fetched names one that was not listed yet: the list is read until nothing is new in it.
  for (let done = 0; ; ) {
    const { shards } = await client.get("/ledger/shards", shardList);
    const waiting = shards.slice(done);
    if (waiting.length === 0) break;
    for (const shard of waiting) {
      last = await exportShard(client, { directory, shard });
      files += last.files;
    }
    done = shards.length;
  }
  if (last === undefined) throw new TrustWardenError("checkpoint_malformed", { reason: "missing" });
  return { ...last, vkey, files };
}

type ListedShard = ShardList["shards"][number];

/** What one shard gave. */
type ExportedShard = Pick<ExportedLog, "checkpoint" | "size" | "files">;

async function exportShard(
  client: Client,
  { directory, shard: { name, vkey, first } }: { readonly directory: string; readonly shard: ListedShard },
): Promise<ExportedShard> {
  const folder = shardFolder(name);
  const reader = createRemoteReader(client, name);
  const note = await client.getText(`/ledger/${folder}${CHECKPOINT_PATH}`);
  const checkpoint = verifyCheckpoint(note, vkey);
  const names = tilesOf(checkpoint.size);
  for (const tile of names)
    writeUnder(directory, `${folder}${formatTilePath(tile)}`, trimTile(await readTile(reader, tile), tile));
  writeUnder(directory, `${folder}${CHECKPOINT_PATH}`, note);
  const witnessed = await fetchWitnessed(client, { folder, vkey, size: checkpoint.size });
  if (witnessed !== null) writeUnder(directory, `${folder}${WITNESSED_FILE}`, witnessed);
  const files = names.length + (witnessed === null ? 1 : 2);
  return { checkpoint, size: first + checkpoint.size, files };
}

/**
 * Opens an exported log; nothing is verified yet.
 *
 * @throws TrustWardenError `not_found` when the directory holds no export.
 */
export function openLogDirectory(directory: string): LogDirectory {
  const openShard = (name: ShardName) => createDirectoryReader(join(directory, shardFolder(name)));
  return {
    bundleText: readText(join(directory, BUNDLE_FILE)),
    vkey: readText(join(directory, VKEY_FILE)).trim(),
    trustDomain: readText(join(directory, TRUST_DOMAIN_FILE)).trim(),
    witnessed: readNewestWitnessed(directory),
    reader: openShard(null),
    openShard,
  };
}

function createDirectoryReader(directory: string): LogReader {
  return {
    readCheckpoint: async () => readText(join(directory, CHECKPOINT_PATH)),
    // Only paths that parse as tiles reach the file system, so that no entry can lead out of the directory.
    readObject: async (path) => readBytes(join(directory, formatTilePath(parseTilePath(path)))),
  };
}

function readNewestWitnessed(directory: string): string | null {
  const shards = join(directory, "shard");
  const names = existsSync(shards) ? readdirSync(shards).filter(isShardName).sort(compareShardNames) : [];
  const files = [null, ...names].map((name) => join(directory, shardFolder(name), WITNESSED_FILE));
  const newest = files.findLast((file) => existsSync(file));
  return newest === undefined ? null : readText(newest);
}

/** The newest witnessed checkpoint that is within the exported tree; null when the server has none. */
async function fetchWitnessed(
  client: Client,
  { folder, vkey, size }: { readonly folder: string; readonly vkey: string; readonly size: number },
): Promise<string | null> {
  try {
    const note = await client.getText(`/ledger/${folder}${WITNESSED_FILE}`);
    return verifyCheckpoint(note, vkey).size <= size ? note : null;
  } catch (error) {
    if (error instanceof TrustWardenError && error.code === "not_found") return null;
    throw error;
  }
}

/** A server may answer with a fuller tile than was asked for; the export holds exactly the checkpoint's tree. */
function trimTile(bytes: Uint8Array, name: TileName): Uint8Array {
  return name.level === "entries"
    ? encodeBundle(parseBundle(bytes, name))
    : encodeTile(parseTile(bytes, name));
}

function requireEmpty(directory: string): void {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  if (readdirSync(directory).length === 0) return;
  throw new TrustWardenError("usage", {
    why: `${directory} is not empty`,
    next: "Export into a new directory; an old export stays as evidence of what the log said then.",
  });
}

function writeUnder(directory: string, path: string, content: Uint8Array | string): void {
  const file = join(directory, path);
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
  writeFileSync(file, content, { mode: 0o600 });
}

function readText(path: string): string {
  return readBytes(path).toString("utf8");
}

function readBytes(path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (cause) {
    throw new TrustWardenError(
      "not_found",
      { why: `${path} cannot be read`, next: CHECK_DIRECTORY },
      { cause },
    );
  }
}
