/** Beginning the next shard of the ledger when an operator says so. */
import type { TurnAnswer } from "@trustwarden/core/api/ledger.ts";
import type { Services } from "../services.ts";

/** What was recorded of this very visit is in the old shard. @throws TrustWardenError `ledger_unavailable`. */
export async function turnLedger({ turns }: Services): Promise<TurnAnswer> {
  const { name, origin, vkey, first } = await turns.turn();
  return { shard: name, origin, vkey, first };
}
