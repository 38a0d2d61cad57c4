/**
 * The revocation feed: carries each epoch to every connected verifier, and knows when the last of them has stopped.
 *
 * One upgraded connection per verifier carries pushes and lease alike, so an echo proves that everything pushed before
 * it arrived. A push and the rise of the epoch are one synchronous step: no echo can name an epoch whose push is not
 * already on its way. Who may connect is decided by the guard before `accept`; what is revoked, by the store.
 *
 * @see docs/path.md, "The lease"
 */
import type { Duplex } from "node:stream";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import {
  type Beat,
  EVERYTHING,
  encodeServerFrame,
  LEASE_MS,
  type RevocationTarget,
} from "@trustwarden/core/revocation/frames.ts";
import {
  type Barrier,
  type LeaseId,
  LeaseRegistry,
  type Progress,
} from "@trustwarden/core/revocation/lease-registry.ts";
import type { RevocationSource } from "@trustwarden/core/revocation/ports.ts";
import { type EndReason, type FeedClock, FeedConnection, type FeedVerifier } from "./connection.ts";

/** One in use, and the next while an agent connects again. */
const MAX_CONNECTIONS_PER_FOLLOWER = 2;

/** How a revocation ended at the verifiers. */
export interface Published {
  /** Leases that acknowledged the epoch. */
  readonly acked: number;
  /** Leases that ran out instead. */
  readonly expired: number;
  /** The same of the leases behind relays, as the relays say. */
  readonly behind: { readonly acked: number; readonly expired: number };
  /** From the call of `publish`. */
  readonly elapsedMs: number;
}

/** What happens at the feed, for the log. */
export type FeedEvent =
  | { readonly kind: "opened"; readonly spiffeId: string }
  | { readonly kind: "ended"; readonly spiffeId: string; readonly reason: EndReason }
  /** The store could not say what an epoch did, so every older decision was voided instead. */
  | { readonly kind: "targets_unknown"; readonly epoch: number }
  /** Whoever acts in this process could not be told; what it does is refused at its next step. */
  | { readonly kind: "push_unheard"; readonly epoch: number };

/** The server's side of revocation. */
export interface Feed {
  /** Connected verifiers and relays. */
  readonly leases: number;
  /** Leases behind relays, as the relays say. */
  readonly leasesBehind: number;
  /** The epoch of the last push. */
  readonly epoch: number;
  /** How far each change is that somebody still has to acknowledge, oldest first. */
  progress(): readonly Progress[];
  /**
   * Takes over a socket on which `101 Switching Protocols` was just answered; speaks first.
   *
   * @param verifier - as the guard authenticated it.
   */
  accept(socket: Duplex, verifier: FeedVerifier): void;
  /**
   * Carries a committed revocation to every verifier. Resolves when each lease that was live has acknowledged it or has
   * run out for certain: from then on no verifier acts on a decision that it touched.
   *
   * @param epoch - the epoch that the commit took.
   */
  publish(targets: readonly RevocationTarget[], epoch: number): Promise<Published>;
  /**
   * The same for a relay, which knows the push of whom it follows and nothing else: it goes on as it came, and covers
   * every epoch up to its own.
   */
  pass(targets: readonly RevocationTarget[], epoch: number): Promise<Published>;
  /** Cuts whoever may not be here any more by `isLive`; others notice nothing. */
  endStopped(): void;
  /** Waits for what is being published, then ends every connection. */
  close(): Promise<void>;
}

/** What a feed is made from. */
export interface FeedOptions {
  readonly store: RevocationSource;
  readonly clock: FeedClock;
  readonly onEvent?: (event: FeedEvent) => void;
  /** Told of each push in the step that sends it: whoever acts in this process stops with the verifiers. */
  readonly onPush?: (targets: readonly RevocationTarget[]) => void;
  /**
   * Of a relay: what is left of the lease that it holds itself, in whole milliseconds. It gives no more, and nothing
   * while there is nothing left.
   */
  readonly leftMs?: () => number;
}

type Counts = Pick<Published, "acked" | "expired" | "behind">;

/** One rise of the epoch. */
interface Step {
  readonly epoch: number;
  readonly targets: readonly RevocationTarget[];
}

/** Who is connected. */
interface Following {
  readonly link: FeedConnection;
  readonly verifier: FeedVerifier;
  /** The epoch that it has to acknowledge before it gets another lease; 0 unless one ran out instead. */
  owes: number;
}

