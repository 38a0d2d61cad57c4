/** The product's sequencer, on a disk or on nothing. */
import { generateKeyPairSync, sign } from "node:crypto";
import { join } from "node:path";
import type { HighWater, LogStorage } from "@trustwarden/core/agentledger/ports.ts";
import { Sequencer } from "@trustwarden/core/agentledger/sequencer.ts";
import type { Signer } from "@trustwarden/core/signer.ts";
import { PosixLogStorage } from "../server/store/posix-log.ts";
import { createPosixHighWater } from "../server/store/posix-log-high-water.ts";

/** A running sequencer over POSIX files in `<directory>/log`. */
export function startDurableLog(directory: string): Promise<Sequencer> {
  const dataDirectory = join(directory, "log");
  const highWater = createPosixHighWater({ path: join(directory, "high-water"), dataDirectory });
  return startLog({ storage: new PosixLogStorage(dataDirectory), highWater });
}

/** A running sequencer. */
export async function startLog(kept: {
  readonly storage: LogStorage;
  readonly highWater: HighWater;
}): Promise<Sequencer> {
  const sequencer = new Sequencer({
    origin: "ledger.bench.test",
    signer: createLogSigner(),
    ...kept,
    now: () => Math.floor(Date.now() / 1000),
    onFatal: (error) => {
      throw error;
    },
  });
  await sequencer.start();
  return sequencer;
}

function createLogSigner(): Signer {
  const { privateKey, publicKey } = generateKeyPairSync("ed25519");
  return { algorithm: "Ed25519", publicKey, sign: (data) => sign(null, data, privateKey) };
}
