/**
 * One process of this host: what was attested of it, its instances (one an entry), and the streams that follow them.
 *
 * Invariants: an entry has at most one live instance here; an entry whose instance was revoked gives this process no
 * other one, so that a stop is not undone by asking again; what was ended here is told to the server.
 */
import { encodeBase64url } from "@trustwarden/core/bytes.ts";
import { sha256 } from "@trustwarden/core/crypto.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { encodeCanonicalJson } from "@trustwarden/core/json.ts";
import { isDeathOf, type RevocationTarget } from "@trustwarden/core/revocation/frames.ts";
import { nowSeconds, type Runtime } from "trustwarden/peer.ts";
import type { AccountRates } from "./account-rates.ts";
import type { Attestation, UnixAttestor } from "./attest/unix-attestor.ts";
import { matchEntries, type NodeEntry } from "./entries.ts";
import { WorkloadInstance } from "./instance.ts";
import type {
  DeliveredSvid,
  DeliveredWit,
  InstanceDescription,
  WorkloadPeer,
  WorkloadState,
  WorkloadSubscription,
} from "./ports.ts";
import type { IssuedInstance, Registry } from "./registry.ts";
import type { RenewalGrid } from "./renewal-grid.ts";
import { formatPrivateJwk, WitKeys } from "./wit-keys.ts";

/** The life of an SVID of most scopes: beyond it nobody is waited for. */
const ASKED_LATELY_SECONDS = 3600;

/** What all workloads of a node share. */
export interface WorkloadContext {
  readonly registry: Registry;
  readonly attestor: UnixAttestor;
  readonly runtime: Runtime;
  readonly nodeName: string;
  readonly entries: () => readonly NodeEntry[];
  readonly rates: AccountRates;
  readonly grid: RenewalGrid;
  readonly isServerHeard: () => boolean;
  /** Tells the server, now or when it can be reached again. */
  readonly endInstance: (instanceId: string, reason: string) => void;
}

interface Subscriber {
  readonly onState: (state: WorkloadState) => void;
  readonly onEnd: (error: unknown) => void;
}

/** Owns the instances and streams of one process, and a hold on what tells whether it runs. */
export class Workload {
  readonly #context: WorkloadContext;
  readonly #peer: WorkloadPeer;
  readonly #release: () => void;
  readonly #instances = new Map<string, WorkloadInstance>();
  readonly #barred = new Set<string>();
  readonly #issuing = new Map<string, Promise<void>>();
  readonly #subscribers = new Set<Subscriber>();
  readonly #witKeys: WitKeys;
  #attestation: Attestation;
  /** Unix seconds. */
  #askedAt = 0;
  #isClosed = false;

  constructor(context: WorkloadContext, peer: WorkloadPeer, attestation: Attestation) {
    this.#context = context;
    this.#peer = peer;
    this.#release = peer.hold();
    this.#attestation = attestation;
    this.#witKeys = new WitKeys(context.runtime);
  }

  get attestation(): Attestation {
    return this.#attestation;
  }

  get isAlive(): boolean {
    return !this.#isClosed && this.#peer.isAlive();
  }

  /** Whether nothing is lost by forgetting it. */
  get isIdle(): boolean {
    return (
      this.#instances.size === 0 &&
      this.#subscribers.size === 0 &&
      this.#issuing.size === 0 &&
      this.#barred.size === 0
    );
  }

  /** Notes that the process itself asked. */
  noteAsked(): void {
    this.#askedAt = nowSeconds(this.#context.runtime);
  }

