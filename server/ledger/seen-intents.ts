/**
 * Which intents were used already: the memory that makes each of them act at most once.
 *
 * An intent is remembered by its signer's SVID and event id together with the digest of its payload, never of its
 * envelope: an ECDSA signature has a second spelling that anybody can compute. Forgetting is safe as soon as the
 * intent could no longer verify.
 */
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { VerifiedIntent } from "@trustwarden/core/intent.ts";
import type { Use } from "../shared/uses.ts";

/** Past its `exp` an intent still verifies for the allowed clock skew (30 s); the rest is a margin for our own. */
const REMEMBER_AFTER_EXPIRY_SECONDS = 90;
/** Old entries are dropped a few at a time, so that no request pays for all. */
const FORGET_PER_CLAIM = 4;

interface Seen {
  readonly payloadSha256: string;
  /** Unix seconds. */
  readonly forgetAt: number;
}

/** Owns the set. Between calls every claimed intent that still verifies is in it. */
export class SeenIntents {
  readonly #seen = new Map<string, Seen>();

  /** How many are remembered. */
  get size(): number {
    return this.#seen.size;
  }

  /**
   * Claims an intent for this request.
   *
   * @param now - Unix seconds.
   * @throws TrustWardenError `intent_replayed` for the same payload again, `event_conflict` for another payload under
   *   the same event id.
   */
  claim(intent: VerifiedIntent, now: number): void {
    this.#forget(now);
    const key = keyOf(intent);
    const seen = this.#seen.get(key);
    if (seen !== undefined) {
      const code = seen.payloadSha256 === intent.payloadSha256 ? "intent_replayed" : "event_conflict";
      throw new TrustWardenError(code, { event_id: intent.intent.event_id });
    }
    this.remember(intent);
  }

  /** Notes an intent that the ledger holds already; for rebuilding after a start. */
  remember({ intent, payloadSha256 }: Pick<VerifiedIntent, "intent" | "payloadSha256">): void {
    const forgetAt = intent.exp + REMEMBER_AFTER_EXPIRY_SECONDS;
    this.#seen.set(keyOf({ intent }), { payloadSha256, forgetAt });
  }

  #forget(now: number): void {
    let looked = 0;
    for (const [key, { forgetAt }] of this.#seen) {
      if (looked === FORGET_PER_CLAIM) return;
      looked += 1;
      if (now >= forgetAt) this.#seen.delete(key);
    }
  }
}

/** An intent as servers that share a store claim it. */
export function intentUse({ intent, payloadSha256 }: VerifiedIntent): Use {
  const forgetAt = intent.exp + REMEMBER_AFTER_EXPIRY_SECONDS;
  return { kind: "intent", name: keyOf({ intent }), mark: payloadSha256, forgetAt };
}

function keyOf({ intent }: Pick<VerifiedIntent, "intent">): string {
  return `${intent.agent.svid_sha256} ${intent.event_id}`;
}
