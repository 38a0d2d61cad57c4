/**
 * One sink: reads the ledger from where it last ended, and hands piece after piece over, in order, each until it is taken.
 *
 * At least once: the cursor is written, durably, after a piece was taken; a crash between repeats the piece. Whatever an
 * endpoint does, only its own sink waits, and one piece is all that it keeps: the ledger itself is the queue.
 *
 * With its place a sink keeps which entry it took last. A ledger that does not hold it there is another than the one that
 * the endpoint was told of, such as a restored backup: the sink then says so and sends nothing, since going on would leave
 * out what the ledger holds instead, without a word.
 */
import { setTimeout } from "node:timers/promises";
import type { EventPiece, StreamedEvent } from "@trustwarden/core/agentledger/event-stream.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";

/** Entries a piece: some milliseconds of work between two turns of the event loop. */
const PIECE = 64;
/** How soon a new event is noticed. */
const IDLE_MS = 200;
const FIRST_RETRY_MS = 500;
const LAST_RETRY_MS = 60_000;

/** A piece on its way, with a name that stays the same for a repetition. */
export interface Delivery {
  readonly id: string;
  readonly events: readonly StreamedEvent[];
}

/** Where a sink goes on. */
export interface SinkPlace {
  readonly next: number;
  /** Digest of the entry before; null for a place that nobody vouches for, such as the beginning. */
  readonly last: string | null;
}

export interface SinkOptions {
  readonly name: string;
  /** Entries that can be read. */
  readonly size: () => number;
  readonly read: (range: {
    readonly from: number;
    readonly size: number;
    readonly limit: number;
  }) => Promise<EventPiece>;
  readonly cursor: {
    /** Where to go on; undefined before the first time. */
    readonly read: () => Promise<SinkPlace | undefined>;
    /** Durable on return. */
    readonly write: (place: SinkPlace) => Promise<void>;
  };
  /** Digest of the entry at an index that can be read. */
  readonly entryDigest: (index: number) => Promise<string>;
  /** Where to begin without a cursor. */
  readonly begin: () => number;
  /** Returns when the endpoint has taken the piece. @throws whatever went wrong; it is tried again. */
  readonly deliver: (delivery: Delivery, signal: AbortSignal) => Promise<void>;
  readonly onFailure: (facts: {
    readonly sink: string;
    readonly code: string;
    readonly reason: string;
    readonly attempt: number;
  }) => void;
  /** Tests shorten the first wait. */
  readonly retryMs?: number;
}

/** Owns its place in the ledger. */
export class Sink {
  readonly #options: SinkOptions;
  readonly #closing = new AbortController();
  readonly #running: Promise<void>;
  /** Once found to be ahead it stays so: a ledger that grows past the place is no more the one of before. */
  #isAhead = false;

  constructor(options: SinkOptions) {
    this.#options = options;
    this.#running = this.#run();
  }

  /** Stops; what was not taken is delivered after the next start. */
  async close(): Promise<void> {
    this.#closing.abort();
    await this.#running;
  }

  async #run(): Promise<void> {
    let next = (await this.#persist(() => this.#begin())) ?? 0;
    while (!this.#closing.signal.aborted) {
      const before = next;
      const piece = await this.#persist(() => this.#read(before));
      // Read once: a repetition is the same piece under the same name, also when the ledger has grown meanwhile.
      if (piece !== undefined) next = (await this.#persist(() => this.#handOver(before, piece))) ?? before;
      if (next === before) await this.#wait(IDLE_MS);
    }
  }

  /** The place that was kept; the first one is kept too, or a sink that begins now would skip what came before it took anything. */
  async #begin(): Promise<number> {
    const { cursor, begin } = this.#options;
    const kept = await cursor.read();
    if (kept !== undefined) return this.#requireHeld(kept);
    const first = begin();
    await cursor.write({ next: first, last: null });
    return first;
  }

  /** @throws TrustWardenError `sink_ahead` when the ledger is not the one that was sent from. */
  async #requireHeld({ next, last }: SinkPlace): Promise<number> {
    const { size, entryDigest } = this.#options;
    const held = size();
    this.#isAhead ||= next > held || (last !== null && (await entryDigest(next - 1)) !== last);
    if (this.#isAhead) throw new TrustWardenError("sink_ahead", { reason: `place ${next}, ledger ${held}` });
    return next;
  }

  #read(from: number): Promise<EventPiece> {
    const { size, read } = this.#options;
    return read({ from, size: size(), limit: PIECE });
  }

  /** Hands over one piece, if there is something in it, and keeps that; gives where the next begins. */
  async #handOver(from: number, { events, next }: EventPiece): Promise<number> {
    const { name, deliver, cursor, entryDigest } = this.#options;
    if (events.length > 0) {
      const last = await entryDigest(next - 1);
      await deliver({ id: `${name}/${from}-${next}`, events }, this.#closing.signal);
      await cursor.write({ next, last });
    }
    return next;
  }

  /** Tries until it works or the sink is closed; undefined then. The pauses grow, so that a dead endpoint costs little. */
  async #persist<T>(step: () => Promise<T>): Promise<T | undefined> {
    let pauseMs = this.#options.retryMs ?? FIRST_RETRY_MS;
    for (let attempt = 1; !this.#closing.signal.aborted; attempt += 1) {
      try {
        return await step();
      } catch (error) {
        // Safe to go on: nothing was kept, so the same step comes again. A close is no failure.
        if (this.#closing.signal.aborted) return undefined;
        const { name: sink, onFailure } = this.#options;
        onFailure({ sink, code: codeOf(error), reason: reasonOf(error), attempt });
        await this.#wait(pauseMs);
        pauseMs = Math.min(pauseMs * 2, LAST_RETRY_MS);
      }
    }
    return undefined;
  }

  /** Ends early, without a failure, when the sink is closed. */
  async #wait(ms: number): Promise<void> {
    await setTimeout(ms, undefined, { signal: this.#closing.signal }).catch(() => undefined);
  }
}

function codeOf(error: unknown): string {
  return error instanceof TrustWardenError ? error.code : "sink_refused";
}

/** A code and nothing else: an error's text may hold an address with a token in it. */
function reasonOf(error: unknown): string {
  if (error instanceof TrustWardenError) return `${error.code} ${error.details.reason ?? ""}`.trim();
  if (error instanceof Error && "code" in error) return String(error.code);
  return error instanceof Error ? error.name : "unknown";
}
