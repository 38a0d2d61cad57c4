/** `verify-offline`: the audit of an exported ledger, against checking as many raw signatures. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { formatTrustBundle } from "@trustwarden/core/agentid/trust-bundle.ts";
import { auditDirectory } from "../cli/verify-directory.ts";
import type { Bench } from "./bench.ts";
import { createDomain } from "./domain.ts";
import { startDurableLog } from "./log.ts";
import { createRawVerification } from "./raw-key.ts";
import { RecordWriter } from "./records.ts";

/** Three records each. */
const ACTIONS = { full: 2000, quick: 300 };
/** Bytes under the signature of a middling record. */
const SIGNED_BYTES = 700;

export const verifyBench: Bench = {
  id: "verify-offline",
  what: "audit of a whole ledger: tiles, records, signatures, joins; p50 of one audit",
  reference: "one raw P-256 verification for each record, one thread",
  unit: "ms",
  open: async ({ createDirectory, isQuick }) => {
    const directory = createDirectory();
    const records = await writeLedger(directory, isQuick ? ACTIONS.quick : ACTIONS.full);
    return {
      product: { operations: records, run: () => audit(join(directory, "log"), records) },
      reference: { operations: records, run: createRawVerification(records, SIGNED_BYTES) },
    };
  },
};

/** A ledger of actions and the files of an export beside it; returns the number of records. */
async function writeLedger(directory: string, actions: number): Promise<number> {
  const domain = createDomain();
  const writer = new RecordWriter(domain);
  const sequencer = await startDurableLog(directory);
  const introductions = writer.introductions();
  await sequencer.append(introductions);
  for (let action = 0; action < actions; action += 1)
    await sequencer.append(writer.nextAction(introductions.length + 3 * action + 1));
  await sequencer.stop();
  const { trustDomain, bundle } = domain.authority;
  for (const [name, text] of [
    ["bundle.json", formatTrustBundle(bundle)],
    ["trust-domain", trustDomain],
    ["vkey", sequencer.vkey],
  ] as const) {
    writeFileSync(join(directory, "log", name), text);
  }
  return sequencer.size;
}

/** An audit that finds fault, or that looked at less than everything, proves no rate. */
async function audit(directory: string, records: number): Promise<void> {
  const { signatures, findings } = await auditDirectory({
    directory,
    vkey: undefined,
    olderCheckpoint: undefined,
  });
  const [first] = findings;
  if (first !== undefined)
    throw new Error(`the audit found ${first.code} at ${first.place}: ${first.detail}`);
  if (signatures !== records) throw new Error(`${signatures} of ${records} signatures were checked`);
}