interface Publication {
  readonly barrier: Barrier;
  readonly done: PromiseWithResolvers<Counts>;
  timer: NodeJS.Timeout | undefined;
}

/** The feed of one server process, or of one relay, starting at the store's epoch. Start only one per store. */
export function createFeed(options: FeedOptions): Feed {
  return new LeaseFeed(options);
}

/**
 * Owns the connections. Between calls: each connection was sent hello and every push after it, in order; the
 * registry's epoch is the epoch of the last push.
 */
class LeaseFeed implements Feed {
  readonly #store: RevocationSource;
  readonly #clock: FeedClock;
  readonly #onEvent: (event: FeedEvent) => void;
  readonly #onPush: (targets: readonly RevocationTarget[]) => void;
  readonly #leftMs: (() => number) | undefined;
  readonly #registry: LeaseRegistry;
  readonly #connections = new Map<LeaseId, Following>();
  readonly #publications = new Set<Publication>();
  /** Completion of the last push; it includes every earlier one. */
  #latest: Promise<Counts> | undefined;
  /** Number of the last push, the same for all connections, so that a push is encoded once. */
  #seq = 0;
  #isClosing = false;

  constructor({ store, clock, onEvent, onPush, leftMs }: FeedOptions) {
    this.#leftMs = leftMs;
    this.#store = store;
    this.#clock = clock;
    this.#onEvent = onEvent ?? (() => undefined);
    this.#onPush = onPush ?? (() => undefined);
    const isRelay = leftMs !== undefined;
    this.#registry = new LeaseRegistry({ nowMs: clock.monoMs(), epoch: store.epoch(), isRelay });
  }

  get leases(): number {
    return this.#connections.size;
  }

  get leasesBehind(): number {
    return this.#registry.leasesBehind;
  }

  get epoch(): number {
    return this.#registry.epoch;
  }

  progress(): readonly Progress[] {
    return this.#registry.progress();
  }

