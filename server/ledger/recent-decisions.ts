/**
 * The latest decisions of this process, for whoever watches: a ring in memory, so that watching costs the path nothing
 * but one place in an array. What counts as proof is in the ledger.
 */
import type { DecisionFacts } from "./server-records.ts";

/** Two seconds at 4,000 decisions a second; watchers look twice a second. */
const MAX_KEPT = 8192;

/** What is shown of one decision. */
export interface RecentDecision {
  readonly eventId: string;
  /** SPIFFE ID of the instance. */
  readonly agent: string;
  readonly agentId: string;
  readonly ownerId: string;
  readonly action: string;
  readonly resource: string;
  readonly isAllowed: boolean;
  readonly reasons: readonly string[];
  readonly atMs: number;
}

/** Owns the ring: the decision with number `n` is at `n % MAX_KEPT`, until a later one takes its place. */
export class RecentDecisions {
  readonly #ring: RecentDecision[] = [];
  #total = 0;

  /** How many there were since the start; the cursor of who has seen all of them. */
  get total(): number {
    return this.#total;
  }

  /** Notes a decision that is being signed. */
  note({ agent, intent, decision, nowMs }: DecisionFacts): void {
    const { event_id: eventId, action, resource } = intent.intent;
    this.#ring[this.#total % MAX_KEPT] = {
      eventId,
      agent: agent.spiffeId,
      agentId: agent.agentId,
      ownerId: agent.ownerId,
      action,
      resource,
      isAllowed: decision.effect === "allow",
      reasons: decision.reasons,
      atMs: nowMs,
    };
    this.#total += 1;
  }

  /** Those from a number on, oldest first, as far as they are still there. */
  since(number: number): readonly RecentDecision[] {
    const found: RecentDecision[] = [];
    for (let next = Math.max(number, this.#total - MAX_KEPT, 0); next < this.#total; next += 1) {
      const decision = this.#ring[next % MAX_KEPT];
      if (decision !== undefined) found.push(decision);
    }
    return found;
  }
}
