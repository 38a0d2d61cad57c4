/**
 * A relay: holds one lease of the server, or of another relay, and gives it on to verifiers.
 *
 * It gives no more than is left of its own lease, acknowledges an epoch only when everybody behind it has and it knows whom
 * it has to turn away, and never goes backwards: after a gap it says that everything is void. It decides nothing and records nothing; its key opens
 * its own lease and nothing else. All of what it knows is in memory; who was stopped before it heard anything it reads from
 * the server's revocation lists, and serves nobody until it has.
 *
 * @see model/relay.pml, docs/guides/relays.md
 */
import type { Server } from "node:https";
import { parseSpiffeId } from "@trustwarden/core/agentid/spiffe-id.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import {
  type BehindRelay,
  EVERYTHING,
  MAX_BEHIND,
  type RevocationTarget,
} from "@trustwarden/core/revocation/frames.ts";
import { createFeed, type Feed } from "@trustwarden/server/feed/feed.ts";
import {
  askNow,
  connectServer,
  createInstanceKey,
  createLease,
  enrol,
  FreshServers,
  isRelayId,
  type Lease,
  nowSeconds,
  type Runtime,
  readTicket,
  renewCredential,
  requireRelays,
  SvidHolder,
  systemRuntime,
  type TrustServer,
} from "trustwarden/peer.ts";
import { HeardStops } from "./heard-stops.ts";
import { createRelayListener } from "./relay-listener.ts";
import { StoppedList } from "./stopped-list.ts";

/** Twice as often as a verifier: what is left of this lease is all that those behind it can get. */
const BEAT_MS = 100;
/** Instances that were stopped since the start, of which a certificate may still live; of those before, the list knows. */
const STOPS_HEARD = 32_768;
/** Kinds of which a push names whoever dies by it; by most of these nobody does. */
const NAMES_ALL: readonly RevocationTarget["kind"][] = ["instance", "narrowed", "entry", "federation"];
/** After a gap whoever keeps copies fetches them again, and no older decision counts. */
const AFTER_A_GAP: readonly RevocationTarget[] = [
  EVERYTHING,
  { kind: "authority", id: "*" },
  { kind: "federation", id: "*" },
];

/** What a relay says of itself. */
export interface RelayStatus {
  readonly id: string;
  readonly epoch: number;
  /** What everybody behind it has acknowledged. */
  readonly acknowledged: number;
  readonly leases: number;
  readonly leases_behind: number;
  /** Of the relay's own lease; 0 means that it gives nothing on. */
  readonly lease_left_ms: number;
  readonly refused: number;
}

/** A running relay; its listener is not listening yet. */
export interface Relay {
  readonly server: Server;
  status(): RelayStatus;
  close(): Promise<void>;
}

/**
 * Enrols by a relay's ticket and waits for the first lease.
 *
 * @throws TrustWardenError `ticket_missing`, `ticket_mismatch`, `config_invalid` for too many relays, `server_untrusted`, `server_unreachable`, and the server's
 *   refusals.
 */
export async function startRelay(options: {
  readonly ticket: string | undefined;
  /** Origins of relays to follow instead of the server. */
  readonly upstream: readonly string[];
  readonly runtime?: Runtime;
}): Promise<Relay> {
  const { runtime = systemRuntime, upstream } = options;
  const ticket = readTicket(options.ticket);
  if (ticket.unverified.kind !== "relay") throw new TrustWardenError("ticket_mismatch", { field: "kind" });
  requireRelays(upstream);
  const server = await connectServer(ticket.address, runtime);
  const { answer, credential } = await enrol({
    server,
    key: createInstanceKey(),
    envelope: ticket.envelope,
    runtime,
  });
  const id = parseSpiffeId(answer.spiffe_id);
  if (!isRelayId(id, server.trustDomain)) throw new TrustWardenError("server_untrusted", { reason: "id" });
  const fresh = new FreshServers(credential.key.createTlsOptions(credential.svidChain));
  const holder = new SvidHolder({
    first: credential,
    renew: (current) =>
      renewCredential({ server, current, key: createInstanceKey(), sign: () => ({}), runtime }),
    instanceExpiresAt: answer.instance_expires_at,
    onRenewed: ({ svidChain, key }) => fresh.update(key.createTlsOptions(svidChain)),
    runtime,
  });
  const relay = new LeaseRelay({ id, server, holder, fresh, upstream, runtime });
  await relay.ready();
  return relay;
}

/**
 * Owns the lease above and the feed below. Between calls: the feed's epoch is the epoch that the view above has
 * applied; `#acknowledged` is an epoch that no lease below it can still be behind.
 */
class LeaseRelay implements Relay {
  readonly server: Server;
  readonly #id: string;
  readonly #trust: TrustServer;
  readonly #holder: SvidHolder;
  readonly #runtime: Runtime;
  readonly #lease: Lease;
  readonly #stopped = new HeardStops(STOPS_HEARD);
  readonly #before: StoppedList;
  readonly #unfollow: () => void;
  /** None before the first hello: without an epoch there is nothing to give on. */
  #feed: Feed | undefined;
  #acknowledged = 0;
  /** Of the acknowledged epoch, as the server is told. */
  #counts = { acked: 0, expired: 0 };
  #refused = 0;

