/**
 * A verifier's lease: one connection to the server that carries every revocation here, and proves that it does.
 *
 * Sends a nonce every 200 ms and reconnects for ever, with jitter. Decides nothing: what the frames mean is the
 * business of `RevocationView`, and while nothing arrives, the lease runs out there by itself. So a suspended process,
 * a blocked event loop or a cut network all end the same way: refused, until the server has been heard again.
 *
 * @see docs/path.md, "The lease"
 */
import { request } from "node:https";
import type { Duplex } from "node:stream";
import { encodeBase64url } from "@trustwarden/core/bytes.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import {
  BEAT_MS,
  type Beat,
  encodeBeat,
  LEASE_MS,
  LEASE_PROTOCOL,
  MAX_SERVER_LINE_BYTES,
  parseServerFrame,
  type RevocationTarget,
  type ServerFrame,
} from "@trustwarden/core/revocation/frames.ts";
import { LineSplitter } from "@trustwarden/core/revocation/line-splitter.ts";
import type { Instant } from "@trustwarden/core/revocation/ports.ts";
import { type PendingAct, RevocationView } from "@trustwarden/core/revocation/view.ts";
import { LeasePlaces } from "./lease-places.ts";
import { jitter, type Runtime } from "./runtime.ts";
import type { PeerCheck } from "./tls.ts";

/** Where the stop listener takes leases. */
export const LEASE_PATH = "/v1/lease";
const NONCE_BYTES = 16;
/** Nothing from the server for this long means that the connection is dead, whatever TCP thinks. */
const MAX_SILENCE_MS = 2 * LEASE_MS;
/** From connecting to the answer to the upgrade. */
const UPGRADE_TIMEOUT_MS = 5_000;
/** An acknowledgement goes out at once after a push, but a burst of pushes shares one. */
const MIN_BEAT_GAP_MS = 10;
/** The first retry comes soon, since the lease of before may still bridge it; 10,000 verifiers must not come at once. */
const FIRST_RETRY_MS = 100;
const MAX_RETRY_MS = 2_000;
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

/** Owns the connection, its timers and the view. At most one connection or one retry is under way. */
class KeptLease implements Lease {
  readonly #places: LeasePlaces;
  readonly #runtime: Runtime;
  readonly #beatMs: number;
  readonly #acknowledge: () => Pick<Beat, "ack" | "behind">;
  readonly #view = new RevocationView();
  readonly #readyTimeoutMs: number;
  readonly #waiting = new Set<PromiseWithResolvers<void>>();
  readonly #follower: LeaseFollower | undefined;
  readonly #headers: () => Readonly<Record<string, string>>;
  #socket: Duplex | undefined;
  #beatTimer: NodeJS.Timeout | undefined;
  #retryTimer: NodeJS.Timeout | undefined;
  #failures = 0;
  /** Why the last try failed. */
  #lastFailure: unknown;
  #lastBeatMs = Number.NEGATIVE_INFINITY;
  #lastFrameMs = 0;
  /** The latest epoch that a decision of the server named, and when it was first heard of here. */
  #named = { epoch: 0, sinceMs: 0 };
  #isClosed = false;

  constructor(options: LeaseOptions) {
    const { stopUrl, peer, runtime, readyTimeoutMs, follower, headers, relays = [] } = options;
    this.#beatMs = options.beatMs ?? BEAT_MS;
    this.#acknowledge = options.acknowledge ?? (() => ({ ack: this.#view.epoch }));
    this.#headers = headers ?? (() => ({}));
    this.#follower = follower;
    this.#readyTimeoutMs = readyTimeoutMs ?? READY_TIMEOUT_MS;
    this.#runtime = runtime;
    this.#places = new LeasePlaces({ stopUrl, relays, path: LEASE_PATH, peer, runtime });
    this.#connect();
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
    this.#socket?.destroy();
    this.#places.agent.destroy();
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

  #connect(): void {
    let headers: Readonly<Record<string, string>>;
    try {
      headers = this.#headers();
    } catch (error) {
      // An identity that ran out while the server was away; thrown in a timer, this would end the process.
      this.#retry(error);
      return;
    }
    this.#upgrade(headers);
  }

  #upgrade(headers: Readonly<Record<string, string>>): void {
    const upgrade = request(this.#places.url, {
      agent: this.#places.agent,
      timeout: UPGRADE_TIMEOUT_MS,
      headers: { ...headers, connection: "Upgrade", upgrade: LEASE_PROTOCOL },
    });
    let failure: unknown;
    let isUpgraded = false;
    upgrade.once("timeout", () => upgrade.destroy(unreachable("upgrade timeout")));
    upgrade.once("response", ({ statusCode = 0 }) => {
      upgrade.destroy(unreachable(`status ${statusCode}`));
      if (statusCode === 401 || statusCode === 403) this.#follower?.onRefused?.(statusCode);
    });
    upgrade.once("error", (error) => {
      failure = error;
    });
    upgrade.once("upgrade", (_answer, socket, head) => {
      isUpgraded = true;
      this.#follow(socket, head);
    });
    // Emitted in every case; after an upgrade only the end of the socket counts.
    upgrade.once("close", () => {
      if (!isUpgraded) this.#retry(failure);
    });
    upgrade.end();
  }

  #follow(socket: Duplex, head: Uint8Array): void {
    if (this.#isClosed) {
      socket.destroy();
      return;
    }
    this.#socket = socket;
    const lines = new LineSplitter(MAX_SERVER_LINE_BYTES);
    this.#view.onConnect();
    this.#lastFrameMs = this.#runtime.monotonicMs();
    let failure: unknown;
    socket.on("data", (chunk: Uint8Array) => this.#onData(lines, chunk));
    socket.on("error", (error) => {
      failure = error;
    });
    socket.on("end", () => socket.destroy());
    socket.on("close", () => {
      this.#socket = undefined;
      clearTimeout(this.#beatTimer);
      this.#retry(failure);
    });
    if ("unref" in socket && typeof socket.unref === "function") socket.unref();
    if (head.length > 0) this.#onData(lines, head);
    this.#scheduleBeat(this.#beatMs);
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
    this.#lastFrameMs = this.#runtime.monotonicMs();
    if (this.#view.isFollowing && (!wasFollowing || this.#view.epoch !== before)) this.#beatSoon();
    this.#settleReady();
    this.#tell(heard);
    if (heard.some((frame) => frame.kind === "push" && this.#places.refuseStopped(frame.targets)))
      this.#drop(unreachable("the relay was stopped"));
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
    this.#scheduleBeat(this.#beatMs);
    if (now.monotonicMs - this.#lastFrameMs > MAX_SILENCE_MS) {
      this.#drop(unreachable("no answer"));
      return;
    }
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

  #retry(failure: unknown): void {
    if (this.#isClosed) return;
    this.#lastFailure = failure;
    this.#places.moveOn();
    const ceilingMs = Math.min(FIRST_RETRY_MS * 2 ** this.#failures, MAX_RETRY_MS);
    this.#failures += 1;
    this.#retryTimer = setTimeout(() => this.#connect(), ceilingMs * jitter(this.#runtime));
    this.#retryTimer.unref();
  }

  #settleReady(): void {
    if (!this.#isFresh()) return;
    this.#failures = 0;
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
