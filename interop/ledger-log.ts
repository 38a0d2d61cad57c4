/** A real ledger: written by our sequencer on our POSIX storage, exported as anybody would copy it. */
import { createPublicKey, generateKeyPairSync, sign } from "node:crypto";
import { cpSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { issueCheckpoint } from "@trustwarden/core/agentledger/checkpoint.ts";
import { oneLogKey } from "@trustwarden/core/agentledger/log-keys.ts";
import { leafHash } from "@trustwarden/core/agentledger/merkle.ts";
import { Sequencer } from "@trustwarden/core/agentledger/sequencer.ts";
import { shardFolder } from "@trustwarden/core/agentledger/shard.ts";
import { ShardedLog } from "@trustwarden/core/agentledger/sharded-log.ts";
import type { Signer } from "@trustwarden/core/signer.ts";
import { PosixLogReader, PosixLogStorage } from "../server/store/posix-log.ts";
import { createPosixHighWater } from "../server/store/posix-log-high-water.ts";
import type { Random } from "./random.ts";

const ORIGIN = "ledger.acme.test/2026q4";
const LEDGER = "ledger.acme.test";
/** The example of the tlog-tiles specification: three levels of tiles, a partial one on each. */
export const LEDGER_SIZE = 70_000;
/** Sizes at which the published checkpoint is kept: on both sides of a tile, of a level, and in between. */
const KEPT_SIZES: readonly number[] = [1, 2, 255, 256, 257, 1000, 65_535, 65_536, 65_537, 69_999];
/** What the format can hold at most; one entry is that long. */
const MAX_ENTRY_BYTES = 65_535;
const USUAL_ENTRY_BYTES = 600;
/** Index of the longest. */
const LONG_ENTRY = 300;
const BATCH = 2000;

/** An exported ledger and what its readers need to know. */
export interface ExportedLedger {
  /** Holds `checkpoint` and `tile/`, nothing else. */
  readonly directory: string;
  readonly vkey: string;
  readonly size: number;
  /** Files of earlier checkpoints. */
  readonly oldCheckpoints: readonly string[];
  /** Files of signed promises. */
  readonly acknowledgements: readonly string[];
  /** Files of checkpoints that the log's own key signed over another history. */
  readonly forkedCheckpoints: readonly string[];
}

/** Writes a ledger of `LEDGER_SIZE` entries below `folder` and exports it. */
export async function createLedger(folder: string, random: Random): Promise<ExportedLedger> {
  const data = join(folder, "data");
  mkdirSync(folder, { recursive: true });
  const signer = createLogSigner();
  const log = new Sequencer({
    origin: ORIGIN,
    signer,
    storage: new PosixLogStorage(data),
    highWater: createPosixHighWater({ path: join(folder, "high-water"), dataDirectory: data }),
    now: () => Math.floor(Date.now() / 1000),
    onFatal: (error) => {
      throw error;
    },
    maxEntryBytes: MAX_ENTRY_BYTES,
  });
  await log.start();
  const { oldCheckpoints, acknowledgements } = await fill(log, folder, random);
  await log.stop();
  const directory = join(folder, "export");
  mkdirSync(directory);
  cpSync(join(data, "checkpoint"), join(directory, "checkpoint"));
  cpSync(join(data, "tile"), join(directory, "tile"), { recursive: true });
  const fork = issueCheckpoint({ origin: ORIGIN, size: 1000, root: leafHash(new Uint8Array(1)) }, signer);
  const forkedCheckpoints = [keep(folder, "checkpoint-forked", fork)];
  return {
    directory,
    vkey: log.vkey,
    size: LEDGER_SIZE,
    oldCheckpoints,
    acknowledgements,
    forkedCheckpoints,
  };
}

/** Sizes of the shards of a ledger that turned: a tile and a bit, exactly one with its two marks, and hardly anything. */
const SHARD_ENTRIES: readonly number[] = [300, 254, 3];

/** Writes a ledger that turns twice below `folder`; each shard of it, exported as the log that it is. */
export async function createTurnedLedger(folder: string, random: Random): Promise<readonly ExportedLedger[]> {
  const data = join(folder, "data");
  mkdirSync(folder, { recursive: true });
  const log = new ShardedLog({
    ledger: LEDGER,
    keys: oneLogKey(createLogSigner()),
    openShard: (name) => {
      const directory = join(data, shardFolder(name));
      return { storage: new PosixLogStorage(directory), reader: new PosixLogReader(directory) };
    },
    highWater: createPosixHighWater({ path: join(folder, "high-water"), dataDirectory: data }),
    now: () => Math.floor(Date.now() / 1000),
    onFatal: (error) => {
      throw error;
    },
  });
  await log.start();
  for (const [at, count] of SHARD_ENTRIES.entries()) {
    if (at > 0) await log.turn(`2026q${at}`);
    await log.append(Array.from({ length: count }, (_, index) => createEntry(index, random)));
  }
  await log.stop();
  return log.shards.map(({ name, vkey, log: { size } }, at) => {
    const directory = join(folder, `export-${at}`);
    mkdirSync(directory);
    for (const part of ["checkpoint", "tile"])
      cpSync(join(data, shardFolder(name), part), join(directory, part), { recursive: true });
    return { directory, vkey, size, oldCheckpoints: [], acknowledgements: [], forkedCheckpoints: [] };
  });
}

async function fill(
  log: Sequencer,
  folder: string,
  random: Random,
): Promise<Pick<ExportedLedger, "oldCheckpoints" | "acknowledgements">> {
  const oldCheckpoints: string[] = [];
  const acknowledgements: string[] = [];
  for (const stop of [...KEPT_SIZES, LEDGER_SIZE]) {
    while (log.size < stop) {
      const count = Math.min(BATCH, stop - log.size);
      const [first] = await log.append(
        Array.from({ length: count }, (_, index) => createEntry(log.size + index, random)),
      );
      if (first !== undefined && acknowledgements.length < KEPT_SIZES.length) {
        acknowledgements.push(keep(folder, `ack-${first.index}`, first.acknowledgement));
      }
    }
    await log.waitForCheckpoint(stop);
    if (stop < LEDGER_SIZE) oldCheckpoints.push(keep(folder, `checkpoint-${stop}`, log.checkpoint()));
  }
  return { oldCheckpoints, acknowledgements };
}

/** Bytes of every kind: the log does not read them. */
function createEntry(index: number, random: Random): Uint8Array {
  const length = index === LONG_ENTRY ? MAX_ENTRY_BYTES : 1 + random.below(USUAL_ENTRY_BYTES);
  const entry = new Uint8Array(length);
  for (let at = 0; at < length; at += 1 + random.below(8)) entry[at] = random.below(256);
  return entry;
}

function keep(folder: string, name: string, text: string): string {
  const file = join(folder, name);
  writeFileSync(file, text);
  return file;
}

function createLogSigner(): Signer {
  const { privateKey } = generateKeyPairSync("ed25519");
  return {
    algorithm: "Ed25519",
    publicKey: createPublicKey(privateKey),
    sign: (data) => sign(null, data, privateKey),
  };
}