  /** The instances of every entry that matches, issued or renewed where needed. The process may have changed since. */
  async update(attestation: Attestation): Promise<void> {
    this.#attestation = attestation;
    const matched = this.#endUnmatched();
    const failures: unknown[] = [];
    await Promise.all(
      matched.map((entry) => this.#provide(entry).catch((error: unknown) => failures.push(error))),
    );
    if (this.#usable().length > 0) return;
    throw failures.length === 0 ? new TrustWardenError("no_identity") : whyNone(failures);
  }

  /** Entries or authorities changed: does what `update` does for those that follow, and tells them. */
  async reconsider(): Promise<void> {
    try {
      await this.update(this.#attestation);
    } catch (error) {
      // Safe: the streams are told by the state below, and an entry that failed is tried again with the next change.
      if (!(error instanceof TrustWardenError)) throw error;
    }
    this.publish();
  }

  /** Renews what an authority's replacement or a missed revocation asks for. */
  async renewAll(isDue: (issued: IssuedInstance) => boolean): Promise<void> {
    const due = [...this.#instances.values()].filter(({ issued }) => isDue(issued));
    await Promise.all(due.map((instance) => instance.freshen({ force: true })));
  }

  /** Withdraws what a revocation touched, before anything else is said. */
  onTargets(targets: readonly RevocationTarget[]): void {
    const touched = [...this.#instances.values()].filter(({ ids }) =>
      targets.some((target) => isDeathOf(target, ids)),
    );
    for (const instance of touched) this.#revoke(instance);
    if (touched.length > 0) this.publish();
  }

  /** Follows the state; calls at once. */
  subscribe(onState: Subscriber["onState"], onEnd: Subscriber["onEnd"]): WorkloadSubscription {
    const subscriber = { onState, onEnd };
    this.#subscribers.add(subscriber);
    onState(this.state());
    return { close: () => void this.#subscribers.delete(subscriber) };
  }

  /** Everything that the process may know now. */
  state(): WorkloadState {
    return {
      svids: this.#usable().flatMap(deliver),
      bundles: this.#context.registry.bundles(),
    };
  }

  /** Tells every stream. Identities that ran out because nobody could renew them are a failure and not a refusal. */
  publish(): void {
    const state = this.state();
    const hasRunOut = state.svids.length === 0 && this.#instances.size > 0;
    for (const { onState, onEnd } of [...this.#subscribers]) {
      if (hasRunOut) onEnd(new TrustWardenError("server_unreachable", { reason: "the SVID has ended" }));
      else onState(state);
    }
  }

  async issueJwts(audience: readonly string[], wanted: string | null) {
    const requests = this.#takeIdentities(wanted).map(async ({ svid, identity, instance }) => ({
      spiffeId: svid.spiffeId,
      svid: await instance.issueJwt({ audience, identity }),
      hint: hintOf(instance.entry, identity),
    }));
    return Promise.all(requests);
  }

  async issueWits(wanted: string | null): Promise<readonly DeliveredWit[]> {
    const { registry } = this.#context;
    const requests = this.#takeIdentities(wanted).map(async ({ svid, identity, instance }) => {
      const { issued, entry } = instance;
      const key = this.#witKeys.keyOf(svid.spiffeId);
      const wit = await registry.issueWit(issued, { identity, key });
      const hint = hintOf(entry, identity);
      return { spiffeId: svid.spiffeId, ...wit, keyJwk: formatPrivateJwk(key), hint };
    });
    return Promise.all(requests);
  }

  /** @throws TrustWardenError as `WorkloadSource.grant`. */
  issueGrant({ request, parent }: { readonly request: string; readonly parent: string }): string {
    const [instance, ...others] = this.#usable().filter(
      ({ issued }) => parent === "" || parent === issued.instanceId,
    );
    // Whose child it is must never be a guess.
    if (instance === undefined || others.length > 0) throw new TrustWardenError("no_identity");
    this.#context.rates.take(this.#peer.uid, 1);
    const { path } = instance.entry;
    return this.#context.registry.issueGrant(instance.issued, { path, request });
  }

