/**
 * The WIT-SVIDs of one stream: issued when it begins, renewed at half life, and again when the caller's identities or the
 * authority change; withdrawn with the identity.
 *
 * Follows the X.509 state of the same caller, which knows of every change. A token that cannot be renewed is served until
 * it ends and not a second longer.
 */
import type { SpiffeId } from "@trustwarden/core/agentid/spiffe-id.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type {
  DeliveredWit,
  WorkloadPeer,
  WorkloadSource,
  WorkloadState,
  WorkloadSubscription,
} from "../ports.ts";

const MIN_RETRY_MS = 1000;
const MAX_RETRY_MS = 30_000;

/** What a follower works with. */
export interface WitFollowerOptions {
  readonly source: WorkloadSource;
  readonly peer: WorkloadPeer;
  /** Of one identity, or null for all. */
  readonly spiffeId: SpiffeId | null;
  /** Unix seconds. */
  readonly now: () => number;
  readonly onWits: (wits: readonly DeliveredWit[]) => void;
  /** Nothing more will come. */
  readonly onEnd: (error: unknown) => void;
}

/** Owns one subscription, and the timer of the next renewal. One question to the source at a time. */
export class WitFollower implements WorkloadSubscription {
  readonly #options: WitFollowerOptions;
  #subscription: WorkloadSubscription | undefined;
  #followed = "";
  #wits: readonly DeliveredWit[] = [];
  #timer: NodeJS.Timeout | undefined;
  #isAsking = false;
  #isStale = false;
  #isClosed = false;

  constructor(options: WitFollowerOptions) {
    this.#options = options;
  }

  /** @throws TrustWardenError as `subscribe` of the source. */
  async start(): Promise<void> {
    const { source, peer } = this.#options;
    const subscription = await source.subscribe(
      peer,
      (state) => this.#onState(state),
      (error) => this.#end(error),
    );
    if (this.#isClosed) subscription.close();
    else this.#subscription = subscription;
  }

  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#timer);
    this.#subscription?.close();
  }

  #onState(state: WorkloadState): void {
    if (this.#isClosed) return;
    if (state.svids.length === 0) {
      this.#end(new TrustWardenError("no_identity"));
      return;
    }
    const followed = describe(state);
    if (followed === this.#followed) return;
    this.#followed = followed;
    void this.#renew();
  }

  async #renew(): Promise<void> {
    this.#isStale = true;
    if (this.#isAsking) return;
    this.#isAsking = true;
    clearTimeout(this.#timer);
    try {
      while (this.#isStale && !this.#isClosed) {
        this.#isStale = false;
        await this.#ask();
      }
    } finally {
      this.#isAsking = false;
    }
  }

  async #ask(): Promise<void> {
    const { source, peer, spiffeId, onWits } = this.#options;
    try {
      const wits = await source.issueWitSvids(peer, { spiffeId });
      if (this.#isClosed) return;
      if (wits.length === 0) throw new TrustWardenError("no_identity");
      this.#wits = wits;
      onWits(wits);
      // What ended on its way here is not asked for again at once.
      this.#renewIn(Math.max((this.#leftSeconds() / 2) * 1000, MIN_RETRY_MS));
    } catch (error) {
      this.#onFailure(error);
    }
  }

  #onFailure(error: unknown): void {
    const leftMs = this.#leftSeconds() * 1000;
    // An answer that may be another one next time is waited for, as long as there is something to serve meanwhile.
    const mayPass = error instanceof TrustWardenError && (error.status >= 500 || error.status === 429);
    if (mayPass && leftMs > 0)
      this.#renewIn(Math.min(Math.max(leftMs / 4, MIN_RETRY_MS), MAX_RETRY_MS, leftMs));
    else this.#end(error);
  }

  #renewIn(delayMs: number): void {
    if (this.#isClosed) return;
    // Asked twice in one go, it would leave a timer behind that nobody can stop.
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.#renew(), delayMs);
    this.#timer.unref();
  }

  /** Until the first of the tokens at hand ends; negative without one. */
  #leftSeconds(): number {
    const ends = this.#wits.map(({ expiresAt }) => expiresAt);
    return ends.length === 0 ? -1 : Math.min(...ends) - this.#options.now();
  }

  #end(error: unknown): void {
    if (this.#isClosed) return;
    this.close();
    this.#options.onEnd(error);
  }
}

/** Who the caller is, and under which authority: the rest of a state does not change its tokens. */
function describe({ svids, bundles }: WorkloadState): string {
  return [...svids.map(({ spiffeId }) => spiffeId), bundles[0]?.sequence].join(" ");
}
