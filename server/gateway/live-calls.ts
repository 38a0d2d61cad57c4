/**
 * The calls that are running, and their end when they may no longer run.
 *
 * An answer may stream for minutes. Whoever of its chain is revoked, narrowed or expires in that time, and whatever
 * policy changes, ends it: at each push of the revocation feed every call that the push may concern is asked again
 * whether it may go on, in the same synchronous step in which verifiers are told. One of several servers is told of what the others
 * stopped for as long as it has a lease of the store, and with that lease every call ends.
 */
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { AgentPrincipal } from "@trustwarden/core/principal.ts";
import type { RevocationTarget } from "@trustwarden/core/revocation/frames.ts";
import type { UpstreamState } from "../store/gateway-ports.ts";

/** Longest delay that a timer takes; no instance's certificate lives as long. */
const MAX_DELAY_MS = 2_147_483_647;

/** One running call. */
export interface LiveCall {
  readonly agent: AgentPrincipal;
  readonly upstream: UpstreamState;
  /** Whether it was let in by a credential that ends without a push. */
  readonly isPresented: boolean;
  /** Milliseconds until its credentials end. */
  readonly endsInMs: number;
  /** Decides once more, on the state of now. */
  readonly mayGoOn: () => boolean;
}

/** Owns the set of running calls; each is in it from before its act until its outcome. */
export class LiveCalls {
  readonly #calls = new Map<LiveCall, AbortController>();
  #leftMs = (): number => Number.POSITIVE_INFINITY;
  #watch: NodeJS.Timeout | undefined;

  /** How many are running. */
  get size(): number {
    return this.#calls.size;
  }

  /** From now on no call runs on when this server is told of others' stops no more. @param leftMs - of its lease. */
  holdTo(leftMs: () => number): void {
    this.#leftMs = leftMs;
  }

  /** Runs a call; its signal fires when it must end. */
  async run<Result>(call: LiveCall, act: (signal: AbortSignal) => Promise<Result>): Promise<Result> {
    const controller = new AbortController();
    const expiry = setTimeout(() => controller.abort(), Math.min(Math.max(call.endsInMs, 0), MAX_DELAY_MS));
    this.#calls.set(call, controller);
    if (this.#watch === undefined) this.#watchLease();
    try {
      return await act(controller.signal);
    } finally {
      clearTimeout(expiry);
      this.#calls.delete(call);
    }
  }

  /** Cuts what a push of the feed no longer allows. */
  cut(targets: readonly RevocationTarget[]): void {
    for (const [call, controller] of this.#calls) {
      if (targets.some((target) => concerns(target, call)) && !isAllowed(call)) controller.abort();
    }
  }

  /** Cuts what is no longer allowed of what ends without a push. */
  cutPresented(): void {
    for (const [call, controller] of this.#calls)
      if (call.isPresented && !isAllowed(call)) controller.abort();
  }

  /** Cuts the calls of an upstream that is registered no more, or anew. @returns how many. */
  cutStale(isCurrent: (upstream: UpstreamState) => boolean): number {
    const stale = [...this.#calls].filter(([{ upstream }]) => !isCurrent(upstream));
    for (const [, controller] of stale) controller.abort();
    return stale.length;
  }

  /** Cuts everything; the gateway is closing. @param reason - what the callers are told instead, where nobody decided against them. */
  close(reason?: TrustWardenError): void {
    clearTimeout(this.#watch);
    this.#watch = undefined;
    for (const controller of this.#calls.values()) controller.abort(reason);
  }

  /** Looks again when the lease of now would be over: it is renewed long before, or everything ends. */
  #watchLease(): void {
    this.#watch = undefined;
    const leftMs = this.#leftMs();
    if (this.#calls.size === 0 || !Number.isFinite(leftMs)) return;
    if (leftMs <= 0) this.close(unheard());
    else this.#watch = setTimeout(() => this.#watchLease(), leftMs);
  }
}

/** Whoever was cut for it may ask again; it is no deny. */
function unheard(): TrustWardenError {
  return new TrustWardenError("store_unavailable", { reason: "nobody tells this server whom others stop" });
}

function isAllowed(call: LiveCall): boolean {
  try {
    return call.mayGoOn();
  } catch {
    // Safe: whatever cannot be shown to be allowed is cut.
    return false;
  }
}

function concerns({ kind, id }: RevocationTarget, { agent }: LiveCall): boolean {
  switch (kind) {
    case "narrowed":
      // By an owner that stopped a job of its own.
      if (id === agent.ownerId) return true;
      return agent.chain.some(({ instanceId, spiffeId }) => id === instanceId || id === spiffeId);
    case "instance":
      return agent.chain.some(({ instanceId, spiffeId }) => id === instanceId || id === spiffeId);
    case "agent":
      return agent.chain.some(({ agentId }) => id === agentId);
    case "owner":
      return id === agent.ownerId;
    case "policy":
    case "authority":
    case "federation":
      return true;
    case "entry":
      return false;
  }
}
