/**
 * The relationships with other trust domains while the server runs: asks each endpoint for its bundle when the last
 * one says so, and keeps the last one for as long as there is no better.
 *
 * A failed fetch changes nothing and is tried again at the next interval. What is taken is committed with its event
 * first and believed afterwards; what is removed is believed no more before anybody is told.
 *
 * @see SPIFFE Federation §4.1, §6.2
 */
import {
  type FederationEndpoint,
  refreshSecondsOf,
  requireNotOlder,
  requireOwnClaims,
} from "@trustwarden/core/agentid/federation.ts";
import type { TrustDomain } from "@trustwarden/core/agentid/spiffe-id.ts";
import { parseTrustBundle, type TrustBundle } from "@trustwarden/core/agentid/trust-bundle.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type {
  CommandContext,
  Committed,
  FederationChange,
  FederationCommands,
  FederationState,
} from "../store/ports.ts";
import { KnownBundles } from "./bundles.ts";
import type { BundleFetch } from "./fetch-bundle.ts";

/** Before the first bundle is there, and after a failure of one that says nothing. */
const DEFAULT_INTERVAL_SECONDS = 300;
/** The first round after a start: soon, and not all at once. */
const FIRST_ROUND_MS = 5000;

/** What is known of a relationship's fetches; forgotten by a restart. */
export interface FetchStatus {
  /** Unix seconds of the last answer that was a bundle; null before it. */
  readonly fetchedAt: number | null;
  /** Code of the last failure, null after a success. */
  readonly failure: string | null;
}

/** A relationship, its fetches, and its bundle as far as we use it. */
export interface FederationView {
  readonly state: FederationState;
  readonly status: FetchStatus;
  readonly bundle: TrustBundle | undefined;
}

interface FederationDeps {
  readonly ownBundle: () => TrustBundle;
  readonly reads: { readonly listFederations: () => readonly FederationState[] };
  readonly commands: FederationCommands;
  readonly fetch: (fetch: BundleFetch) => Promise<string>;
  /** Brings the event into the ledger and tells every verifier and node to fetch again. */
  readonly announce: (committed: Committed<unknown>, trustDomain: TrustDomain) => Promise<void>;
  /** Where a change comes from that nobody asked for: the server itself. */
  readonly context: () => CommandContext;
  /** Unix seconds. */
  readonly now: () => number;
  /** Uniform in [0, 1). */
  readonly jitter: () => number;
  readonly warn: (facts: { readonly trust_domain: string; readonly code: string }) => void;
}

const NEVER: FetchStatus = { fetchedAt: null, failure: null };

/** Owns the bundles, the timers, one for each endpoint, and what is known of fetches. */
export class Federation {
  readonly bundles: KnownBundles;
  readonly #deps: FederationDeps;
  readonly #timers = new Map<TrustDomain, NodeJS.Timeout>();
  readonly #statuses = new Map<TrustDomain, FetchStatus>();
  #isClosed = false;

  constructor(deps: FederationDeps) {
    this.#deps = deps;
    this.bundles = new KnownBundles(deps.ownBundle);
    this.bundles.load(deps.reads.listFederations());
  }

  /** Begins to poll. */
  start(): void {
    for (const { trustDomain, endpoint } of this.#deps.reads.listFederations()) {
      if (endpoint !== null) this.#schedule(trustDomain, FIRST_ROUND_MS * this.#deps.jitter());
    }
  }

