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
import { discovery } from "@trustwarden/core/api/ledger.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { Client } from "./client.ts";

const BUNDLE_FILE = "bundle.json";
const VKEY_FILE = "vkey";
const TRUST_DOMAIN_FILE = "trust-domain";
const WITNESSED_FILE = "witnessed-checkpoint";
const CHECK_DIRECTORY = "Name a directory that `warden ledger export` wrote, and check that it is all there.";

/** What was fetched. */
export interface ExportedLog {
  readonly checkpoint: Checkpoint;
  readonly vkey: string;
  readonly files: number;
}

/** A directory with an exported log. */
export interface LogDirectory {
  readonly reader: LogReader;
  /** Text of the SPIFFE bundle beside the log. */
  readonly bundleText: string;
  /** The log's key as it lies beside the log. */
  readonly vkey: string;
  readonly trustDomain: string;
  /** A checkpoint with cosignatures, unverified, of this tree or of an earlier one; null where the log had none. */
  readonly witnessed: string | null;
}

/** Reads a log through the HTTP API. */
function createRemoteReader(client: Client): LogReader {
  return {
    readObject: (path) => client.getBytes(`/ledger/${path}`),
    readCheckpoint: () => client.getText(`/ledger/${CHECKPOINT_PATH}`),
  };
}

/**
 * Writes the whole log at its latest checkpoint into an empty or new directory.
 *
 * @throws TrustWardenError `usage` for a directory that is not empty; `checkpoint_untrusted`, `ledger_corrupt`.
 */
export async function exportLog(client: Client, directory: string): Promise<ExportedLog> {
  requireEmpty(directory);
  const { log_vkey: vkey, trust_domain } = await client.get("/.well-known/trustwarden", discovery);
  const reader = createRemoteReader(client);
  const note = await client.getText(`/ledger/${CHECKPOINT_PATH}`);
  const checkpoint = verifyCheckpoint(note, vkey);
  const names = tilesOf(checkpoint.size);
  for (const name of names) {
    writeUnder(directory, formatTilePath(name), trimTile(await readTile(reader, name), name));
  }
  writeUnder(directory, BUNDLE_FILE, await client.getBytes("/v1/bundle"));
  writeUnder(directory, VKEY_FILE, `${vkey}\n`);
  writeUnder(directory, TRUST_DOMAIN_FILE, `${trust_domain}\n`);
  writeUnder(directory, CHECKPOINT_PATH, note);
  const witnessed = await fetchWitnessed(client, { vkey, size: checkpoint.size });
  if (witnessed !== null) writeUnder(directory, WITNESSED_FILE, witnessed);
  return { checkpoint, vkey, files: names.length + (witnessed === null ? 4 : 5) };
}

/**
 * Opens an exported log; nothing is verified yet.
 *
 * @throws TrustWardenError `not_found` when the directory holds no export.
 */
export function openLogDirectory(directory: string): LogDirectory {
  return {
    bundleText: readText(join(directory, BUNDLE_FILE)),
    vkey: readText(join(directory, VKEY_FILE)).trim(),
    trustDomain: readText(join(directory, TRUST_DOMAIN_FILE)).trim(),
    witnessed: existsSync(join(directory, WITNESSED_FILE)) ? readText(join(directory, WITNESSED_FILE)) : null,
    reader: {
      readCheckpoint: async () => readText(join(directory, CHECKPOINT_PATH)),
      // Only paths that parse as tiles reach the file system, so that no entry can lead out of the directory.
      readObject: async (path) => readBytes(join(directory, formatTilePath(parseTilePath(path)))),
    },
  };
}

/** The newest witnessed checkpoint that is within the exported tree; null when the server has none. */
async function fetchWitnessed(
  client: Client,
  { vkey, size }: { readonly vkey: string; readonly size: number },
): Promise<string | null> {
  try {
    const note = await client.getText(`/ledger/${WITNESSED_FILE}`);
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
