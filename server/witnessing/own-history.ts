/**
 * Whether what a witness remembers of this log is the beginning of the log on disk. A note that the log's key signed
 * and that is not, proves that this disk is not the newest, or that somebody else signs with the key.
 */
import { type Checkpoint, verifyCheckpoint } from "@trustwarden/core/agentledger/checkpoint.ts";
import { verifyConsistency } from "@trustwarden/core/agentledger/consistency-proof.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";

/** What of the log is needed here. */
export interface WitnessedLogSource {
  readonly vkey: string;
  checkpoint(): string;
  proveConsistency(oldSize: number, newSize: number): Promise<readonly Uint8Array[]>;
  /** Where another server sequences the log: looks for what it has published. @throws TrustWardenError `ledger_unavailable`. */
  readonly catchUp?: (size: number) => Promise<void>;
}

/**
 * Refuses when the log does not continue a note that its key signed.
 *
 * @param note - verified here.
 * @throws TrustWardenError `data_rolled_back` with the sizes; `checkpoint_untrusted` or `checkpoint_malformed` for a
 *   note that is not the log's and so says nothing about it.
 */
export async function requireContinued(
  log: WitnessedLogSource,
  { note, witness }: { readonly note: string; readonly witness: string },
): Promise<void> {
  const known = verifyCheckpoint(note, log.vkey);
  const head = await headFor(log, known.size);
  if (known.size > head.size) throw rolledBack("witness is ahead", { known, head, witness });
  // The empty tree is the beginning of every log.
  if (known.size === 0) return;
  const proof = await log.proveConsistency(known.size, head.size);
  try {
    verifyConsistency({
      oldSize: known.size,
      oldRoot: known.root,
      newSize: head.size,
      newRoot: head.root,
      proof,
    });
  } catch (cause) {
    if (!(cause instanceof TrustWardenError)) throw cause;
    throw rolledBack("witness saw another history", { known, head, witness }, cause);
  }
}

/** What was shown to a witness was published before, if maybe by another server a moment ago. */
async function headFor(log: WitnessedLogSource, size: number): Promise<Checkpoint> {
  const head = () => verifyCheckpoint(log.checkpoint(), log.vkey);
  if (log.catchUp === undefined || size <= head().size) return head();
  try {
    await log.catchUp(size);
  } catch (error) {
    // Safe: the log is held to the witness's note as it is.
    if (!(error instanceof TrustWardenError) || error.code !== "ledger_unavailable") throw error;
  }
  return head();
}

/** What an operator reads: what happened, and what to do. */
export function rolledBack(
  reason: string,
  facts: { readonly known: Pick<Checkpoint, "size">; readonly head: Checkpoint; readonly witness: string },
  cause?: unknown,
): TrustWardenError {
  return new TrustWardenError(
    "data_rolled_back",
    {
      reason,
      witness: facts.witness,
      witnessed_size: facts.known.size,
      size: facts.head.size,
      next: "Bring the newest copy of the data directory back. What was signed after this copy is lost otherwise: then begin a new log, in a new data directory, and keep this one as evidence.",
    },
    { cause },
  );
}
