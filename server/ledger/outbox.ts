/**
 * Brings into the ledger what commands committed before a crash and nobody sequenced.
 *
 * Idempotent: entries that are in the ledger already are recognised by their bytes and only marked. The group of an
 * outbox row went in as neighbours or not at all, so its last entry stands for it.
 */
import { parseUtf8 } from "@trustwarden/core/bytes.ts";
import { parseEnvelope, parseUnverifiedPayload } from "@trustwarden/core/dsse.ts";
import type { StoreCommands, StoreReads } from "../store/ports.ts";
import type { LogWriter } from "./ledger.ts";
import { digestOfEntry } from "./tail.ts";

/** A row is committed before it is sequenced; clocks may have been corrected between. */
const MARGIN_MS = 60_000;

/** Unix milliseconds from which on entries of the outbox may be in the ledger; infinite for an empty outbox. */
export function oldestPendingMs(reads: Pick<StoreReads, "pendingEntries">): number {
  const [oldest] = reads.pendingEntries();
  const control = oldest?.entries.at(-1);
  return control === undefined ? Number.POSITIVE_INFINITY : reachOfEvent(control);
}

/** Unix milliseconds from which on an event of a command may be in the ledger, whoever brings it in. */
export function reachOfEvent(control: Uint8Array): number {
  const { time } = parseUnverifiedPayload(parseEnvelope(parseUtf8(control)));
  return typeof time === "string" ? Date.parse(time) - MARGIN_MS : 0;
}

/**
 * Sequences and marks everything that is pending, in order.
 *
 * @returns how many rows had to be sequenced.
 * @throws TrustWardenError `ledger_unavailable`, `store_unavailable`.
 */
export async function drainOutbox(options: {
  readonly reads: Pick<StoreReads, "pendingEntries">;
  readonly markSequenced: StoreCommands["markSequenced"];
  readonly log: Pick<LogWriter, "append">;
  /** Entries at the end of the ledger, by digest. */
  readonly known: ReadonlyMap<string, number>;
}): Promise<number> {
  const { reads, markSequenced, log, known } = options;
  let sequenced = 0;
  for (let rows = reads.pendingEntries(); rows.length > 0; rows = reads.pendingEntries()) {
    for (const { entries } of rows) {
      const last = entries.at(-1);
      if (last !== undefined && known.has(digestOfEntry(last))) continue;
      await log.append(entries);
      sequenced += 1;
    }
    await markSequenced(rows.map(({ outboxId }) => outboxId));
  }
  return sequenced;
}
