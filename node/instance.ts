/**
 * One instance of one process: its SVIDs, renewed at half life or sooner for as long as somebody listens or asked lately.
 *
 * An SVID that cannot be renewed is served until it ends and not a second longer, and so is a token. A process that nobody
 * listens for keeps its SVID and renews when it comes back.
 *
 * @see docs/decisions/0106-a-node-outlasts-a-short-outage.md
 */
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { jitter, nowSeconds, type Runtime, renewalAgeMs, renewalDelayMs } from "trustwarden/peer.ts";
import type { NodeEntry } from "./entries.ts";
import type { IssuedInstance, Registry } from "./registry.ts";
import type { RenewalGrid } from "./renewal-grid.ts";
import { type TokenRequest, TokensAtHand } from "./tokens-at-hand.ts";

const MIN_RETRY_MS = 1000;
const MAX_RETRY_MS = 30_000;
/** For an answer of a server that is not heard, where a token is at hand: clients of the Workload API wait for about ten seconds. */
const PATIENCE_MS = 2000;
/** `setTimeout` counts in 32 bits. */
const MAX_TIMER_MS = 2_147_483_647;

/** What an instance tells whoever keeps it. */
export interface InstanceEvents {
  /** The SVIDs are others now, or have ended. */
  readonly onChange: () => void;
  /** The server says that there is no such live instance any more. */
  readonly onRefused: () => void;
  /**
   * Before every renewal: attests the process anew, since it may run another program by now, and closes this instance when
   * it may not have it any more.
   *
   * @throws TrustWardenError `workload_gone`, `workload_unattested`.
   */
  readonly attestAgain: () => Promise<void>;
  /** Whether somebody listens or asked lately, and the server has been heard just now. */
  readonly isWanted: () => boolean;
  readonly isServerHeard: () => boolean;
}

/** Owns the SVIDs of one (process, entry), and the timer of their renewal. */
export class WorkloadInstance {
  readonly entry: NodeEntry;
  readonly #registry: Registry;
  readonly #events: InstanceEvents;
  readonly #runtime: Runtime;
  readonly #grid: RenewalGrid;
  readonly #tokens: TokensAtHand;
  #issued: IssuedInstance;
  #timer: NodeJS.Timeout | undefined;
  #expiry: NodeJS.Timeout | undefined;
  #renewing: Promise<void> | undefined;
  #isClosed = false;

  constructor(options: {
    readonly entry: NodeEntry;
    readonly issued: IssuedInstance;
    readonly registry: Registry;
    readonly events: InstanceEvents;
    readonly runtime: Runtime;
    readonly grid: RenewalGrid;
  }) {
    this.entry = options.entry;
    this.#issued = options.issued;
    this.#registry = options.registry;
    this.#events = options.events;
    this.#runtime = options.runtime;
    this.#grid = options.grid;
    this.#tokens = new TokensAtHand(options.runtime);
    this.#schedule();
  }

  /** The SVIDs at hand, also when they have ended. */
  get issued(): IssuedInstance {
    return this.#issued;
  }

  /** Whether the SVIDs at hand may be served. */
  get isUsable(): boolean {
    return !this.#isClosed && nowSeconds(this.#runtime) < this.#issued.svidExpiresAt;
  }

  /** Every id whose end is this instance's end. */
  get ids(): readonly string[] {
    const { instanceId, agentId, ownerId, chain } = this.#issued;
    return [instanceId, agentId, ownerId, ...chain];
  }

  /**
   * A JWT-SVID; while the server is away the one at hand.
   *
   * @throws TrustWardenError the server's refusal, `server_unreachable` without one at hand.
   */
  async issueJwt(request: TokenRequest): Promise<string> {
    const asked = this.#askForJwt(request);
    try {
      const isLate = !this.#events.isServerHeard() && this.#tokens.find(request) !== undefined;
      return await (isLate ? withinPatience(asked) : asked);
    } catch (error) {
      const atHand = isAway(error) && this.isUsable ? this.#tokens.find(request) : undefined;
      if (atHand === undefined) throw error;
      return atHand;
    }
  }

