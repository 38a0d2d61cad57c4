/**
 * The question before the ledger turns by the calendar: would enough witnesses go on with the next shard?
 *
 * Each is shown the next shard's empty tree, which a log signs before all else anyway: whoever cosigns it follows the shard, and whoever
 * was never told of it (another make, decision 0051) says that it does not know the log. A shard that a quorum does not know would not be proven, and a start
 * of the server would be refused (decision 0030).
 */
import { isQuorum, type TlogPolicy } from "@trustwarden/core/agentledger/tlog-policy.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { requireOwnLine, type WitnessClient } from "./witness-client.ts";

/**
 * Names of the witnesses that would not follow, when there are too few others or too many of them; none otherwise.
 *
 * @param options.note - the empty tree of the shard to come, signed by the log's key.
 */
export async function absentFrom({
  policy,
  clients,
  note,
}: {
  readonly policy: TlogPolicy;
  readonly clients: readonly WitnessClient[];
  readonly note: string;
}): Promise<readonly string[]> {
  const answers = await Promise.all(clients.map((client) => wouldFollow(client, note)));
  const following = new Set(
    clients.flatMap(({ witness }, at) => (answers[at] === true ? [witness.name] : [])),
  );
  const absent = policy.witnesses.map(({ name }) => name).filter((name) => !following.has(name));
  return isQuorum(policy, following) && !isQuorum(policy, new Set(absent)) ? [] : absent;
}

async function wouldFollow(client: WitnessClient, note: string): Promise<boolean> {
  try {
    const answer = await client.submit({ oldSize: 0, proof: [], checkpoint: note });
    if (answer.kind !== "cosigned") return false;
    requireOwnLine(client.witness, { note, answered: answer.lines });
    return true;
  } catch (error) {
    // Safe: the turn waits for whoever gives no answer that counts.
    if (!(error instanceof TrustWardenError)) throw error;
    return false;
  }
}
