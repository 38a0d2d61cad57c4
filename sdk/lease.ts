/**
 * A verifier's lease: one connection to the server that carries every revocation here, and proves that it does.
 *
 * Sends a nonce every 200 ms and reconnects for ever, with jitter. Decides nothing: what the frames mean is the
 * business of `RevocationView`, and while nothing arrives, the lease runs out there by itself. So a suspended process,
 * a blocked event loop or a cut network all end the same way: refused, until the server has been heard again. A connection
 * that is silent is kept while another one is sought: a server that is only late is not made later by those who leave it.
 *
 * @see docs/path.md, "The lease"
 */
import type { Duplex } from "node:stream";
import { encodeBase64url } from "@trustwarden/core/bytes.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import {
  type Beat,
  encodeBeat,
  LEASE_MS,
  MAX_SERVER_LINE_BYTES,
  parseServerFrame,
  type RevocationTarget,
  type ServerFrame,
} from "@trustwarden/core/revocation/frames.ts";
import { LineSplitter } from "@trustwarden/core/revocation/line-splitter.ts";
import type { Instant } from "@trustwarden/core/revocation/ports.ts";
import { type PendingAct, RevocationView } from "@trustwarden/core/revocation/view.ts";
import { LeasePatience } from "./lease-patience.ts";
import { LeasePlaces } from "./lease-places.ts";
import { type LeaseTry, tryLease } from "./lease-try.ts";
import { jitter, type Runtime } from "./runtime.ts";
import type { PeerCheck } from "./tls.ts";

/** Where the stop listener takes leases. */
export const LEASE_PATH = "/v1/lease";
const NONCE_BYTES = 16;
/** An acknowledgement goes out at once after a push, but a burst of pushes shares one. */
const MIN_BEAT_GAP_MS = 10;
const READY_TIMEOUT_MS = 10_000;

/** What a lease needs. */
export interface LeaseOptions {
  /** Origin of the server's stop listener. */
  readonly stopUrl: string;
  /** Our verifier SVID, and how the server proves itself. */
  readonly peer: PeerCheck;
  readonly runtime: Runtime;
  /** How long `ready` waits; ten seconds unless given. */
  readonly readyTimeoutMs?: number;
  /** Headers of each upgrade request: an agent's intent. Verifiers and nodes need none. */
  readonly headers?: () => Readonly<Record<string, string>>;
  /** For whoever keeps copies of what the feed tells of. */
  readonly follower?: LeaseFollower;
  /** Origins of relays, tried one after the other instead of the server. */
  readonly relays?: readonly string[];
  /** Of a relay: what its beats say. Whoever gives nothing on acknowledges what its own view has applied. */
  readonly acknowledge?: () => Pick<Beat, "ack" | "behind">;
  /** Between two beats; 200 ms unless given. */
  readonly beatMs?: number;
}

/** Hears the feed; must not throw. */
export interface LeaseFollower {
  /** What an epoch did, as soon as it is applied. */
  readonly onTargets: (targets: readonly RevocationTarget[], epoch: number) => void;
  /** A new connection, whose view starts at this epoch: what happened since the last one was not told. */
  readonly onConnected: (epoch: number) => void;
  /** The server will not have us on this connection: revoked, expired, or asked for wrongly. It is tried again. */
  readonly onRefused?: (status: number) => void;
}

/** A lease that keeps itself. */
export interface Lease {
  /** The epoch that the view has applied. */
  readonly epoch: number;
  /** @throws TrustWardenError `lease_expired` unless the view is live at this very moment. */
  requireFresh(): void;
  /**
   * @throws TrustWardenError `identity_revoked` or `decision_stale` when something touched the decision since it was
   *   made. Says nothing without `requireFresh` beside it.
   */
  requireUntouched(act: PendingAct): void;
  /** What is left of the lease, for a relay; 0 without one. */
  leftMs(): number;
  /** Sends a beat now, since there is more to acknowledge. */
  beatNow(): void;
  /**
   * Resolves when there is a lease.
   *
   * @throws TrustWardenError `server_unreachable` after `readyTimeoutMs`, or what the server's peer check said of it;
   *   `identity_closed` after `close`.
   */
  ready(): Promise<void>;
  /** Ends the connection and the lease. */
  close(): void;
}

/** Opens a lease and keeps it until `close`. Does not keep the process alive. */
export function createLease(options: LeaseOptions): Lease {
  return new KeptLease(options);
}

/** Owns the connection, its timers and the view. At most one connection is followed, and one try or retry under way beside it. */
class KeptLease implements Lease {
  readonly #places: LeasePlaces;
  readonly #runtime: Runtime;
  readonly #patience: LeasePatience;
  readonly #acknowledge: () => Pick<Beat, "ack" | "behind">;
  readonly #view = new RevocationView();
  readonly #readyTimeoutMs: number;
  readonly #waiting = new Set<PromiseWithResolvers<void>>();
  readonly #follower: LeaseFollower | undefined;
  readonly #headers: () => Readonly<Record<string, string>>;
  #socket: Duplex | undefined;
  #beatTimer: NodeJS.Timeout | undefined;
  #retryTimer: NodeJS.Timeout | undefined;
  #try: LeaseTry | undefined;
  /** Why the last try failed. */
  #lastFailure: unknown;
  #lastBeatMs = Number.NEGATIVE_INFINITY;
  /** The latest epoch that a decision of the server named, and when it was first heard of here. */
  #named = { epoch: 0, sinceMs: 0 };
  #isClosed = false;

