/**
 * What one stream has still to hand over: read from the ledger on demand, in its order, and dropped when it was taken.
 *
 * Between calls: every event of an entry before `next` was taken or is not wanted. Kept in memory alone; after a restart what
 * was taken behind something that was not is offered once more, under the same `jti`.
 */
import type { StreamSource } from "@trustwarden/core/agentledger/event-stream.ts";
import { parseRecord } from "@trustwarden/core/agentledger/record.ts";
import { isOfType } from "../store/entry-type.ts";
import { type SecurityEvent, securityEventsOf } from "./security-event.ts";

/** Events that a receiver may leave untaken before more are read. */
const MAX_WAITING = 1_000;
/** Entries that are looked at in one go; the thread that decides does other things between two. */
const MAX_SCANNED = 4_096;

/** An event and the entry that says so. */
interface Waiting {
  readonly index: number;
  readonly event: SecurityEvent;
}

/** Owns the place of one stream. */
export class StreamWindow {
  readonly #issuer: string;
  #waiting: readonly Waiting[] = [];
  #scanned: number;

  constructor(issuer: string, next: number) {
    this.#issuer = issuer;
    this.#scanned = next;
  }

  /** Where a stream that is opened again has to begin. */
  get next(): number {
    return this.#waiting[0]?.index ?? this.#scanned;
  }

  /**
   * Reads on, a bounded piece; false when there is more to read than was read.
   *
   * @param ledger.size - entries that are published.
   * @throws TrustWardenError `ledger_corrupt`.
   */
  async fill(ledger: { readonly source: StreamSource; readonly size: number }): Promise<boolean> {
    const until = Math.min(ledger.size, this.#scanned + MAX_SCANNED);
    while (this.#scanned < until && this.#waiting.length < MAX_WAITING) {
      const entries = await ledger.source.readEntriesFrom(this.#scanned);
      const first = this.#scanned;
      const told = entries.slice(0, until - first);
      this.#waiting = [...this.#waiting, ...told.flatMap((entry, at) => this.#eventsAt(first + at, entry))];
      this.#scanned = first + told.length;
    }
    return this.#scanned >= ledger.size;
  }

  /** Drops what was taken, and what is not wanted. */
  keep(isLeft: (event: SecurityEvent) => boolean): void {
    this.#waiting = this.#waiting.filter(({ event }) => isLeft(event));
  }

  /** Begins anew at an entry. */
  moveTo(next: number): void {
    this.#waiting = [];
    this.#scanned = next;
  }

  /** In the order of the ledger. */
  get events(): readonly SecurityEvent[] {
    return this.#waiting.map(({ event }) => event);
  }

  #eventsAt(index: number, entry: Uint8Array): readonly Waiting[] {
    if (!isOfType(entry, "control")) return [];
    const { unverified } = parseRecord(entry);
    if (unverified.kind !== "control") return [];
    return securityEventsOf(unverified.value, this.#issuer).map((event) => ({ index, event }));
  }
}
