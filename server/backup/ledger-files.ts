/**
 * The files of a ledger that is put back: whole against the roots that were signed, or taken from a newer copy that goes on from it.
 */
import { cpSync, rmSync } from "node:fs";
import { basename, join } from "node:path";
import { auditTiles } from "@trustwarden/core/agentledger/audit-tiles.ts";
import { type Checkpoint, verifyCheckpoint } from "@trustwarden/core/agentledger/checkpoint.ts";
import type { LogReader } from "@trustwarden/core/agentledger/ports.ts";
import { type ShardName, shardFolder } from "@trustwarden/core/agentledger/shard.ts";
import { readShardChain } from "@trustwarden/core/agentledger/shard-chain.ts";
import type { ShardStorage } from "@trustwarden/core/agentledger/sharded-log.ts";
import { TreeReader } from "@trustwarden/core/agentledger/tree-reader.ts";
import { isEqualBytes } from "@trustwarden/core/bytes.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { PosixLogReader, PosixLogStorage } from "../store/posix-log.ts";

/** The writer's own files of a ledger; a copy has none of them. */
const OWN_FILES: readonly string[] = ["lock", "lock-journal", "tmp"];

/** A ledger by its directory and the key of its first log. */
interface LedgerFiles {
  readonly directory: string;
  readonly vkey: string;
}

/** A shard's storage and reader below a ledger's directory. */
export function openShardIn(directory: string, shard: ShardName): ShardStorage {
  return { storage: new PosixLogStorage(placeIn(directory, shard)), reader: readerIn(directory, shard) };
}

/**
 * Puts a newer copy in the place of a ledger.
 *
 * @throws TrustWardenError `config_invalid` for the ledger of another server, or one that does not go on from the backup's.
 */
export async function takeNewerLedger({ directory, vkey }: LedgerFiles, from: string): Promise<void> {
  const newer = await headsOf(from, vkey);
  for (const [at, { head }] of (await headsOf(directory, vkey)).entries()) {
    const same = newer[at];
    if (same === undefined || !(await isContinued(head, same)))
      throw new TrustWardenError("config_invalid", {
        setting: "ledger",
        reason: "not this log, or not newer than the backup",
      });
  }
  rmSync(directory, { recursive: true });
  cpSync(from, directory, { recursive: true, filter: (path) => !OWN_FILES.includes(basename(path)) });
  for (const { name, head, note } of newer) await giveState(placeIn(directory, name), { ...head, note });
}

async function isContinued({ origin, size, root }: Checkpoint, newer: ShardHead): Promise<boolean> {
  if (newer.head.origin !== origin || newer.head.size < size) return false;
  return isEqualBytes(await new TreeReader(newer.reader, newer.head.size).readRoot(size), root);
}

/** What has none is a copy of what was published. */
async function giveState(
  directory: string,
  { size, root, note }: { readonly size: number; readonly root: Uint8Array; readonly note: string },
): Promise<void> {
  const storage = new PosixLogStorage(directory);
  await storage.open();
  try {
    if ((await storage.readState()) === null) await storage.swapState(null, { size, root, checkpoint: note });
  } finally {
    await storage.close();
  }
}

/** A shard as it is published in a directory. */
interface ShardHead {
  readonly name: ShardName;
  readonly reader: LogReader;
  readonly note: string;
  readonly head: Checkpoint;
}

/** Oldest first; the last one may have been named and not begun. */
async function headsOf(directory: string, vkey: string): Promise<readonly ShardHead[]> {
  const { ended, live } = await readShardChain(vkey, (name) => readerIn(directory, name));
  const heads: ShardHead[] = [];
  for (const { name, vkey: key } of [...ended, live]) {
    const reader = readerIn(directory, name);
    const note = await reader.readCheckpoint();
    if (note !== null) heads.push({ name, reader, note, head: verifyCheckpoint(note, key) });
  }
  if (heads.length === 0)
    throw new TrustWardenError("config_invalid", { setting: "ledger", reason: "no checkpoint" });
  return heads;
}

/** Every file of the log against the roots that were signed. @throws TrustWardenError `ledger_corrupt`. */
export async function requireWhole({ directory, vkey }: LedgerFiles): Promise<void> {
  const report: Parameters<typeof auditTiles>[1]["report"] = ({ code, place }) => {
    throw new TrustWardenError("ledger_corrupt", { finding: code, place });
  };
  for (const { reader, head } of await headsOf(directory, vkey))
    for await (const bundle of auditTiles(reader, { head, report })) void bundle;
}

function placeIn(directory: string, shard: ShardName): string {
  return join(directory, shardFolder(shard));
}

function readerIn(directory: string, shard: ShardName): PosixLogReader {
  return new PosixLogReader(placeIn(directory, shard));
}
