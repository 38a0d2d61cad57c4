/**
 * Writes an instance's intents: one number and one back link each, under the SVID of the moment.
 *
 * Numbering and signing happen in one synchronous call, so parallel actions can never take the same number and no
 * lock is needed.
 */

import { formatTime, type Intent, MAX_INTENT_SECONDS } from "@trustwarden/core/event.ts";
import { formatUuidV7 } from "@trustwarden/core/id.ts";
import { issueIntent, type VerifiedIntent } from "@trustwarden/core/intent.ts";
import type { Signer } from "@trustwarden/core/signer.ts";
import type { Runtime } from "./runtime.ts";

/** What the agent wants, before it is signed. */
export interface IntentDraft {
  readonly action: string;
  readonly resource: string;
  /** Commitment to the request; null for an act in this process. */
  readonly request: string | null;
  /** Commitment to the parameters, or null. */
  readonly params: string | null;
  /** SPIFFE ID of the enforcement point. */
  readonly audience: string;
  /** What the instance works on, or null. */
  readonly job?: string | null;
}

/** The SVID that signs. */
export interface IntentSvid {
  readonly spiffeId: string;
  readonly svidSha256: string;
  readonly signer: Signer;
}

/** One writer lives as long as its instance, across renewals. */
export class IntentWriter {
  readonly #agentId: string;
  readonly #runtime: Runtime;
  readonly #seen: () => Intent["seen"];
  /** Number and payload digest of the last intent; both change together, in `sign` only. */
  #seq = 0;
  #prev: string | null = null;

  constructor(options: {
    readonly agentId: string;
    readonly runtime: Runtime;
    /** The latest checkpoint that this process verified. */
    readonly seen: () => Intent["seen"];
  }) {
    this.#agentId = options.agentId;
    this.#runtime = options.runtime;
    this.#seen = options.seen;
  }

  /** Signs the next intent of the instance. */
  sign(draft: IntentDraft, svid: IntentSvid): VerifiedIntent {
    const nowMs = this.#runtime.nowMs();
    // In the order of the canonical form, which is then written without sorting.
    const intent: Intent = {
      action: draft.action,
      agent: { id: this.#agentId, spiffe_id: svid.spiffeId, svid_sha256: svid.svidSha256 },
      aud: draft.audience,
      event_id: formatUuidV7(nowMs, this.#runtime.random),
      exp: Math.floor(nowMs / 1000) + MAX_INTENT_SECONDS,
      job: draft.job ?? null,
      params: draft.params,
      prev: this.#prev,
      request: draft.request,
      resource: draft.resource,
      seen: this.#seen(),
      seq: this.#seq + 1,
      time: formatTime(nowMs),
      v: 1,
    };
    const signed = issueIntent(intent, svid.signer);
    this.#seq = intent.seq;
    this.#prev = signed.payloadSha256;
    return signed;
  }
}
