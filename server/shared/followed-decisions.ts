/**
 * The latest decisions of all servers that share the ledger, for whoever watches: read from the ledger as it is followed, and
 * only when somebody looks. What is shown is no proof; that is the ledger.
 */
import { parseRecord } from "@trustwarden/core/agentledger/record.ts";
import type { RecentDecision } from "../ledger/recent-decisions.ts";
import { isOfType } from "../store/entry-type.ts";

/** As many as a server alone keeps of its own. */
const MAX_KEPT = 8192;
/** Of their entries, which an agent may make long: as many of a kilobyte each. */
const MAX_KEPT_BYTES = 16 * 1024 * 1024;
const OWNER = "owner:";

/** An intent and its decision are neighbours. */
interface Pair {
  readonly intent: Uint8Array;
  readonly decision: Uint8Array;
}

/**
 * Owns the ring: the decision with number `n` is at `n % MAX_KEPT`, from `#first` up to `#total`. `#bytes` is what these have
 * in memory, and that is all they hold: entries are copied out of whatever they were read with.
 */
export class FollowedDecisions {
  readonly #ring: (Pair | undefined)[] = [];
  #total = 0;
  #first = 0;
  #bytes = 0;
  #last: Uint8Array | undefined;

  /** How many there were since the start; the cursor of who has seen all of them. */
  get total(): number {
    return this.#total;
  }

  /** Of the entries that are kept. */
  get keptBytes(): number {
    return this.#bytes;
  }

  /** Sees the ledger's next entry. */
  see(entry: Uint8Array): void {
    const intent = this.#last;
    this.#last = entry;
    if (intent === undefined || !isOfType(entry, "decision")) return;
    const pair = { intent: new Uint8Array(intent), decision: new Uint8Array(entry) };
    this.#bytes += bytesOf(pair);
    while (
      this.#total - this.#first >= MAX_KEPT ||
      (this.#bytes > MAX_KEPT_BYTES && this.#first < this.#total)
    )
      this.#forgetOldest();
    this.#ring[this.#total % MAX_KEPT] = pair;
    this.#total += 1;
  }

  /** Those from a number on, oldest first, as far as they are still there. */
  since(number: number): readonly RecentDecision[] {
    const from = Math.max(number, this.#first);
    return Array.from(
      { length: Math.max(0, this.#total - from) },
      (_, at) => this.#ring[(from + at) % MAX_KEPT],
    )
      .filter((pair) => pair !== undefined)
      .flatMap(decisionOf);
  }

  #forgetOldest(): void {
    const at = this.#first % MAX_KEPT;
    const pair = this.#ring[at];
    if (pair !== undefined) this.#bytes -= bytesOf(pair);
    this.#ring[at] = undefined;
    this.#first += 1;
  }
}

function bytesOf({ intent, decision }: Pair): number {
  return intent.length + decision.length;
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
