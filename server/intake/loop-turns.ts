/**
 * Small turns of the thread that answers requests: owners in turns, one request each, and after a few milliseconds
 * everything else that the thread has to do comes first.
 *
 * A stop takes about eight rounds of the event loop (connection, handshake, request, commit, ledger, leases, answer), and a
 * lease needs one for each beat. What one round takes bounds both, so no round is given more ordinary work than this. Who
 * may wait here at all is decided before (`request-places.ts`); what stops something does not wait.
 */
import { Turns } from "./turns.ts";

/** About a dozen decisions, and a tenth of what a lease can wait for its echo. */
const SLICE_MS = 10;

interface Waiting {
  readonly sinceMs: number;
  readonly go: () => void;
}

/** Owns what waits. Between calls: when something waits, a round is due. */
export class LoopTurns {
  readonly #monoMs: () => number;
  readonly #onWaited: (waitedMs: number) => void;
  readonly #waiting = new Turns<Waiting>(1);
  #isDue = false;
  #endsAtMs = 0;

  /** @param options.onWaited - told how long each waited, when its turn has come. */
  constructor(options: {
    readonly monoMs: () => number;
    readonly onWaited?: (waitedMs: number) => void;
  }) {
    this.#monoMs = options.monoMs;
    this.#onWaited = options.onWaited ?? (() => undefined);
  }

  /** Resolves when it is this flow's turn. What follows without waiting for anything else is the turn. */
  wait(flow: string): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#waiting.push(flow, [{ sinceMs: this.#monoMs(), go: resolve }]);
    if (!this.#isDue) this.#beginRound();
    return promise;
  }

  /** Behind everything that sockets have brought by now. */
  #beginRound(): void {
    this.#isDue = true;
    setImmediate(() => {
      this.#endsAtMs = this.#monoMs() + SLICE_MS;
      this.#takeTurn();
    });
  }

  #takeTurn(): void {
    const first = this.#waiting.take(1)[0]?.items[0];
    if (first === undefined) {
      this.#isDue = false;
      return;
    }
    this.#onWaited(this.#monoMs() - first.sinceMs);
    first.go();
    // Microtasks run until there are none, so that this comes behind all of the turn's work.
    queueMicrotask(() => process.nextTick(() => this.#goOn()));
  }

  #goOn(): void {
    if (this.#monoMs() < this.#endsAtMs || this.#waiting.isEmpty) this.#takeTurn();
    else this.#beginRound();
  }
}
