/**
 * Questions to the ledger: the index finds, the log answers and proves.
 *
 * The index is never trusted. What is shown of one event is read from the log and comes with a proof of each record,
 * so that whoever asks can check it without believing this server.
 */
import { verifyCheckpoint } from "@trustwarden/core/agentledger/checkpoint.ts";
import type { JoinedEvent } from "@trustwarden/core/agentledger/join.ts";
import type {
  EventFilter,
  EventPage,
  EventPageRequest,
  QueryIndex,
} from "@trustwarden/core/agentledger/query-index.ts";
import { isSaidByEntries } from "@trustwarden/core/agentledger/rejoin.ts";
import type { Shard } from "@trustwarden/core/agentledger/sharded-log.ts";
import { encodeBase64, encodeUtf8, parseUtf8 } from "@trustwarden/core/bytes.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { Ledger } from "./ledger.ts";

/** A record with the proof of its place. */
export interface ProvenRecord {
  /** Position in the ledger; the proof is about its place in the tree of its shard. */
  readonly index: number;
  readonly entry: string;
  /** base64 */
  readonly inclusionProof: readonly string[];
}

/** The signed head of one shard that proofs lead to: a witnessed one where it covers the records. */
export interface ShardHead {
  readonly origin: string;
  /** Position of the shard's entry 0. */
  readonly first: number;
  readonly checkpoint: string;
  /** Whether that head satisfies the server's witness policy; whoever relies on it checks by a policy of their own. */
  readonly isWitnessed: boolean;
}

/** Records, each under the head of its shard. */
export interface ProvenRecords {
  readonly records: readonly ProvenRecord[];
  /** Of the shards that hold a record, oldest first. */
  readonly heads: readonly [ShardHead, ...ShardHead[]];
}

/** One event with its records, each provable. */
export interface ProvenEvent extends ProvenRecords {
  readonly event: JoinedEvent;
}

/** Reads the ledger for whoever may. */
export class LedgerQueries {
  readonly #ledger: Pick<Ledger, "log" | "readWitnessed">;
  readonly #index: Pick<QueryIndex, "query">;

  constructor(options: {
    readonly ledger: Pick<Ledger, "log" | "readWitnessed">;
    readonly index: Pick<QueryIndex, "query">;
  }) {
    this.#ledger = options.ledger;
    this.#index = options.index;
  }

  /**
   * A page of events, as the index has them.
   *
   * @throws TrustWardenError `request_malformed` for a foreign cursor, `rate_limited` when too many search at once,
   *   `ledger_search_late`.
   */
  search(filter: EventFilter, page: EventPageRequest): Promise<EventPage> {
    return this.#index.query(filter, page);
  }

  /**
   * One event and its proofs. Of several with the same id the oldest: agents choose theirs, one may copy another's, and
   * ids are unguessable until they are used.
   *
   * @param options.within - owner or agent id: only events in its subtree are found.
   * @throws TrustWardenError `not_found`, `ledger_unavailable`, `ledger_corrupt`.
   */
  async show(options: {
    readonly eventId: string;
    readonly within?: string | undefined;
  }): Promise<ProvenEvent> {
    const { events } = await this.search(options, { limit: 1, order: "oldest" });
    const [event] = events;
    if (event === undefined) throw new TrustWardenError("not_found");
    return { event, ...(await this.prove([event])) };
  }

  /**
   * The records of events that the index named, read from the log, each with its proof.
   *
   * What the records say together must be what the index said: an altered index is found out here, and again by whoever
   * checks the answer. That nothing else matches is not proven.
   *
   * @throws TrustWardenError `ledger_index_mismatch`, `ledger_unavailable`, `ledger_corrupt`.
   */
  async prove(events: readonly JoinedEvent[]): Promise<ProvenRecords> {
    const indexes = [...new Set(events.flatMap((event) => event.indexes))].sort(
      (left, right) => left - right,
    );
    const covered = (indexes.at(-1) ?? -1) + 1;
    if (!indexes.every((index) => Number.isSafeInteger(index) && index >= 0 && index < this.#ledger.log.size))
      throw new TrustWardenError("ledger_index_mismatch", { size: this.#ledger.log.size });
    await this.#ledger.log.waitForCheckpoint(covered);
    const records: ProvenRecord[] = [];
    const heads = new Map<string, ShardHead>();
    for (const shard of this.#ledger.log.shards) {
      const own = indexes.filter((index) => this.#ledger.log.shardAt(index).first === shard.first);
      const last = own.at(-1);
      if (last === undefined) continue;
      const { size, ...head } = await this.#headOf(shard, last);
      heads.set(shard.origin, head);
      // One after the other: tiles that neighbours share are read once more from the cache, not all at once.
      for (const index of own) records.push(await prove(shard, index, size));
    }
    requireSaidByRecords(events, records);
    const [first, ...rest] = heads.values();
    if (first === undefined) throw new TrustWardenError("not_found");
    return { records, heads: [first, ...rest] };
  }

  /**
   * Proof that the tree of one size is the beginning of another, in one shard.
   *
   * @param options.to - the published size unless given.
   * @param options.shard - its name; the current shard unless given.
   * @throws TrustWardenError `not_found` for sizes beyond the published one, in the wrong order, or of no shard.
   */
  async proveConsistency(options: {
    readonly from: number;
    readonly to?: number | undefined;
    readonly shard?: string | undefined;
  }): Promise<{ readonly proof: readonly string[]; readonly checkpoint: string }> {
    const { shards, current } = this.#ledger.log;
    const shard = options.shard === undefined ? current : shards.find(({ name }) => name === options.shard);
    if (shard === undefined) throw new TrustWardenError("not_found");
    const note = shard.log.checkpoint();
    const { size } = verifyCheckpoint(note, shard.vkey);
    const proof = await shard.log.proveConsistency(options.from, options.to ?? size);
    return { proof: proof.map(encodeBase64), checkpoint: note };
  }

  /** The head of a shard that covers a position, and its size. */
  async #headOf(shard: Shard, last: number): Promise<ShardHead & { readonly size: number }> {
    const { origin, first, vkey } = shard;
    const witnessed = await this.#ledger.readWitnessed(shard);
    if (witnessed !== null && witnessed.size > last - first)
      return { origin, first, checkpoint: witnessed.note, isWitnessed: true, size: witnessed.size };
    const checkpoint = shard.log.checkpoint();
    return { origin, first, checkpoint, isWitnessed: false, size: verifyCheckpoint(checkpoint, vkey).size };
  }
}

async function prove({ first, log }: Shard, index: number, size: number): Promise<ProvenRecord> {
  const entry = parseUtf8(await log.readEntry(index - first));
  const proof = await log.proveInclusion(index - first, size);
  return { index, entry, inclusionProof: proof.map(encodeBase64) };
}

/** @throws TrustWardenError `ledger_index_mismatch` unless the records of each event say what the index says of it. */
function requireSaidByRecords(events: readonly JoinedEvent[], records: readonly ProvenRecord[]): void {
  const entries = new Map(records.map(({ index, entry }) => [index, encodeUtf8(entry)]));
  for (const event of events) {
    if (!isSaidByEntries(event, entries))
      throw new TrustWardenError("ledger_index_mismatch", { event_id: event.event_id });
  }
}
