/**
 * The question that a starting server asks its witnesses: have you seen more of this log than I have?
 *
 * Fails closed by counting: the start is refused when the witnesses that do not answer could among them have made a
 * quorum, because then a checkpoint that others call proven may be out there which this disk does not hold. See
 * docs/decisions/0030-witnesses.md.
 */
import { parseCheckpointText, verifyCheckpoint } from "@trustwarden/core/agentledger/checkpoint.ts";
import { parseNote } from "@trustwarden/core/agentledger/signed-note.ts";
import { isQuorum, type TlogPolicy } from "@trustwarden/core/agentledger/tlog-policy.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { requireContinued, rolledBack, type WitnessedLogSource } from "./own-history.ts";
import { requireOwnLine, type WitnessClient } from "./witness-client.ts";

/**
 * Asks all witnesses at once.
 *
 * @returns the names of those that gave no answer that counts.
 * @throws TrustWardenError `data_rolled_back` when one has seen more, or another history; `witnesses_unreachable`.
 */
export async function requireNewest(options: {
  readonly policy: TlogPolicy;
  readonly clients: readonly WitnessClient[];
  readonly log: WitnessedLogSource;
  readonly whenSilent: "refuse" | "start";
}): Promise<readonly string[]> {
  const { policy, clients, log, whenSilent } = options;
  const answers = await Promise.allSettled(clients.map((client) => requireBehind(client, log)));
  const answered = new Set<string>();
  for (const [index, answer] of answers.entries()) {
    if (answer.status === "fulfilled") answered.add(clients[index]?.witness.name ?? "");
    else if (!isSilence(answer.reason)) throw answer.reason;
  }
  const silent = policy.witnesses.map(({ name }) => name).filter((name) => !answered.has(name));
  if (whenSilent === "refuse" && isQuorum(policy, new Set(silent))) {
    throw new TrustWardenError("witnesses_unreachable", { silent: silent.join(", ") });
  }
  return silent;
}

/** A witness that says nothing verifiable is as silent as one that is not there. */
function isSilence(error: unknown): boolean {
  return (
    error instanceof TrustWardenError && error.code !== "data_rolled_back" && error.code !== "ledger_corrupt"
  );
}

async function requireBehind(client: WitnessClient, log: WitnessedLogSource): Promise<void> {
  const note = log.checkpoint();
  const head = verifyCheckpoint(note, log.vkey);
  const { name } = client.witness;
  const latest = await client.readLatest(head.origin);
  if (latest !== null && !isOfNoEntry(latest)) return requireContinued(log, { note: latest, witness: name });
  // It shows nothing of the log: it never saw it, has no such address, or was asked whether it would follow (`would-follow.ts`), maybe under
  // the key that another took the place of since. A submission tells.
  const answer = await client.submit({ oldSize: head.size, proof: [], checkpoint: note });
  // A yes that is not signed may be anybody's who answers in its place.
  if (answer.kind === "cosigned") requireOwnLine(client.witness, { note, answered: answer.lines });
  if (answer.kind === "behind" && answer.size > head.size) {
    throw rolledBack("witness says that it is ahead", { known: answer, head, witness: name });
  }
  if (answer.kind === "refused" && answer.status === 422) {
    throw rolledBack("witness saw another history", { known: head, head, witness: name });
  }
  if (answer.kind === "refused") {
    throw new TrustWardenError("witnesses_unreachable", { witness: name, status: answer.status });
  }
}

/** Whether a note says nothing of any entry, whoever signed it. @throws TrustWardenError for what is no note of a log. */
function isOfNoEntry(note: string): boolean {
  return parseCheckpointText(parseNote(note).unverifiedText).size === 0;
}
