/**
 * Erasing what was kept: by an operator, and by age. The event is in the ledger before anything is erased, and an erasure
 * that was begun is finished whatever happens in between.
 *
 * One order for both: an order beside the file (durable), the event, the key overwritten and the file gone, the order gone.
 * From the order on nothing opens the payload. What a crash or a ledger without room left is done again at the start, at
 * the next sweep, or when it is asked for again; the event may then be in the ledger twice, a sweep's marked as resumed.
 *
 * @see docs/storage.md; docs/decisions/0041
 */
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { EventContext } from "../ledger/server-records.ts";
import type { ControlDraft } from "../store/ports.ts";
import type { ErasureOrder, PayloadStore } from "./payload-store.ts";

/** Events that are durable together; their payloads are erased after one append. */
const BATCH = 64;
const SWEEP_MS = 3_600_000;
const DAY_MS = 86_400_000;

export interface ErasureDeps {
  readonly payloads: PayloadStore;
  /** Signs and appends events as neighbours. @throws TrustWardenError `ledger_unavailable`. */
  readonly record: (
    events: readonly { readonly draft: ControlDraft; readonly epoch: number }[],
    context: Omit<EventContext, "epoch">,
  ) => Promise<unknown>;
  readonly epoch: () => number;
  readonly nowMs: () => number;
  /** Unix milliseconds by which something may be said to be over. @throws TrustWardenError `clock_rolled_back`. */
  readonly trustedMs: () => number;
  /** SPIFFE ID of the server, whose own act retention is. */
  readonly self: () => string;
  /** Null keeps payloads until somebody erases them. */
  readonly retentionDays: number | null;
  /** A sweep that failed; the next one tries again. */
  readonly onFailure: (error: unknown) => void;
}

/** Owns the timer of the sweep. */
export class Erasures {
  readonly #deps: ErasureDeps;
  #timer: NodeJS.Timeout | undefined;
  #sweeping: Promise<void> = Promise.resolve();
  /** Events whose erasure is on its way: nobody else begins one. */
  readonly #underWay = new Set<string>();
  #isClosed = false;

  constructor(deps: ErasureDeps) {
    this.#deps = deps;
  }

  /**
   * Erases one payload for somebody. On `ledger_unavailable` the order stays, and whoever asks again, the next sweep or the
   * next start carries it out.
   *
   * @throws TrustWardenError `not_found`, also while another erases it; `ledger_unavailable`.
   */
  async erase(eventId: string, order: ErasureOrder): Promise<void> {
    if (!this.#deps.payloads.isHere(eventId) || this.#underWay.has(eventId))
      throw new TrustWardenError("not_found", { event_id: eventId });
    await this.#carryOut([{ eventId, order, isResumed: false }]);
  }

  /** Finishes what a crash left, and begins to sweep. @throws TrustWardenError `ledger_unavailable`. */
  async start(): Promise<void> {
    await this.#finish();
    const sweep = () => {
      this.#sweeping = this.#sweeping.then(() => this.sweep()).catch(this.#deps.onFailure);
    };
    this.#timer = setInterval(sweep, SWEEP_MS);
    this.#timer.unref();
    sweep();
  }

  /** Returns when no sweep runs any more; what it had not come to is left for the next start. */
  async close(): Promise<void> {
    this.#isClosed = true;
    clearInterval(this.#timer);
    await this.#sweeping;
  }

  /**
   * Finishes what was ordered, and erases what is older than the retention.
   *
   * @throws TrustWardenError `ledger_unavailable`, `clock_rolled_back`.
   */
  async sweep(): Promise<void> {
    const { payloads, retentionDays, trustedMs, self } = this.#deps;
    await this.#finish();
    if (retentionDays === null) return;
    const over = await payloads.keptBefore(trustedMs() - retentionDays * DAY_MS);
    const order = { reason: `kept for ${retentionDays} days`, principal: self(), peer: "local" };
    for (let at = 0; at < over.length && !this.#isClosed; at += BATCH)
      await this.#carryOut(
        over.slice(at, at + BATCH).map((eventId) => ({ eventId, order, isResumed: false })),
      );
  }

  async #finish(): Promise<void> {
    const orders = await this.#deps.payloads.orders();
    const left = orders.filter(({ isHere }) => isHere);
    for (let at = 0; at < left.length && !this.#isClosed; at += BATCH)
      await this.#carryOut(left.slice(at, at + BATCH).map((one) => ({ ...one, isResumed: true })));
    for (const { eventId, isHere } of orders) if (!isHere) await this.#deps.payloads.erase(eventId);
  }

  /** Of one principal's orders or several's; each event says whose. Leaves out what is gone or on its way by now. */
  async #carryOut(asked: readonly Asked[]): Promise<void> {
    const { payloads } = this.#deps;
    const orders = asked.filter(({ eventId }) => payloads.isHere(eventId) && !this.#underWay.has(eventId));
    for (const { eventId } of orders) this.#underWay.add(eventId);
    try {
      for (const { eventId, order, isResumed } of orders)
        if (!isResumed) await payloads.order(eventId, order);
      await this.#record(orders);
      for (const { eventId } of orders) await payloads.erase(eventId);
    } finally {
      for (const { eventId } of orders) this.#underWay.delete(eventId);
    }
  }

  async #record(orders: readonly Asked[]): Promise<void> {
    const { record, epoch, nowMs } = this.#deps;
    for (const { principal, peer } of distinctOf(orders.map(({ order }) => order))) {
      const own = orders.filter(({ order }) => order.principal === principal && order.peer === peer);
      const events = own.map((one) => ({ draft: draftOf(one), epoch: epoch() }));
      await record(events, { nowMs: nowMs(), principal, peer, intent: null });
    }
  }
}

/** One erasure. */
interface Asked {
  readonly eventId: string;
  readonly order: ErasureOrder;
  readonly isResumed: boolean;
}

function distinctOf(orders: readonly ErasureOrder[]): readonly ErasureOrder[] {
  return [...new Map(orders.map((order) => [`${order.principal} ${order.peer}`, order])).values()];
}

/** Names the call and no content. */
function draftOf({ eventId, order, isResumed }: Asked): ControlDraft {
  const details = { change: "erasure", event_id: eventId, reason: order.reason };
  return {
    kind: "admin",
    allow: true,
    reasons: [],
    subject: `payload:${eventId}`,
    chain: [],
    details: isResumed ? { ...details, resumed: true } : details,
  };
}
