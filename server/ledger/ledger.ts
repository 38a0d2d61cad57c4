/**
 * The ledger as the server uses it: signs the server's records, appends, and settles what commands owe.
 *
 * Whatever `append` returns is durable and has its place. When the log has failed nothing more is promised: every
 * later call throws `ledger_unavailable`, and the process stops; what commands committed waits in the outbox.
 */
import type { QueryIndex } from "@trustwarden/core/agentledger/query-index.ts";
import type { Appended as SequencedEntry } from "@trustwarden/core/agentledger/sequencer.ts";
import type { Shard, ShardedLog } from "@trustwarden/core/agentledger/sharded-log.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { JsonObject } from "@trustwarden/core/json.ts";
import type { LoggedIntent, PresentedIntent } from "@trustwarden/core/presented-intent.ts";
import type { FlooredClock } from "../clock.ts";
import type { Committed, ControlDraft, StoreCommands } from "../store/ports.ts";
import { RecentDecisions } from "./recent-decisions.ts";
import type { DecisionFacts, EventContext, OutcomeFacts, ServerRecords } from "./server-records.ts";

/** The log with its shards, as far as the server needs it. */
export type LogWriter = Pick<
  ShardedLog,
  | "vkey"
  | "size"
  | "publishedSize"
  | "shards"
  | "current"
  | "shardAt"
  | "waitForCheckpoint"
  | "requireAcceptable"
  | "readEntry"
  | "readEntriesFrom"
  | "onTurned"
> & {
  /**
   * As `ShardedLog.append`.
   *
   * @param id - under which another server may append the same; whoever has its ledger alone needs none.
   */
  append(entries: readonly Uint8Array[], id?: string): Promise<readonly SequencedEntry[]>;
  /** Knows, when it returns, of everything that was durable when it was called; there where other servers sequence as well. */
  refresh?(): Promise<void>;
};

/** The same, with the turn to its next shard. */
export type ServerLog = LogWriter & Pick<ShardedLog, "turn">;

/** A checkpoint with cosignatures. */
export interface WitnessedHead {
  readonly note: string;
  readonly size: number;
}

/** What of the ledger witnesses have cosigned; see `server/witnessing/`. */
interface Witnessed {
  readonly policyText: string;
  latestOf(origin: string): WitnessedHead | null;
}

/** An entry in its place. */
export interface Appended {
  readonly eventId: string;
  readonly index: number;
  /** Signed when it is first read: most events are only ever counted. */
  readonly acknowledgement: string;
}

export interface LedgerOptions {
  readonly origin: string;
  readonly log: LogWriter;
  readonly records: ServerRecords;
  readonly index: Pick<QueryIndex, "observe">;
  readonly clock: FlooredClock;
  /** Null where no witness is asked. */
  readonly witnessing: Witnessed | null;
  readonly markSequenced: StoreCommands["markSequenced"];
  /** Under which id a command's entries are appended, where several servers may bring them in; none unless given. */
  readonly nameOwed?: (owed: {
    readonly outboxId: number;
    readonly entries: readonly Uint8Array[];
  }) => string;
  /** Told of a command's row in the step in which its entries are appended, before them. */
  readonly onOwed?: (outboxId: number) => void;
  /** The decisions of all servers, where several share the ledger. */
  readonly decided?: Pick<RecentDecisions, "total" | "since">;
  /** Awaited before rows are marked, so that many are marked by one transaction; no pause unless given. */
  readonly pace?: () => Promise<void>;
  /** Told when outbox rows could not be marked; they are in the ledger and will be found there at the next start. */
  readonly onUnmarked: (error: unknown) => void;
}

/** Owns the batch of outbox rows that are sequenced but not yet marked; losing it only means marking them again. */
export class Ledger {
  readonly origin: string;
  readonly log: LogWriter;
  /** The latest decisions, for whoever watches: of all servers that share the ledger. */
  readonly decided: Pick<RecentDecisions, "total" | "since">;
  readonly #ownDecided = new RecentDecisions();
  readonly #options: LedgerOptions;
  #isFailed = false;
  #sequenced: number[] = [];
  #marking: Promise<void> | null = null;
  #isDraining = false;
  /** Ends the pause before the next marks. */
  #endPause: (() => void) | null = null;

  constructor(options: LedgerOptions) {
    this.origin = options.origin;
    this.log = options.log;
    this.decided = options.decided ?? this.#ownDecided;
    this.#options = options;
    options.log.onTurned(({ marks }) => {
      for (const { position, entry } of marks) options.index.observe(position, entry);
    });
  }

  /** The policy by which checkpoints are called witnessed, with keys and URLs; null where no witness is asked. */
  get witnessPolicy(): string | null {
    return this.#options.witnessing?.policyText ?? null;
  }

  /**
   * The newest checkpoint of a shard that satisfies the policy, with its cosignatures; null before the first.
   *
   * @param shard - the current one unless given.
   */
  async readWitnessed(shard: Pick<Shard, "origin"> = this.log.current): Promise<WitnessedHead | null> {
    return this.#options.witnessing?.latestOf(shard.origin) ?? null;
  }

  /** Entries from the first one on that witnesses have cosigned, as far as their own shard goes; null before any. */
  get witnessedSize(): number | null {
    const sizes = this.log.shards.flatMap(({ first, origin }) => {
      const latest = this.#options.witnessing?.latestOf(origin) ?? null;
      return latest === null ? [] : [first + latest.size];
    });
    return sizes.at(-1) ?? null;
  }