  accept(socket: Duplex, verifier: FeedVerifier): void {
    if (this.#isClosing) {
      socket.destroy();
      return;
    }
    if (verifier.isFollower === true) this.#endOldest(verifier);
    const lease = this.#registry.open();
    const link = new FeedConnection({
      socket,
      clock: this.#clock,
      onBeat: (beat) => this.#onBeat(lease, beat),
      onEnd: (reason) => this.#onEnd(lease, reason),
    });
    this.#connections.set(lease, { link, verifier, owes: 0 });
    this.#onEvent({ kind: "opened", spiffeId: verifier.spiffeId });
    const { epoch } = this.#registry;
    link.send(encodeServerFrame({ kind: "hello", epoch, leaseMs: LEASE_MS, seq: this.#seq }));
  }

  publish(targets: readonly RevocationTarget[], epoch: number): Promise<Published> {
    return this.#spread(epoch, () => this.#readStep(targets, epoch));
  }

  pass(targets: readonly RevocationTarget[], epoch: number): Promise<Published> {
    return this.#spread(epoch, () => ({ targets, epoch }));
  }

  async #spread(epoch: number, readStep: () => Step): Promise<Published> {
    const startedMs = this.#clock.monoMs();
    if (epoch > this.#registry.epoch) this.#latest = this.#push(readStep());
    // Another publish may have carried this epoch already; its completion is ours.
    this.#latest ??= this.#complete(this.#registry.started);
    return { ...(await this.#latest), elapsedMs: this.#clock.monoMs() - startedMs };
  }

  endStopped(): void {
    for (const { link, verifier } of [...this.#connections.values()])
      if (verifier.isLive?.() === false) link.end("revoked");
  }

  async close(): Promise<void> {
    this.#isClosing = true;
    await Promise.all([...this.#publications].map(({ done }) => done.promise));
    for (const { link } of this.#connections.values()) link.end("shutdown");
  }

  /** Raises the epoch and sends its push in one step; a verifier that is itself revoked is cut instead. */
  #push(step: Step): Promise<Counts> {
    const barrier = this.#registry.advance(step.epoch, this.#clock.monoMs());
    this.#seq += 1;
    const line = encodeServerFrame({ kind: "push", seq: this.#seq, ...step });
    for (const { link, verifier } of [...this.#connections.values()]) {
      if (step.targets.some((target) => isAimedAt(target, verifier))) link.end("revoked");
      else link.send(line);
    }
    this.#tell(step);
    return this.#complete(barrier);
  }

  /** A failure in here must not hold up a stop that verifiers have been told of already. */
  #tell({ targets, epoch }: Step): void {
    try {
      this.#onPush(targets);
    } catch {
      this.#onEvent({ kind: "push_unheard", epoch });
    }
  }

  /**
   * Everything since the last push: commits may be published out of order, and an epoch must never be announced
   * without what the ones below it did.
   */
  #readStep(given: readonly RevocationTarget[], epoch: number): Step {
    const from = this.#registry.epoch;
    try {
      const since = this.#store.targetsSince(from);
      const known = new Set([epoch, ...since.map((target) => target.epoch)]);
      const last = Math.max(...known);
      const isComplete = known.size === last - from;
      if (!isComplete) this.#onEvent({ kind: "targets_unknown", epoch: last });
      return { epoch: last, targets: [...given, ...since, ...(isComplete ? [] : [EVERYTHING])] };
    } catch {
      // Stopping must work when the store does not: void every older decision rather than none.
      this.#onEvent({ kind: "targets_unknown", epoch });
      return { epoch, targets: [...given, EVERYTHING] };
    }
  }

  #onBeat(lease: LeaseId, { nonce, ack, behind }: Beat): void {
    const connection = this.#connections.get(lease);
    if (connection === undefined) return;
    const { link, verifier } = connection;
    if (verifier.isLive?.() === false) {
      link.end("revoked");
      return;
    }
    if (behind !== undefined && verifier.isRelay !== true)
      throw new TrustWardenError("request_malformed", { frame: "lease", reason: "behind" });
    this.#registry.ack(lease, ack, behind);
    // A reader that stands still would make every revocation wait for its lease: it gets none until it has read on.
    if (ack >= connection.owes)
      this.#answer(lease, { nonce, link, isFollower: verifier.isFollower === true });
    for (const publication of this.#publications) this.#check(publication);
  }

  /** A relay without a lease of its own is silent: whoever waits for it finds another one. */
  #answer(
    lease: LeaseId,
    beat: { readonly nonce: string; readonly link: FeedConnection; readonly isFollower: boolean },
  ): void {
    const { nonce, link, isFollower } = beat;
    const nowMs = this.#clock.monoMs();
    const leaseMs = this.#leftMs?.();
    if (leaseMs !== undefined && leaseMs < 1) return;
    // Without a noted echo there is no lease that a revocation could wait for.
    const epoch = isFollower ? this.#registry.epoch : this.#registry.echo(lease, nowMs, leaseMs);
    link.send(encodeServerFrame({ kind: "echo", nonce, epoch, seq: this.#seq, leaseMs }));
  }

  /** An agent that opens one connection after another costs no more than its own. */
  #endOldest({ instanceId }: FeedVerifier): void {
    const own = [...this.#connections.values()].filter(({ verifier }) => verifier.instanceId === instanceId);
    for (const { link } of own.slice(0, 1 - MAX_CONNECTIONS_PER_FOLLOWER)) link.end("replaced");
  }

  #onEnd(lease: LeaseId, reason: EndReason): void {
    const connection = this.#connections.get(lease);
    if (connection === undefined) return;
    this.#connections.delete(lease);
    this.#registry.close(lease, this.#clock.monoMs());
    this.#onEvent({ kind: "ended", spiffeId: connection.verifier.spiffeId, reason });
  }

  #complete(barrier: Barrier): Promise<Counts> {
    const publication: Publication = { barrier, done: Promise.withResolvers(), timer: undefined };
    this.#publications.add(publication);
    this.#check(publication);
    return publication.done.promise;
  }

  #check(publication: Publication): void {
    const nowMs = this.#clock.monoMs();
    const completion = this.#registry.completion(publication.barrier, nowMs);
    if (completion.state === "pending") {
      publication.timer ??= setTimeout(
        () => {
          publication.timer = undefined;
          this.#check(publication);
        },
        Math.ceil(completion.checkAtMs - nowMs),
      );
      return;
    }
    clearTimeout(publication.timer);
    this.#publications.delete(publication);
    for (const lease of completion.expired) {
      const connection = this.#connections.get(lease);
      if (connection !== undefined) connection.owes = publication.barrier.epoch;
    }
    const { acked, expired, behind } = completion;
    publication.done.resolve({ acked, expired: expired.length, behind });
  }
}

function isAimedAt({ kind, id }: RevocationTarget, { instanceId, spiffeId }: FeedVerifier): boolean {
  return kind === "instance" && (id === instanceId || id === spiffeId);
}
