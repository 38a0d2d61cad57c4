/**
 * How much one agent, and all agents of one owner, may ask for: a proven caller that asks for more is refused before
 * anything is decided or recorded for it.
 *
 * Not asked where something is stopped: revocations, narrowings and leases have no limit of this kind.
 */
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { type Allowance, TokenBuckets } from "./token-bucket.ts";

/** Remembered at once, 100 bytes each; whoever asks often enough to matter is among them. */
const MAX_AGENTS = 100_000;
const MAX_OWNERS = 10_000;

/** Whom a request is counted for. */
interface Asking {
  readonly agentId: string;
  readonly ownerId: string;
  /** Named in the refusal's details, since another may have brought the request. */
  readonly spiffeId: string;
}

/** Owns the buckets. An agent's name covers all its instances, so that it gains nothing by having many. */
export class RateLimits {
  readonly #agents: TokenBuckets;
  readonly #owners: TokenBuckets;
  readonly #monoMs: () => number;

  constructor(options: {
    readonly agent: Allowance;
    readonly owner: Allowance;
    readonly monoMs: () => number;
  }) {
    this.#agents = new TokenBuckets(options.agent, MAX_AGENTS);
    this.#owners = new TokenBuckets(options.owner, MAX_OWNERS);
    this.#monoMs = options.monoMs;
  }

  /**
   * Counts one request of a proven agent.
   *
   * @throws TrustWardenError `rate_limited` with `principal` and `retryAfterSeconds`.
   */
  take({ agentId, ownerId, spiffeId: principal }: Asking): void {
    const nowMs = this.#monoMs();
    // The agent's own first: whoever is over it does not use up what the owner's other agents have.
    const asked = [
      { of: "agent", name: agentId, buckets: this.#agents },
      { of: "owner", name: ownerId, buckets: this.#owners },
    ];
    for (const { of, name, buckets } of asked) {
      if (buckets.take(name, nowMs)) continue;
      const retryAfterSeconds = Math.max(1, Math.ceil(buckets.secondsUntilToken(name, nowMs)));
      throw new TrustWardenError("rate_limited", { of, principal, retryAfterSeconds });
    }
  }
}
