/**
 * The node's source of identities: attests each caller, gives each process its instances, and follows the feed.
 *
 * While the server is away, processes that have identities keep them as long as their SVIDs last, and new streams of the
 * same processes get them too, until the node has heard nothing for ten minutes: the longest that an SVID of the most
 * critical class lives. Nothing new is issued meanwhile.
 *
 * @see docs/guides/workload-api.md, "While the server is away"
 */
import type { SpiffeId } from "@trustwarden/core/agentid/spiffe-id.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { RevocationTarget } from "@trustwarden/core/revocation/frames.ts";
import { nowSeconds, type Runtime } from "trustwarden/peer.ts";
import { AccountRates } from "./account-rates.ts";
import type { UnixAttestor } from "./attest/unix-attestor.ts";
import { Endings } from "./endings.ts";
import type { NodeEntry } from "./entries.ts";
import type {
  InstanceDescription,
  WorkloadPeer,
  WorkloadSource,
  WorkloadState,
  WorkloadSubscription,
} from "./ports.ts";
import type { IssuedInstance, Registry } from "./registry.ts";
import { RenewalGrid } from "./renewal-grid.ts";
import { Workload, type WorkloadContext } from "./workload.ts";

/** How long identities at hand are given to new streams without a word from the server. */
const MAX_SILENCE_SECONDS = 600;
/** Workloads that are looked after at once. */
const LANES = 8;
/** How soon the end of a process is noticed. */
const WATCH_MS = 200;

/** What a source is made of. */
export interface AttestedSourceOptions {
  readonly registry: Registry;
  readonly attestor: UnixAttestor;
  readonly nodeName: string;
  /** Whether the lease is live at this moment. */
  readonly isServerHeard: () => boolean;
  readonly runtime: Runtime;
}

/** Owns the workloads of this host, and the copy of the entries. */
export class AttestedSource implements WorkloadSource {
  readonly #options: AttestedSourceOptions;
  readonly #context: WorkloadContext;
  readonly #endings: Endings;
  /** By `Attestation.processKey`. */
  readonly #workloads = new Map<string, Workload>();
  readonly #timer: NodeJS.Timeout;
  #entries: readonly NodeEntry[] = [];
  #heardAt = 0;

  constructor(options: AttestedSourceOptions) {
    const { registry, attestor, runtime, nodeName, isServerHeard } = options;
    this.#options = options;
    this.#endings = new Endings({ registry, runtime });
    this.#context = {
      registry,
      attestor,
      runtime,
      nodeName,
      isServerHeard,
      entries: () => this.#entries,
      rates: new AccountRates(runtime.monotonicMs),
      grid: new RenewalGrid(runtime),
      endInstance: (instanceId, reason) => this.#endings.add(instanceId, reason),
    };
    this.#timer = setInterval(() => this.#watch(), WATCH_MS);
    this.#timer.unref();
  }

  /** The entries at hand. */
  get entries(): readonly NodeEntry[] {
    return this.#entries;
  }

  /** Processes with identities, for figures. */
  get workloadCount(): number {
    return this.#workloads.size;
  }

  async subscribe(
    peer: WorkloadPeer,
    onState: (state: WorkloadState) => void,
    onEnd: (error: unknown) => void,
  ): Promise<WorkloadSubscription> {
    const workload = await this.#provide(peer);
    return workload.subscribe(onState, onEnd);
  }

  async issueJwtSvids(
    peer: WorkloadPeer,
    { audience, spiffeId }: { readonly audience: readonly string[]; readonly spiffeId: SpiffeId | null },
  ) {
    const workload = await this.#provide(peer);
    return workload.issueJwts(audience, spiffeId);
  }

  isWitServed() {
    return this.#options.registry.isWitServed();
  }

  async issueWitSvids(peer: WorkloadPeer, { spiffeId }: { readonly spiffeId: SpiffeId | null }) {
    return (await this.#provide(peer)).issueWits(spiffeId);
  }

  bundles() {
    return this.#options.registry.bundles();
  }

  async describe(peer: WorkloadPeer): Promise<readonly InstanceDescription[]> {
    return (await this.#provide(peer)).describe();
  }

  async grant(
    peer: WorkloadPeer,
    asked: { readonly request: string; readonly parent: string },
  ): Promise<string> {
    return (await this.#provide(peer)).issueGrant(asked);
  }

  /** What the node has of a process, without giving it anything. */
  describeProcess(processKey: string): readonly InstanceDescription[] {
    return this.#workloads.get(processKey)?.describe() ?? [];
  }

  /** Reads entries and bundles again, and does what follows from them. */
  async refresh(): Promise<void> {
    const { registry } = this.#options;
    await registry.refresh();
    this.#entries = await registry.entries();
    await this.#each((workload) => workload.renewAll(registry.mustRenew));
    await this.#each((workload) => workload.reconsider());
  }

  /** After a time without the feed: whatever was revoked meanwhile is refused when it is renewed. */
  async renewAll(isDue: (issued: IssuedInstance) => boolean): Promise<void> {
    await this.#each((workload) => workload.renewAll(isDue));
  }

  /** Withdraws at once what a revocation touched. */
  onTargets(targets: readonly RevocationTarget[]): void {
    for (const workload of this.#workloads.values()) workload.onTargets(targets);
  }

  /** Ends every stream. @param reason - told to the server of every instance; undefined leaves them to expire. */
  async close(error: TrustWardenError): Promise<void> {
    clearInterval(this.#timer);
    for (const workload of this.#workloads.values()) workload.close(error, "the node stopped");
    this.#workloads.clear();
    await this.#endings.close();
  }

  async #provide(peer: WorkloadPeer): Promise<Workload> {
    this.#requireHeardLately();
    const attestation = await this.#options.attestor.attest(peer);
    const known = this.#workloads.get(attestation.processKey);
    const workload = known ?? new Workload(this.#context, peer, attestation);
    this.#workloads.set(attestation.processKey, workload);
    workload.noteAsked();
    try {
      await workload.update(attestation);
    } finally {
      if (workload.isIdle) this.#forget(attestation.processKey, workload);
    }
    return workload;
  }

  #requireHeardLately(): void {
    const now = nowSeconds(this.#options.runtime);
    if (this.#options.isServerHeard()) this.#heardAt = now;
    if (now - this.#heardAt > MAX_SILENCE_SECONDS)
      throw new TrustWardenError("lease_expired", {
        reason: "nothing heard of the server",
        heardAt: this.#heardAt,
      });
  }

  #watch(): void {
    if (this.#options.isServerHeard()) this.#heardAt = nowSeconds(this.#options.runtime);
    for (const [key, workload] of this.#workloads) {
      if (workload.isAlive && !workload.isIdle) continue;
      this.#forget(key, workload);
    }
  }

  #forget(key: string, workload: Workload): void {
    if (this.#workloads.get(key) === workload) this.#workloads.delete(key);
    workload.close(new TrustWardenError("workload_gone"), "the process ended");
  }

  /** A few at once: a thousand workloads that renew in one moment keep the server from everybody else. */
  async #each(run: (workload: Workload) => Promise<void>): Promise<void> {
    const waiting = this.#workloads.values();
    const lane = async (): Promise<void> => {
      for (const workload of waiting) await run(workload);
    };
    await Promise.all(Array.from({ length: LANES }, lane));
  }
}
