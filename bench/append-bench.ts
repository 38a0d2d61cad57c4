/**
 * `append-hash`, `append-durable`, `append-verified`: the sequencer in this process, in batches, against the one raw
 * operation that each cannot do without.
 *
 * A batch is 128 actions that arrive together, each an intent and a decision as neighbours, as the server appends
 * them: 256 entries of about a kilobyte. Disk writes and tiles are the product's, in the system's temporary directory.
 */
import { hash } from "node:crypto";
import { open } from "node:fs/promises";
import { join } from "node:path";
import type { Sequencer } from "@trustwarden/core/agentledger/sequencer.ts";
import { encodeWalRecord } from "@trustwarden/core/agentledger/wal.ts";
import { encodeUtf8 } from "@trustwarden/core/bytes.ts";
import { type VerifiedIntent, verifyIntent } from "@trustwarden/core/intent.ts";
import type { Bench } from "./bench.ts";
import { createDomain, type Domain } from "./domain.ts";
import { createForgetfulStorage } from "./forgetful-storage.ts";
import { startDurableLog, startLog } from "./log.ts";
import { createRawVerification } from "./raw-key.ts";
import { RecordWriter } from "./records.ts";

const ACTIONS = 128;
const ENTRIES = 2 * ACTIONS;

/** What of a batch is appended together. */
type Batch = readonly (readonly Uint8Array[])[];

export const appendHashBench: Bench = {
  id: "append-hash",
  what: "sequence entries and build the tree, storage that forgets; p50 of a batch of 256",
  reference: "one raw SHA-256 of each entry",
  unit: "ms",
  open: async () => {
    const batch = createBatch(createDomain());
    const entries = batch.flat();
    const sequencer = await startLog(createForgetfulStorage());
    return {
      product: { operations: ENTRIES, run: () => append(sequencer, batch) },
      reference: {
        operations: ENTRIES,
        run: () => {
          for (const entry of entries) hash("sha256", entry, "buffer");
        },
      },
      close: () => sequencer.stop(),
    };
  },
};

export const appendDurableBench: Bench = {
  id: "append-durable",
  what: "append entries durably, tiles and checkpoints behind; p50 of a batch of 256",
  reference: "one raw write and fdatasync of the same bytes",
  unit: "ms",
  open: async ({ createDirectory }) => {
    const batch = createBatch(createDomain());
    const sequencer = await startDurableLog(createDirectory());
    const bytes = encodeWalRecord({ first: 0, entries: batch.flat() });
    const file = await open(join(createDirectory(), "raw"), "a");
    return {
      product: { operations: ENTRIES, run: () => append(sequencer, batch) },
      reference: {
        operations: ENTRIES,
        run: async () => {
          await file.appendFile(bytes);
          await file.datasync();
        },
      },
      close: async () => {
        await sequencer.stop();
        await file.close();
      },
    };
  },
};

export const appendVerifiedBench: Bench = {
  id: "append-verified",
  what: "verify signed intents, then append them durably; p50 of a batch of 256",
  reference: "one raw P-256 verification of each, one thread",
  unit: "ms",
  open: async ({ createDirectory }) => {
    const domain = createDomain();
    const writer = new RecordWriter(domain);
    const envelopes = Array.from({ length: ENTRIES }, () => writer.nextIntent().envelope);
    const sequencer = await startDurableLog(createDirectory());
    let writing: Promise<unknown> = Promise.resolve();
    return {
      product: {
        operations: ENTRIES,
        run: async () => {
          const verified = envelopes.map((envelope) => verify(envelope, writer, domain));
          // One batch is being written while the next is verified; none is left behind uncounted.
          await writing;
          writing = append(
            sequencer,
            verified.map(({ envelope }) => [encodeUtf8(envelope)]),
          );
        },
      },
      reference: { operations: ENTRIES, run: createRawVerification(ENTRIES, envelopes[0]?.length ?? 0) },
      close: async () => {
        await writing;
        await sequencer.stop();
      },
    };
  },
};

function verify(envelope: string, { parties }: RecordWriter, { now }: Domain): VerifiedIntent {
  return verifyIntent(envelope, { leaf: parties.agent.leaf, audience: parties.service.id, now });
}

function createBatch(domain: Domain): Batch {
  const writer = new RecordWriter(domain);
  return Array.from({ length: ACTIONS }, () => {
    const intent = writer.nextIntent();
    return [encodeUtf8(intent.envelope), writer.decide(intent)];
  });
}

async function append(sequencer: Sequencer, batch: Batch): Promise<void> {
  await Promise.all(batch.map((entries) => sequencer.append(entries)));
}