  /** What comes after all is kept too, and what is refused leaves nothing at hand. */
  async #askForJwt(request: TokenRequest): Promise<string> {
    try {
      const token = await this.#registry.issueJwt(this.#issued, request);
      this.#tokens.keep(request, token);
      return token.svid;
    } catch (error) {
      if (!isAway(error)) this.#tokens.forget();
      throw error;
    }
  }

  /** Renews when the SVID is due, or at once; one renewal at a time. Failures are tried again. */
  async freshen({ force }: { readonly force: boolean }): Promise<void> {
    if (this.#isClosed || !(force || this.#isDue())) return;
    this.#renewing ??= this.#renew().finally(() => {
      this.#renewing = undefined;
    });
    await this.#renewing;
  }

  /** Nothing is served or renewed any more. */
  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#timer);
    clearTimeout(this.#expiry);
  }

  async #renew(): Promise<void> {
    clearTimeout(this.#timer);
    try {
      await this.#events.attestAgain();
    } catch (error) {
      // No refusal of the server: a process that cannot be looked at now may be looked at later, and has nothing new until then.
      this.#retryLater(error);
      return;
    }
    if (this.#isClosed) return;
    try {
      const next = await this.#registry.renewInstance(this.#issued);
      if (this.#isClosed) return;
      this.#issued = next;
      this.#schedule();
      this.#events.onChange();
    } catch (error) {
      this.#onFailure(error);
    }
  }

  #onFailure(error: unknown): void {
    if (this.#isClosed) return;
    const isRefusal = error instanceof TrustWardenError && (error.status === 401 || error.status === 403);
    // A refusal counts only while the server hears us as its node: else it may be the node that is refused.
    if (isRefusal && this.#events.isServerHeard()) {
      this.#events.onRefused();
      return;
    }
    this.#retryLater(error);
  }

  #retryLater(error: unknown): void {
    if (this.#isClosed) return;
    const code = error instanceof TrustWardenError ? error.code : "internal";
    const { svid, svidExpiresAt } = this.#issued;
    this.#runtime.notify({
      code,
      what: "A workload's SVID could not be renewed.",
      details: { id: svid.spiffeId, svidExpiresAt },
    });
    const leftMs = svidExpiresAt * 1000 - this.#runtime.nowMs();
    if (leftMs <= 0) return;
    const ceilingMs = Math.min(Math.max(leftMs / 4, MIN_RETRY_MS), MAX_RETRY_MS);
    // What fails for all in one moment does not come back in one moment.
    this.#renewIn(ceilingMs * (1 - 0.25 * jitter(this.#runtime)));
  }

  /** An SVID that lasts as long as its instance is the last one, unless its authority is replaced. */
  #isLast(): boolean {
    return this.#issued.svidExpiresAt >= this.#issued.instanceExpiresAt;
  }

  #isDue(): boolean {
    const { issuedAt, svidExpiresAt } = this.#issued;
    if (this.#isLast()) return false;
    return this.#runtime.nowMs() - issuedAt * 1000 >= renewalAgeMs((svidExpiresAt - issuedAt) * 1000);
  }

  #schedule(): void {
    const leftMs = this.#issued.svidExpiresAt * 1000 - this.#runtime.nowMs();
    if (!this.#isLast()) this.#renewIn(this.#grid.align(renewalDelayMs(leftMs, this.#runtime), leftMs));
    clearTimeout(this.#expiry);
    this.#expiry = setTimeout(
      () => this.#events.onChange(),
      Math.min(Math.max(leftMs, 0) + 1000, MAX_TIMER_MS),
    );
    this.#expiry.unref();
  }

  #renewIn(delayMs: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.#renewIfWanted(), Math.min(Math.max(delayMs, 0), MAX_TIMER_MS));
    this.#timer.unref();
  }

  async #renewIfWanted(): Promise<void> {
    if (this.#events.isWanted()) await this.freshen({ force: true });
  }
}

/**
 * The answer, when it comes soon: a network that swallows everything would hold up the token at hand for longer than its process
 * waits for it. @throws TrustWardenError `server_unreachable`.
 */
async function withinPatience(asked: Promise<string>): Promise<string> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(
    () => late.reject(new TrustWardenError("server_unreachable", { reason: "no answer yet" })),
    PATIENCE_MS,
  );
  // Safe: whoever waits is told by the race, and nobody waits for what fails after it.
  asked.catch(() => undefined);
  try {
    return await Promise.race([asked, late.promise]);
  } finally {
    clearTimeout(timer);
  }
}

/** Whether the server gave no answer; what it refuses is refused, and so is what it cannot or may not do now. */
function isAway(error: unknown): boolean {
  return error instanceof TrustWardenError && error.code === "server_unreachable";
}