  /** Refuses to begin what could not be recorded. @throws TrustWardenError `ledger_unavailable`. */
  requireAvailable(): void {
    if (this.#isFailed) throw new TrustWardenError("ledger_unavailable");
  }

  /**
   * Refuses entries that the log would not even begin to write: for what acts while its record is written, since an
   * agent decides how large its intent is.
   *
   * @throws TrustWardenError `ledger_unavailable`, `entry_too_large`.
   */
  requireAcceptable(entries: readonly Uint8Array[]): void {
    this.requireAvailable();
    this.#options.log.requireAcceptable(entries);
  }

  /** Notes that the log is done for; called by whoever learns of it first. */
  fail(): void {
    this.#isFailed = true;
  }

  /**
   * Appends entries as neighbours.
   *
   * @param id - of these entries, where several servers may come with others in their place; one server needs none.
   * @throws TrustWardenError `ledger_unavailable` or `entry_too_large`; `event_conflict` when another server's came first.
   */
  async append(entries: readonly Uint8Array[], id?: string): Promise<readonly SequencedEntry[]> {
    this.requireAvailable();
    // The instant under these signatures is history from now on; a clock behind it is wrong.
    this.#options.clock.raise(this.#options.clock.nowMs());
    const appended = await this.#options.log.append(entries, id);
    entries.forEach((entry, offset) => {
      const place = appended[offset];
      if (place !== undefined) this.#options.index.observe(place.index, entry);
    });
    return appended;
  }

  /** Signs and appends a control event, with the agent's intent before it. @throws TrustWardenError `ledger_unavailable`. */
  async recordControl(draft: ControlDraft, context: EventContext): Promise<Appended> {
    const { eventId, entries } = this.#options.records.issueControl(draft, context);
    return appendedOf(eventId, await this.append(entries));
  }

  /**
   * Signs and appends several control events as neighbours, durable together; their event ids, in order.
   *
   * @throws TrustWardenError `ledger_unavailable`: then none of them is recorded.
   */
  async recordControls(
    events: readonly { readonly draft: ControlDraft; readonly epoch: number }[],
    context: Omit<EventContext, "epoch">,
  ): Promise<readonly string[]> {
    const signed = events.map(({ draft, epoch }) =>
      this.#options.records.issueControl(draft, { ...context, epoch }),
    );
    await this.append(signed.flatMap(({ entries }) => entries));
    return signed.map(({ eventId }) => eventId);
  }

  /** Signs a decision record; the caller appends it behind its intent. */
  issueDecision(facts: DecisionFacts): string {
    const record = this.#options.records.issueDecision(facts);
    this.#ownDecided.note(facts);
    return record;
  }

  /** Signs what an agent presented instead of an intent; the caller appends it before its decision. */
  issuePresented(intent: PresentedIntent): LoggedIntent {
    return this.#options.records.issuePresented(intent);
  }

  /** Signs the outcome of a call at the gateway; the caller appends it. */
  issueOutcome(facts: OutcomeFacts): string {
    return this.#options.records.issueOutcome(facts);
  }

  /** Signs the manifest of an evidence bundle. */
  issueManifest(manifest: JsonObject): string {
    return this.#options.records.issueManifest(manifest);
  }

  /** Sequences what a command committed. @throws TrustWardenError `ledger_unavailable`: it stays in the outbox then. */
  async settle(committed: Pick<Committed<unknown>, "entries" | "outboxId" | "eventId">): Promise<Appended> {
    this.#options.onOwed?.(committed.outboxId);
    const appended = await this.append(committed.entries, this.#options.nameOwed?.(committed));
    this.#sequenced.push(committed.outboxId);
    this.#marking ??= this.#markLoop();
    return appendedOf(committed.eventId, appended);
  }

  /** Returns when every settled outbox row is marked; marks wait for nothing from here on. */
  async drain(): Promise<void> {
    this.#isDraining = true;
    this.#endPause?.();
    await this.#marking;
  }

  async #markLoop(): Promise<void> {
    try {
      while (this.#sequenced.length > 0) {
        await this.#pause();
        const ids = this.#sequenced;
        this.#sequenced = [];
        await this.#mark(ids);
      }
    } catch (error) {
      // Safe to go on: marking is housekeeping, done with the next row or by draining the outbox at the next start.
      this.#options.onUnmarked(error);
    } finally {
      this.#marking = null;
    }
  }

  async #pause(): Promise<void> {
    const { pace } = this.#options;
    if (pace === undefined || this.#isDraining) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#endPause = resolve;
    await Promise.race([pace(), promise]);
    this.#endPause = null;
  }

  /** What could not be marked waits for the next time. */
  async #mark(ids: readonly number[]): Promise<void> {
    try {
      await this.#options.markSequenced(ids);
    } catch (error) {
      this.#sequenced = [...ids, ...this.#sequenced];
      throw error;
    }
  }
}

function appendedOf(eventId: string, appended: readonly SequencedEntry[]): Appended {
  const last = appended.at(-1);
  if (last === undefined) throw new Error("an event has at least one entry");
  return {
    eventId,
    index: last.index,
    get acknowledgement() {
      return last.acknowledgement;
    },
  };
}
