/**
 * One instance of one process: its SVIDs, renewed at half life for as long as somebody listens.
 *
 * An SVID that cannot be renewed is served until it ends and not a second longer. A process that nobody listens for
 * keeps its SVID and renews when it comes back.
 */
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { jitter, nowSeconds, type Runtime } from "trustwarden/peer.ts";
import type { NodeEntry } from "./entries.ts";
import type { IssuedInstance, Registry } from "./registry.ts";

const MIN_RETRY_MS = 1000;
const MAX_RETRY_MS = 30_000;
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
  /** Whether somebody listens, and the server has been heard just now. */
  readonly isWanted: () => boolean;
  readonly isServerHeard: () => boolean;
}

/** Owns the SVIDs of one (process, entry), and the timer of their renewal. */
export class WorkloadInstance {
  readonly entry: NodeEntry;
  readonly #registry: Registry;
  readonly #events: InstanceEvents;
  readonly #runtime: Runtime;
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
  }) {
    this.entry = options.entry;
    this.#issued = options.issued;
    this.#registry = options.registry;
    this.#events = options.events;
    this.#runtime = options.runtime;
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

  /** Renews when half of the SVID's life is over, or at once; one renewal at a time. Failures are tried again. */
  async freshen({ force }: { readonly force: boolean }): Promise<void> {
    if (this.#isClosed || !(force || this.#isHalfOver())) return;
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
    if (leftMs > 0) this.#renewIn(Math.min(Math.max(leftMs / 4, MIN_RETRY_MS), MAX_RETRY_MS));
  }

  /** An SVID that lasts as long as its instance is the last one, unless its authority is replaced. */
  #isLast(): boolean {
    return this.#issued.svidExpiresAt >= this.#issued.instanceExpiresAt;
  }

  #isHalfOver(): boolean {
    const { issuedAt, svidExpiresAt } = this.#issued;
    if (this.#isLast()) return false;
    return this.#runtime.nowMs() / 1000 >= issuedAt + (svidExpiresAt - issuedAt) / 2;
  }

  #schedule(): void {
    const leftMs = this.#issued.svidExpiresAt * 1000 - this.#runtime.nowMs();
    // Later by up to a tenth, so that the workloads of one start do not renew at once.
    if (!this.#isLast()) this.#renewIn((leftMs / 2) * (1 + 0.1 * jitter(this.#runtime)));
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