  /** Another server of the same store may have changed a relationship: from now on its bundles count here too. */
  follow(): void {
    const states = this.#deps.reads.listFederations();
    this.bundles.load(states);
    for (const trustDomain of [...this.#timers.keys()])
      if (!states.some((state) => state.trustDomain === trustDomain)) this.#forget(trustDomain);
    for (const { trustDomain, endpoint } of states)
      if (endpoint !== null && !this.#timers.has(trustDomain)) this.#scheduleNext(trustDomain);
  }

  close(): void {
    this.#isClosed = true;
    for (const timer of this.#timers.values()) clearTimeout(timer);
  }

  list(): readonly FederationView[] {
    return this.#deps.reads.listFederations().map((state) => ({
      state,
      status: this.#statuses.get(state.trustDomain) ?? NEVER,
      bundle: this.bundles.get(state.trustDomain),
    }));
  }

  /** @throws TrustWardenError `not_found`. */
  get(trustDomain: TrustDomain): FederationView {
    const view = this.list().find(({ state }) => state.trustDomain === trustDomain);
    if (view === undefined) throw new TrustWardenError("not_found", { trustDomain });
    return view;
  }

  /**
   * Commits a change that an operator asked for.
   *
   * @throws TrustWardenError `federation_malformed` for our own trust domain, or an `https_spiffe` endpoint that no
   *   bundle proves; and as `FederationCommands.changeFederation`.
   */
  async change(change: FederationChange, context: CommandContext): Promise<void> {
    const { trustDomain } = change;
    if (trustDomain === this.#deps.ownBundle().trustDomain) malformed("trust_domain");
    if (change.change === "create") requireFirstContact(change);
    if (change.change !== "removal" && change.bundle !== null) {
      requireOwnClaims(parseTrustBundle(change.bundle, trustDomain), this.bundles.list());
    }
    const committed = await this.#deps.commands.changeFederation({ ...change, context });
    this.bundles.load(this.#deps.reads.listFederations());
    if (change.change === "removal") this.#forget(trustDomain);
    else this.#scheduleNext(trustDomain);
    await this.#deps.announce(committed, trustDomain);
  }

  /**
   * Fetches now.
   *
   * @throws TrustWardenError `not_found`, `federation_malformed` without an endpoint, and why the bundle was not taken.
   */
  async refresh(trustDomain: TrustDomain, context: CommandContext): Promise<void> {
    const { endpoint } = this.get(trustDomain).state;
    if (endpoint === null) return malformed("url");
    try {
      await this.#fetch(trustDomain, { endpoint, context });
      this.#statuses.set(trustDomain, { fetchedAt: this.#deps.now(), failure: null });
    } catch (error) {
      this.#noteFailure(trustDomain, error);
      throw error;
    } finally {
      this.#scheduleNext(trustDomain);
    }
  }

  async #fetch(
    trustDomain: TrustDomain,
    { endpoint, context }: { readonly endpoint: FederationEndpoint; readonly context: CommandContext },
  ): Promise<void> {
    const current = this.bundles.get(trustDomain);
    const text = await this.#deps.fetch({ endpoint, bundle: current, now: this.#deps.now() });
    const bundle = parseFetched(text, trustDomain);
    requireOwnClaims(bundle, this.bundles.list());
    if (!requireNotOlder(bundle, current).isNew) return;
    await this.change({ change: "bundle", trustDomain, bundle: text }, context);
  }

  #noteFailure(trustDomain: TrustDomain, error: unknown): void {
    const code = error instanceof TrustWardenError ? error.code : "internal";
    const { fetchedAt } = this.#statuses.get(trustDomain) ?? NEVER;
    this.#statuses.set(trustDomain, { fetchedAt, failure: code });
    this.#deps.warn({ trust_domain: trustDomain, code });
  }

  #scheduleNext(trustDomain: TrustDomain): void {
    const bundle = this.bundles.get(trustDomain);
    const seconds = bundle === undefined ? DEFAULT_INTERVAL_SECONDS : refreshSecondsOf(bundle);
    // Early by up to a tenth, so that a hundred relationships of one start drift apart.
    this.#schedule(trustDomain, seconds * 1000 * (1 - 0.1 * this.#deps.jitter()));
  }

  #schedule(trustDomain: TrustDomain, delayMs: number): void {
    clearTimeout(this.#timers.get(trustDomain));
    if (this.#isClosed) return;
    this.#timers.set(trustDomain, setTimeout(() => void this.#poll(trustDomain), delayMs).unref());
  }

  async #poll(trustDomain: TrustDomain): Promise<void> {
    const isStanding = this.list().some(
      ({ state }) => state.trustDomain === trustDomain && state.endpoint !== null,
    );
    if (!isStanding) return;
    try {
      await this.refresh(trustDomain, this.#deps.context());
    } catch {
      // Safe to go on: the last bundle stays in force, the failure is logged, and the next interval is scheduled.
    }
  }

  #forget(trustDomain: TrustDomain): void {
    clearTimeout(this.#timers.get(trustDomain));
    this.#timers.delete(trustDomain);
    this.#statuses.delete(trustDomain);
  }
}

/** Nothing but a bundle that the operator brings can prove a SPIFFE endpoint the first time. */
function requireFirstContact({
  endpoint,
  bundle,
}: Extract<FederationChange, { readonly change: "create" }>): void {
  if (bundle === null && endpoint?.profile !== "https_web") malformed("bundle");
}

function parseFetched(text: string, trustDomain: TrustDomain): TrustBundle {
  try {
    return parseTrustBundle(text, trustDomain);
  } catch (cause) {
    const reason = cause instanceof TrustWardenError ? cause.code : "internal";
    throw new TrustWardenError("federation_unreachable", { reason }, { cause });
  }
}

function malformed(field: string): never {
  throw new TrustWardenError("federation_malformed", { field });
}