  constructor(options: {
    readonly id: string;
    readonly server: TrustServer;
    readonly holder: SvidHolder;
    readonly fresh: FreshServers;
    readonly upstream: readonly string[];
    readonly runtime: Runtime;
  }) {
    const { id, server, holder, fresh, upstream, runtime } = options;
    this.#id = id;
    this.#trust = server;
    this.#holder = holder;
    this.#runtime = runtime;
    this.#before = new StoppedList(server);
    this.#lease = createLease({
      stopUrl: server.discovery.stop_url,
      relays: upstream,
      peer: server.peerCheck(() => holder.presented),
      runtime,
      beatMs: BEAT_MS,
      acknowledge: () => ({ ack: this.#acknowledged, behind: this.#behind() }),
      follower: {
        onConnected: (epoch) => this.#onHello(epoch),
        onTargets: (targets, epoch) => this.#pass(targets, epoch),
      },
    });
    this.server = createRelayListener({
      trustDomain: server.trustDomain,
      bundles: server.bundles,
      fresh,
      now: () => nowSeconds(runtime),
      monotonicMs: runtime.monotonicMs,
      isStopped: ({ instanceId, serialHex }) => this.#stopped.has(instanceId) || this.#before.has(serialHex),
      isServing: () => this.#feed !== undefined && this.#before.isCurrent && this.#lease.leftMs() > 0,
      accept: (socket, verifier) => this.#feed?.accept(socket, verifier),
      onRefused: () => {
        this.#refused += 1;
      },
    });
    server.retain();
    this.#unfollow = server.onAuthority(() => {
      if (server.mustRenew(holder.leaf)) holder.renewSoon({ spreadMs: 0 });
    });
  }

  async ready(): Promise<void> {
    await this.#lease.ready();
  }

  status(): RelayStatus {
    return {
      id: this.#id,
      epoch: this.#feed?.epoch ?? 0,
      acknowledged: this.#acknowledged,
      leases: this.#feed?.leases ?? 0,
      leases_behind: this.#feed?.leasesBehind ?? 0,
      lease_left_ms: this.#lease.leftMs(),
      refused: this.#refused,
    };
  }

  async close(): Promise<void> {
    this.#unfollow();
    this.#lease.close();
    this.#before.close();
    await this.#feed?.close();
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
    this.#holder.close();
    this.#trust.release();
  }

  /** What happened between two connections was not told: below, everything is void. */
  #onHello(epoch: number): void {
    void askNow(this.#trust);
    this.#before.want(epoch);
    if (this.#feed === undefined) {
      this.#acknowledged = epoch;
      this.#feed = createFeed({
        store: { epoch: () => epoch, targetsSince: () => [] },
        clock: { monoMs: () => this.#runtime.monotonicMs() },
        leftMs: () => this.#lease.leftMs(),
      });
      return;
    }
    if (epoch > this.#feed.epoch) this.#pass(AFTER_A_GAP, epoch);
  }

  /** Goes on in the step in which it was applied here, so that no echo below names an epoch before its push. */
  #pass(targets: readonly RevocationTarget[], epoch: number): void {
    const feed = this.#feed;
    if (feed === undefined) throw new Error("a push follows a hello");
    // Whom a stop of anything wider names is not in its push.
    let isListNeeded = targets.some(({ kind }) => !NAMES_ALL.includes(kind));
    for (const { kind, id } of targets) if (kind === "instance" && this.#stopped.add(id)) isListNeeded = true;
    if (isListNeeded) this.#before.want(epoch);
    if (targets.some(({ kind }) => kind === "authority")) void askNow(this.#trust);
    void this.#acknowledgeWhenDone(feed, targets, epoch);
  }

  async #acknowledgeWhenDone(feed: Feed, targets: readonly RevocationTarget[], epoch: number): Promise<void> {
    // An acknowledgement covers what came before it, so it waits for the list of any epoch up to its own.
    const listed = this.#before.whenCurrent().then(() => feed.endStopped());
    const [{ acked, expired, behind }] = await Promise.all([feed.pass(targets, epoch), listed]);
    if (epoch <= this.#acknowledged) return;
    this.#acknowledged = epoch;
    this.#counts = { acked: acked + behind.acked, expired: expired + behind.expired };
    this.#lease.beatNow();
  }

  #behind(): BehindRelay {
    const feed = this.#feed;
    const latest = feed?.progress().at(-1);
    const { acked, expired } = this.#counts;
    return {
      leases: saidOf((feed?.leases ?? 0) + (feed?.leasesBehind ?? 0)),
      left: saidOf((latest?.left ?? 0) + (latest?.leftBehind ?? 0)),
      acked: saidOf(acked),
      expired: saidOf(expired),
    };
  }
}

/** Relays behind this one that exaggerate must not make its own word unbelievable. */
function saidOf(count: number): number {
  return Math.min(count, MAX_BEHIND);
}
