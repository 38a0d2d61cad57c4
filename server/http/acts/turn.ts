/** Beginning the next shard of the ledger when an operator says so. */
import type { TurnAnswer, TurnRequest } from "@trustwarden/core/api/ledger.ts";
import type { Services } from "../services.ts";

/** What was recorded of this very visit is in the old shard. @throws TrustWardenError `ledger_unavailable`, `replica_refused`. */
export async function turnLedger(
  { turns }: Services,
  { body }: { readonly body: TurnRequest },
): Promise<TurnAnswer> {
  const { name, origin, vkey, first } = await turns.turn(body.new_key ? "new key" : "same key");
  return { shard: name, origin, vkey, first };
}
