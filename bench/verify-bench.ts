/**
 * `verify-offline`: the audit of an exported ledger, against checking as many raw signatures.
 *
 * The ledger is a real one: a server, a service and an agent write it, and `warden ledger export` copies it.
 */
import { join } from "node:path";
import { AgentIdentity } from "trustwarden";
import { auditDirectory } from "../cli/verify-directory.ts";
import type { Bench, Setting } from "./bench.ts";
import { callGuarded } from "./guard-bench.ts";
import { openLab } from "./lab.ts";
import { repeat } from "./measure.ts";
import { createRawVerification } from "./raw-key.ts";

/** Guarded calls in the ledger, three records each. */
const CALLS = { full: { runs: 1000, atOnce: 16 }, quick: { runs: 200, atOnce: 16 } };
/** Bytes under the signature of a middling record. */
const SIGNED_BYTES = 700;

export const verifyBench: Bench = {
  id: "verify-offline",
  what: "audit of a whole ledger: tiles, records, signatures, joins; p50 of one audit",
  reference: "one raw P-256 verification for each record, one thread",
  unit: "ms",
  open: async (setting) => {
    const directory = await exportLedger(setting);
    const records = await audit(directory);
    return {
      product: { operations: records, run: () => audit(directory) },
      reference: { operations: records, run: createRawVerification(records, SIGNED_BYTES) },
    };
  },
};

/** The export of a ledger that was written for the purpose. */
async function exportLedger({ createDirectory, isQuick }: Setting): Promise<string> {
  const directory = join(createDirectory(), "export");
  const lab = await openLab(createDirectory());
  try {
    const { guarded } = await lab.startService();
    const identity = await AgentIdentity.create({
      name: "payment-agent",
      ticket: lab.ticket("payment-agent"),
    });
    await repeat(() => callGuarded(identity, guarded), isQuick ? CALLS.quick : CALLS.full);
    await identity.close();
    await lab.exportLedger(directory);
  } finally {
    await lab.close();
  }
  return directory;
}

/** Audits; returns the number of records. An audit that finds fault, or looks at less than all, proves no rate. */
async function audit(directory: string): Promise<number> {
  const report = await auditDirectory({ directory, vkey: undefined, olderCheckpoint: undefined });
  const damage = report.findings.find(({ severity }) => severity === "damage");
  if (damage !== undefined)
    throw new Error(`the audit found ${damage.code} at ${damage.place}: ${damage.detail}`);
  const records = Object.values(report.records).reduce((sum, count) => sum + count, 0);
  if (report.signatures !== records) throw new Error(`${report.signatures} of ${records} signatures checked`);
  return records;
}
