/**
 * The decisions that an outcome may belong to: the latest from memory, older ones from the ledger itself.
 */
import { encodeBase64url, parseUtf8 } from "@trustwarden/core/bytes.ts";
import { sha256 } from "@trustwarden/core/crypto.ts";
import { parseEnvelope, parseUnverifiedPayload, payloadTypeOf } from "@trustwarden/core/dsse.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import {
  type DecisionRecord,
  type Intent,
  parseDecisionRecord,
  parseIntent,
} from "@trustwarden/core/event.ts";
import type { LogWriter } from "./ledger.ts";

/** Most outcomes follow within a second; half a kilobyte each. */
const MAX_REMEMBERED = 20_000;

/** A decision of this ledger, as far as outcomes are checked against it. */
export interface RecordedDecision {
  /** Position of the decision. */
  readonly index: number;
  readonly eventId: string;
  readonly intentSha256: string;
  readonly isAllowed: boolean;
  readonly enforcement: DecisionRecord["enforcement"];
  /** SPIFFE ID of the enforcement point. */
  readonly audience: string;
  /** SPIFFE ID of the agent. */
  readonly agent: string;
  /**
   * Whether an outcome of it may be in the ledger that this process did not record: it was read back from there, or other
   * servers record too.
   */
  readonly mayEndElsewhere: boolean;
}

/** Owns a bounded memory of recent decisions, by ledger index; while one is in it, it is always the same object. */
export class RecordedDecisions {
  readonly #log: Pick<LogWriter, "readEntry">;
  readonly #recent = new Map<number, RecordedDecision>();

  constructor(log: Pick<LogWriter, "readEntry">) {
    this.#log = log;
  }

  remember(index: number, decision: RecordedDecision): void {
    this.#recent.set(index, decision);
    if (this.#recent.size <= MAX_REMEMBERED) return;
    const [oldest] = this.#recent.keys();
    if (oldest !== undefined) this.#recent.delete(oldest);
  }

  /**
   * The decision at an index, with the intent before it.
   *
   * @throws TrustWardenError `outcome_refused` when there is no decision.
   */
  async find(index: number): Promise<RecordedDecision> {
    const recent = this.#recent.get(index);
    if (recent !== undefined) return recent;
    const decision = await this.#read(index);
    const meanwhile = this.#recent.get(index);
    if (meanwhile !== undefined) return meanwhile;
    this.remember(index, decision);
    return decision;
  }

  /**
   * What the ledger says at an index, whole: the decision and the intent before it.
   *
   * @throws TrustWardenError `outcome_refused` when there is no decision.
   */
  async read(index: number): Promise<{ readonly intent: Intent; readonly decision: DecisionRecord }> {
    if (index < 1 || !Number.isSafeInteger(index)) throw refused("index");
    try {
      const intentEntry = await this.#log.readEntry(index - 1);
      const decision = parseDecisionEntry(await this.#log.readEntry(index));
      const intent = parseIntentEntry(intentEntry);
      if (encodeBase64url(sha256(intentEntry)) !== decision.intent_sha256) throw refused("neighbours");
      return { intent, decision };
    } catch (cause) {
      // A damaged or failed ledger is not the caller's fault and keeps its own code.
      if (!(cause instanceof TrustWardenError) || cause.status >= 500) throw cause;
      throw new TrustWardenError("outcome_refused", { reason: "no decision there", index }, { cause });
    }
  }

  async #read(index: number): Promise<RecordedDecision> {
    const { intent, decision } = await this.read(index);
    return {
      index,
      eventId: decision.event_id,
      intentSha256: decision.intent_sha256,
      isAllowed: decision.allow,
      enforcement: decision.enforcement,
      audience: intent.aud,
      agent: intent.agent.spiffe_id,
      mayEndElsewhere: true,
    };
  }
}

function parseDecisionEntry(entry: Uint8Array): DecisionRecord {
  return parseDecisionRecord(payloadOf(entry, "decision"));
}

function parseIntentEntry(entry: Uint8Array): Intent {
  return parseIntent(payloadOf(entry, "intent"));
}

/** What is in our ledger was verified before it went in. */
function payloadOf(
  entry: Uint8Array,
  name: "decision" | "intent",
): ReturnType<typeof parseUnverifiedPayload> {
  const envelope = parseEnvelope(parseUtf8(entry));
  if (envelope.payloadType !== payloadTypeOf(name)) throw refused("type");
  return parseUnverifiedPayload(envelope);
}

function refused(reason: string): TrustWardenError {
  return new TrustWardenError("outcome_refused", { reason });
}
