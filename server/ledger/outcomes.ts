/**
 * One outcome a decision: the first that is recorded counts, sending it again changes nothing, and another one is a
 * conflict.
 */
import type { QueryIndex } from "@trustwarden/core/agentledger/query-index.ts";
import { encodeUtf8 } from "@trustwarden/core/bytes.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { Ledger } from "./ledger.ts";
import type { RecordedDecision } from "./recorded-decisions.ts";

/** An outcome in the ledger. */
export interface RecordedOutcome {
  readonly index: number;
  readonly payloadSha256: string;
  /** Signs the promise, since most callers want none; null for an outcome that an earlier run recorded. */
  readonly acknowledge: () => string | null;
}

/** One that was verified. */
export interface SignedOutcome {
  readonly envelope: string;
  /** Of the payload, not the envelope: a signature has a second spelling. */
  readonly payloadSha256: string;
}

/** Owns the outcomes, those in flight included, of the decisions that are in memory. */
export class Outcomes {
  readonly #ledger: Pick<Ledger, "append">;
  readonly #index: Pick<QueryIndex, "findOutcome">;
  readonly #recordings = new WeakMap<RecordedDecision, Promise<RecordedOutcome>>();

  constructor(options: {
    readonly ledger: Pick<Ledger, "append">;
    readonly index: Pick<QueryIndex, "findOutcome">;
  }) {
    this.#ledger = options.ledger;
    this.#index = options.index;
  }

  /**
   * Records a verified outcome of a decision, at most once.
   *
   * @throws TrustWardenError `event_conflict` or `ledger_unavailable`.
   */
  async record(decision: RecordedDecision, outcome: SignedOutcome): Promise<RecordedOutcome> {
    const recorded = await (this.#recordings.get(decision) ?? this.#begin(decision, outcome));
    requireSame(recorded, { decision, outcome });
    return recorded;
  }

  /**
   * Refuses an outcome that `record` would refuse now, and records nothing.
   *
   * @throws TrustWardenError `event_conflict` or `ledger_unavailable`.
   */
  async requireNoOther(decision: RecordedDecision, outcome: SignedOutcome): Promise<void> {
    const recorded = await (this.#recordings.get(decision) ?? this.#findEarlier(decision));
    if (recorded !== undefined) requireSame(recorded, { decision, outcome });
  }

  /** A recording that fails is forgotten, so that it can be tried again. */
  #begin(decision: RecordedDecision, outcome: SignedOutcome): Promise<RecordedOutcome> {
    const recording = this.#findOrAppend(decision, outcome);
    this.#recordings.set(decision, recording);
    recording.catch(() => this.#recordings.delete(decision));
    return recording;
  }

  async #findOrAppend(
    decision: RecordedDecision,
    { envelope, payloadSha256 }: SignedOutcome,
  ): Promise<RecordedOutcome> {
    const earlier = await this.#findEarlier(decision);
    if (earlier !== undefined) return { ...earlier, acknowledge: () => null };
    const [appended] = await this.#ledger.append([encodeUtf8(envelope)], `outcome ${decision.intentSha256}`);
    if (appended === undefined) throw new Error("one entry went in");
    return { index: appended.index, payloadSha256, acknowledge: () => appended.acknowledgement };
  }

  /** Of an earlier run, or of another server. */
  async #findEarlier({
    mayEndElsewhere,
    index: decidedAt,
    eventId,
    intentSha256,
  }: RecordedDecision): Promise<Omit<RecordedOutcome, "acknowledge"> | undefined> {
    return mayEndElsewhere ? await this.#index.findOutcome({ eventId, intentSha256, decidedAt }) : undefined;
  }
}

function requireSame(
  recorded: Pick<RecordedOutcome, "payloadSha256">,
  { decision, outcome }: { readonly decision: RecordedDecision; readonly outcome: SignedOutcome },
): void {
  if (recorded.payloadSha256 !== outcome.payloadSha256)
    throw new TrustWardenError("event_conflict", { event_id: decision.eventId });
}