  describe(): readonly InstanceDescription[] {
    return this.#usable().map(({ issued, entry }) => ({
      spiffeId: issued.svid.spiffeId,
      instanceId: issued.instanceId,
      agentId: issued.agentId,
      chain: issued.chain,
      chainSha256: encodeBase64url(sha256(encodeCanonicalJson([...issued.chain]))),
      scope: issued.scope,
      strength: this.#attestation.facts.strength,
      svidExpiresAt: issued.svidExpiresAt,
      instanceExpiresAt: issued.instanceExpiresAt,
      hint: entry.hint,
    }));
  }

  /** Ends every stream and every instance. */
  close(error: TrustWardenError, reason: string): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    for (const instance of this.#instances.values()) this.#end(instance, reason);
    for (const { onEnd } of [...this.#subscribers]) onEnd(error);
    this.#subscribers.clear();
    this.#release();
  }

  /** The identities that tokens are wanted of, counted against what the account may have issued. */
  #takeIdentities(wanted: string | null) {
    const identities = this.#usable().flatMap((instance) =>
      identitiesOf(instance.issued)
        .filter(({ svid }) => wanted === null || svid.spiffeId === wanted)
        .map((one) => ({ ...one, instance })),
    );
    if (identities.length === 0) throw new TrustWardenError("no_identity");
    this.#context.rates.take(this.#peer.uid, identities.length);
    return identities;
  }

  #usable(): readonly WorkloadInstance[] {
    return [...this.#instances.values()]
      .filter(({ isUsable }) => isUsable)
      .toSorted((left, right) => (left.entry.entryId < right.entry.entryId ? -1 : 1));
  }

  #endUnmatched(): readonly NodeEntry[] {
    const { entries, nodeName } = this.#context;
    const matched = matchEntries(entries(), this.#attestation.selectors, nodeName);
    for (const instance of this.#instances.values()) {
      const isMatched = matched.some(({ entryId }) => entryId === instance.entry.entryId);
      if (!isMatched) this.#end(instance, "the entry no longer matches");
    }
    return matched.filter(({ entryId }) => !this.#barred.has(entryId));
  }

  async #provide(entry: NodeEntry): Promise<void> {
    const known = this.#instances.get(entry.entryId);
    if (known !== undefined && !this.#isOver(known)) {
      const renewed = known.freshen({ force: false });
      // Its instance goes on trying, and tells its streams: what is at hand does not wait for a server that is not heard.
      return known.isUsable && !this.#context.isServerHeard() ? undefined : renewed;
    }
    const underWay = this.#issuing.get(entry.entryId);
    if (underWay !== undefined) return underWay;
    known?.close();
    const issuing = this.#issue(entry).finally(() => this.#issuing.delete(entry.entryId));
    this.#issuing.set(entry.entryId, issuing);
    return issuing;
  }

  /** An instance whose lifetime is over is followed by another one: the process still matches. */
  #isOver({ issued }: WorkloadInstance): boolean {
    return this.#context.runtime.nowMs() / 1000 >= issued.instanceExpiresAt;
  }

  async #issue(entry: NodeEntry): Promise<void> {
    const { registry, runtime, rates, isServerHeard, endInstance } = this.#context;
    rates.take(this.#peer.uid, 1);
    const issued = await registry.createInstance(entry, this.#attestation);
    if (!this.isAlive) {
      endInstance(issued.instanceId, "the process ended");
      throw new TrustWardenError("workload_gone", { pid: this.#peer.pid });
    }
    const instance: WorkloadInstance = new WorkloadInstance({
      entry,
      issued,
      registry,
      runtime,
      grid: this.#context.grid,
      events: {
        onChange: () => void this.#onChange(instance),
        onRefused: () => {
          this.#revoke(instance);
          this.publish();
        },
        attestAgain: () => this.#attestAgain(),
        isWanted: () => this.#subscribers.size > 0 || this.#isAskedLately(),
        isServerHeard,
      },
    });
    this.#instances.set(entry.entryId, instance);
  }

  /** The same process may run another program than when it asked: an open stream must not carry the identity over. */
  async #attestAgain(): Promise<void> {
    this.#attestation = await this.#context.attestor.attest(this.#peer);
    const count = this.#instances.size;
    this.#endUnmatched();
    if (this.#instances.size < count) this.publish();
  }

  async #onChange(instance: WorkloadInstance): Promise<void> {
    if (this.#isClosed) return;
    if (this.#isOver(instance) && this.#subscribers.size > 0) await this.reconsider();
    else this.publish();
  }

  /** A program that asks now and then, and keeps no stream, finds its SVID alive when the server is away. */
  #isAskedLately(): boolean {
    return nowSeconds(this.#context.runtime) - this.#askedAt < ASKED_LATELY_SECONDS;
  }

  #revoke(instance: WorkloadInstance): void {
    instance.close();
    this.#instances.delete(instance.entry.entryId);
    this.#barred.add(instance.entry.entryId);
  }

  #end(instance: WorkloadInstance, reason: string): void {
    instance.close();
    this.#instances.delete(instance.entry.entryId);
    this.#context.endInstance(instance.issued.instanceId, reason);
  }
}

/** A refusal of every entry means no identity; anything else may pass. */
function whyNone(failures: readonly unknown[]): unknown {
  const isRefused = (error: unknown) =>
    error instanceof TrustWardenError && (error.status === 403 || error.status === 409);
  return failures.find((error) => !isRefused(error)) ?? new TrustWardenError("no_identity");
}

function deliver({ issued, entry }: WorkloadInstance): readonly DeliveredSvid[] {
  return identitiesOf(issued).map(({ svid, identity }) => ({
    spiffeId: svid.spiffeId,
    chain: svid.chain,
    keyPkcs8: svid.keyPkcs8,
    hint: hintOf(entry, identity),
  }));
}

/** The instance's identity first: it is the default one. */
function identitiesOf({ svid, classSvid }: IssuedInstance) {
  const own = { svid, identity: "instance" as const };
  return classSvid === undefined ? [own] : [own, { svid: classSvid, identity: "class" as const }];
}

function hintOf({ hint }: NodeEntry, identity: "instance" | "class"): string {
  return hint === "" || identity === "instance" ? hint : `${hint}-class`;
}
