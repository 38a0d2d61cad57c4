/**
 * The latest decisions of all servers that share the ledger, for whoever watches: read from the ledger as it is followed, and
 * only when somebody looks. What is shown is no proof; that is the ledger.
 */
import { parseRecord } from "@trustwarden/core/agentledger/record.ts";
import type { RecentDecision } from "../ledger/recent-decisions.ts";
import { isOfType } from "../store/entry-type.ts";

/** As many as a server alone keeps of its own. */
const MAX_KEPT = 8192;
const OWNER = "owner:";

/** An intent and its decision are neighbours. */
interface Pair {
  readonly intent: Uint8Array;
  readonly decision: Uint8Array;
}

/** Owns the ring: the decision with number `n` is at `n % MAX_KEPT`, until a later one takes its place. */
export class FollowedDecisions {
  readonly #ring: Pair[] = [];
  #total = 0;
  #last: Uint8Array | undefined;

  /** How many there were since the start; the cursor of who has seen all of them. */
  get total(): number {
    return this.#total;
  }

  /** Sees the ledger's next entry. */
  see(entry: Uint8Array): void {
    const intent = this.#last;
    this.#last = entry;
    if (intent === undefined || !isOfType(entry, "decision")) return;
    this.#ring[this.#total % MAX_KEPT] = { intent, decision: entry };
    this.#total += 1;
  }

  /** Those from a number on, oldest first, as far as they are still there. */
  since(number: number): readonly RecentDecision[] {
    const from = Math.max(number, this.#total - MAX_KEPT, 0);
    return Array.from(
      { length: Math.max(0, this.#total - from) },
      (_, at) => this.#ring[(from + at) % MAX_KEPT],
    )
      .filter((pair) => pair !== undefined)
      .flatMap(decisionOf);
  }
}

function decisionOf(pair: Pair): readonly RecentDecision[] {
  const { unverified: asked } = parseRecord(pair.intent);
  const { unverified: decided } = parseRecord(pair.decision);
  if (asked.kind !== "intent" || decided.kind !== "decision") return [];
  const { agent, action, resource, event_id: eventId } = asked.value;
  const { event_id, chain, allow: isAllowed, reasons, time } = decided.value;
  if (event_id !== eventId) return [];
  const ownerId = chain[0]?.startsWith(OWNER) === true ? chain[0].slice(OWNER.length) : "";
  return [
    {
      eventId,
      agent: agent.spiffe_id,
      agentId: agent.id,
      ownerId,
      action,
      resource,
      isAllowed,
      reasons,
      atMs: Date.parse(time),
    },
  ];
}
