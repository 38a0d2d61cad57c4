/**
 * One verifier's end of the feed: lines in, lines out, and the limits that keep one peer from costing the others.
 *
 * Knows nothing of leases: what a beat means is the business of `feed.ts`.
 *
 * @see docs/path.md, "The lease"
 */
import type { Duplex } from "node:stream";
import { type Beat, LEASE_MS, MAX_BEAT_BYTES, parseBeat } from "@trustwarden/core/revocation/frames.ts";
import { LineSplitter } from "@trustwarden/core/revocation/line-splitter.ts";

/** Frames that may wait for a slow reader; more, and it is dropped instead of filling our memory. */
const MAX_BUFFERED_BYTES = 262_144;
/** Five a second are normal, and one more for each burst of pushes; the SDK sends at most 100. */
const MAX_BEATS_PER_SECOND = 200;
/** A verifier that is only late is kept: nobody waits for it, and a new connection costs a hundred beats. After so long it is gone. */
const MAX_SILENCE_MS = 20 * LEASE_MS;

/** Why a connection ended. `replaced`: its instance follows the feed over newer ones. */
export type EndReason =
  | "closed"
  | "malformed"
  | "too_fast"
  | "too_slow"
  | "silent"
  | "replaced"
  | "revoked"
  | "shutdown";

/** Who is at the other end, authenticated by the guard. */
export interface FeedVerifier {
  readonly spiffeId: string;
  readonly instanceId: string;
  /** Asked at every beat, since a stream outlives the check at its start; false cuts it. */
  readonly isLive?: () => boolean;
  /** An agent: it is told and decides nothing by it, so no revocation waits for it, and few connections are enough. */
  readonly isFollower?: boolean;
  /** It gives its lease on, and speaks for those behind it; from anybody else such words are refused. */
  readonly isRelay?: boolean;
}

/** The clock of the server: milliseconds that only rise. */
export interface FeedClock {
  monoMs(): number;
}

interface ConnectionOptions {
  readonly socket: Duplex;
  readonly clock: FeedClock;
  /** May throw; then the connection ends as malformed. */
  readonly onBeat: (beat: Beat) => void;
  /** Called once. */
  readonly onEnd: (reason: EndReason) => void;
}

/** Owns one socket after its upgrade. After the end nothing is read or written. */
export class FeedConnection {
  readonly #socket: Duplex;
  readonly #clock: FeedClock;
  readonly #onBeat: (beat: Beat) => void;
  readonly #onEnd: (reason: EndReason) => void;
  readonly #lines = new LineSplitter(MAX_BEAT_BYTES);
  readonly #silence: NodeJS.Timeout;
  #windowStartMs = Number.NEGATIVE_INFINITY;
  #beatsInWindow = 0;
  #isEnded = false;

  constructor({ socket, clock, onBeat, onEnd }: ConnectionOptions) {
    this.#socket = socket;
    this.#clock = clock;
    this.#onBeat = onBeat;
    this.#onEnd = onEnd;
    this.#silence = setTimeout(() => this.end("silent"), MAX_SILENCE_MS);
    socket.on("data", (chunk: Uint8Array) => this.#onData(chunk));
    socket.on("end", () => this.end("closed"));
    socket.on("close", () => this.end("closed"));
    // The reason that counts is that the connection is gone.
    socket.on("error", () => this.end("closed"));
  }

  /** Sends a line that may be shared with other connections, or drops a reader that does not keep up. */
  send(line: Uint8Array): void {
    if (this.#isEnded) return;
    this.#socket.write(line);
    if (this.#socket.writableLength > MAX_BUFFERED_BYTES) this.end("too_slow");
  }

  /** Ends the connection at once; what is still buffered is lost. */
  end(reason: EndReason): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    clearTimeout(this.#silence);
    this.#socket.destroy();
    this.#onEnd(reason);
  }

  #onData(chunk: Uint8Array): void {
    if (this.#isEnded) return;
    try {
      for (const line of this.#lines.push(chunk)) this.#onLine(line);
    } catch {
      // Safe: the peer gets no lease from here on. What it sent is not worth more than the reason.
      this.end("malformed");
    }
  }

  #onLine(line: string): void {
    if (this.#isEnded) return;
    if (this.#isTooFast()) {
      this.end("too_fast");
      return;
    }
    this.#silence.refresh();
    this.#onBeat(parseBeat(line));
  }

  #isTooFast(): boolean {
    const nowMs = this.#clock.monoMs();
    if (nowMs - this.#windowStartMs >= 1000) {
      this.#windowStartMs = nowMs;
      this.#beatsInWindow = 0;
    }
    this.#beatsInWindow += 1;
    return this.#beatsInWindow > MAX_BEATS_PER_SECOND;
  }
}