  constructor(options: LeaseOptions) {
    const { stopUrl, peer, runtime, readyTimeoutMs, follower, headers, relays = [] } = options;
    this.#patience = new LeasePatience({ jitter: () => jitter(runtime), beatMs: options.beatMs });
    this.#acknowledge = options.acknowledge ?? (() => ({ ack: this.#view.epoch }));
    this.#headers = headers ?? (() => ({}));
    this.#follower = follower;
    this.#readyTimeoutMs = readyTimeoutMs ?? READY_TIMEOUT_MS;
    this.#runtime = runtime;
    this.#places = new LeasePlaces({ stopUrl, relays, path: LEASE_PATH, peer, runtime });
    this.#ask();
  }

  get epoch(): number {
    return this.#view.epoch;
  }

  requireFresh(): void {
    if (this.#isClosed) throw new TrustWardenError("lease_expired", { reason: "closed" });
    this.#view.requireFresh(this.#now());
    this.#requireAbreast();
  }

  requireUntouched(act: PendingAct): void {
    if (act.epoch > this.#named.epoch && act.epoch > this.#view.epoch)
      this.#named = { epoch: act.epoch, sinceMs: this.#runtime.monotonicMs() };
    this.#view.requireUntouched(act);
  }

  leftMs(): number {
    return this.#isClosed ? 0 : this.#view.leftMs(this.#now());
  }

  beatNow(): void {
    if (this.#socket !== undefined) this.#beatSoon();
  }

  async ready(): Promise<void> {
    if (this.#isClosed) throw new TrustWardenError("identity_closed");
    if (this.#isFresh()) return;
    const waiting = Promise.withResolvers<void>();
    this.#waiting.add(waiting);
    const timer = setTimeout(() => waiting.reject(this.#whyNotReady()), this.#readyTimeoutMs);
    try {
      await waiting.promise;
    } finally {
      clearTimeout(timer);
      this.#waiting.delete(waiting);
    }
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    clearTimeout(this.#retryTimer);
    clearTimeout(this.#beatTimer);
    this.#try?.giveUp();
    this.#socket?.destroy();
    for (const { reject } of this.#waiting) reject(new TrustWardenError("identity_closed"));
  }

  /**
   * A relay that answers beats and keeps pushes to itself is found out by the server's decisions: they come another
   * way, and name a later epoch than the feed does. An honest feed is behind for less than a lease.
   */
  #requireAbreast(): void {
    if (!this.#places.areRelays) return;
    const { epoch, sinceMs } = this.#named;
    if (epoch <= this.#view.epoch || this.#runtime.monotonicMs() - sinceMs < LEASE_MS) return;
    this.#drop(unreachable("the feed is behind the server's decisions"));
    throw new TrustWardenError("lease_expired", { reason: "the feed is behind the server's decisions" });
  }

  /** Asks the next place; whom we follow we go on following meanwhile. */
  #ask(): void {
    const places = this.#places;
    try {
      this.#try = tryLease(
        {
          url: places.url,
          headers: this.#headers(),
          timeoutMs: this.#patience.upgradeMs,
          connect: (done) => places.connect(done),
        },
        {
          onUpgraded: (socket, head) => this.#follow(socket, head),
          onFailed: (failure, answer) => {
            if (answer?.status === 401 || answer?.status === 403) this.#follower?.onRefused?.(answer.status);
            this.#retry(failure, answer?.afterMs);
          },
        },
      );
    } catch (error) {
      // An identity that ran out while the server was away; thrown in a timer, this would end the process.
      this.#retry(error);
    }
  }

  #follow(socket: Duplex, head: Uint8Array): void {
    this.#try = undefined;
    const before = this.#socket;
    this.#socket = socket;
    before?.destroy();
    this.#places.settle();
    const lines = new LineSplitter(MAX_SERVER_LINE_BYTES);
    this.#view.onConnect();
    this.#patience.begin(this.#runtime.monotonicMs());
    let failure: unknown;
    socket.on("data", (chunk: Uint8Array) => {
      if (socket === this.#socket) this.#onData(lines, chunk);
    });
    socket.on("error", (error) => {
      failure = error;
    });
    socket.on("end", () => socket.destroy());
    socket.on("close", () => {
      if (socket === this.#socket) this.#onLost(failure);
    });
    if ("unref" in socket && typeof socket.unref === "function") socket.unref();
    if (head.length > 0) this.#onData(lines, head);
    this.#scheduleBeat(this.#patience.nextBeatMs(this.#runtime.monotonicMs()));
  }

  #onLost(failure: unknown): void {
    this.#socket = undefined;
    clearTimeout(this.#beatTimer);
    // Whoever is being asked already is not asked twice.
    if (this.#try === undefined) this.#retry(failure);
  }

  #onData(lines: LineSplitter, chunk: Uint8Array): void {
    const before = this.#view.epoch;
    const wasFollowing = this.#view.isFollowing;
    const heard: ServerFrame[] = [];
    try {
      for (const line of lines.push(chunk)) {
        const frame = parseServerFrame(line);
        this.#view.onFrame(frame);
        heard.push(frame);
      }
    } catch (error) {
      this.#drop(error);
      return;
    }
    if (this.#view.isStale) {
      this.#drop(unreachable("the feed has a gap or went back"));
      return;
    }
    // Bytes that become no line are no answer: who drips them keeps nobody.
    if (heard.length === 0) return;
    const wasLate = this.#patience.hear(this.#runtime.monotonicMs());
    this.#stay();
    if (this.#view.isFollowing && (wasLate || !wasFollowing || this.#view.epoch !== before)) this.#beatSoon();
    this.#settleReady();
    this.#tell(heard);
    if (heard.some((frame) => frame.kind === "push" && this.#places.refuseStopped(frame.targets)))
      this.#drop(unreachable("the relay was stopped"));
  }

  /** Whom we follow is heard again: what was asked of another place meanwhile is not wanted any more. */
  #stay(): void {
    if (this.#try === undefined) return;
    this.#try.giveUp();
    this.#try = undefined;
    this.#places.goBack();
    this.#patience.fail(this.#runtime.monotonicMs());
  }

  /** After the acknowledgement is on its way: a follower's work must not make a revocation wait. */
  #tell(frames: readonly ServerFrame[]): void {
    for (const frame of frames) {
      if (frame.kind === "push") this.#follower?.onTargets(frame.targets, frame.epoch);
      if (frame.kind === "hello") this.#follower?.onConnected(frame.epoch);
    }
  }

  /** The first beat of a connection, and each acknowledgement, does not wait for its turn. */
  #beatSoon(): void {
    const sinceMs = this.#runtime.monotonicMs() - this.#lastBeatMs;
    if (sinceMs >= MIN_BEAT_GAP_MS) this.#beat();
    else this.#scheduleBeat(MIN_BEAT_GAP_MS - sinceMs);
  }

  #beat(): void {
    const now = this.#now();
    const patience = this.#patience;
    this.#scheduleBeat(patience.nextBeatMs(now.monotonicMs));
    const isAsking = this.#try !== undefined;
    if (!isAsking && patience.isOver(now.monotonicMs)) {
      this.#places.moveOn();
      this.#ask();
    }
    // Before a hello there is nothing to beat for, and who never says one is silent like anybody else.
    patience.beat();
    if (!this.#view.isFollowing) return;
    const nonce = encodeBase64url(this.#runtime.random(NONCE_BYTES));
    this.#lastBeatMs = now.monotonicMs;
    // Noted before it is written: the lease counts from sending.
    this.#view.onSent(nonce, now);
    this.#socket?.write(encodeBeat({ nonce, ...this.#acknowledge() }));
  }

  #scheduleBeat(delayMs: number): void {
    clearTimeout(this.#beatTimer);
    this.#beatTimer = setTimeout(() => this.#beat(), delayMs);
    this.#beatTimer.unref();
  }

  #drop(failure: unknown): void {
    this.#socket?.destroy(failure instanceof Error ? failure : undefined);
  }

  /** A try failed, or whom we followed is gone. With somebody to follow the next beat asks again, when it is time. */
  #retry(failure: unknown, afterMs?: number): void {
    this.#try = undefined;
    if (this.#isClosed) return;
    this.#lastFailure = failure;
    const waitMs = this.#patience.fail(this.#runtime.monotonicMs(), afterMs);
    if (this.#socket !== undefined) {
      this.#places.goBack();
      return;
    }
    this.#places.moveOn();
    clearTimeout(this.#retryTimer);
    this.#retryTimer = setTimeout(() => this.#ask(), waitMs);
    this.#retryTimer.unref();
  }

  #settleReady(): void {
    if (!this.#isFresh()) return;
    for (const { resolve } of this.#waiting) resolve();
  }

  #isFresh(): boolean {
    try {
      this.requireFresh();
      return true;
    } catch {
      // Not a failure here: whoever asks waits for the next echo.
      return false;
    }
  }

  #whyNotReady(): TrustWardenError {
    const cause = this.#lastFailure;
    return cause instanceof TrustWardenError ? cause : unreachable("no lease yet", cause);
  }

  #now(): Instant {
    return { monotonicMs: this.#runtime.monotonicMs(), wallMs: this.#runtime.nowMs() };
  }
}

function unreachable(reason: string, cause?: unknown): TrustWardenError {
  return new TrustWardenError("server_unreachable", { reason }, { cause });
}
