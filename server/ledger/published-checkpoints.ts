/**
 * The checkpoint that an intent says its agent had seen, held against what this ledger has published, before the intent counts.
 *
 * `seen` bounds how far back an intent can be dated, so a claim about a tree that never was must not stand in the ledger: whoever
 * makes it up could have made it up at any time. An honest agent that is refused here knows more than this ledger does, which
 * was put back from an older copy then, or shows two histories.
 *
 * @see docs/decisions/0103
 */
import { parseCheckpointText } from "@trustwarden/core/agentledger/checkpoint.ts";
import type { Shard } from "@trustwarden/core/agentledger/sharded-log.ts";
import { parseNote } from "@trustwarden/core/agentledger/signed-note.ts";
import { TreeReader } from "@trustwarden/core/agentledger/tree-reader.ts";
import { encodeBase64 } from "@trustwarden/core/bytes.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { Intent } from "@trustwarden/core/event.ts";
import type { AgentPrincipal } from "@trustwarden/core/principal.ts";
import type { LogWriter } from "./ledger.ts";

/** Agents name one of the last few checkpoints; what was looked up longer ago is looked up again. */
const MAX_KNOWN = 4096;

type Seen = NonNullable<Intent["seen"]>;

export interface PublishedCheckpointsOptions {
  /** Name of the ledger. */
  readonly ledger: string;
  readonly log: Pick<LogWriter, "shards" | "refresh" | "waitForCheckpoint">;
}

/** Owns the memory of claims that were found true; they stay true. */
export class PublishedCheckpoints {
  readonly #options: PublishedCheckpointsOptions;
  readonly #known = new Set<string>();
  /** One look for all that ask the same at once. */
  readonly #looking = new Map<string, Promise<void>>();

  constructor(options: PublishedCheckpointsOptions) {
    this.#options = options;
  }

  /**
   * Refuses an intent that names a tree which this ledger never showed. None named says nothing; what an agent of another
   * trust domain saw of another ledger cannot be held against anything here.
   *
   * @returns null when nothing has to be read.
   * @throws TrustWardenError `checkpoint_unpublished`; `ledger_unavailable`, `ledger_corrupt` when it cannot be found out.
   */
  requireSeen(
    { seen }: Pick<Intent, "seen">,
    { isForeign }: Pick<AgentPrincipal, "isForeign">,
  ): Promise<void> | null {
    if (seen === null || (isForeign === true && !this.#isOurs(seen))) return null;
    const key = `${seen.size} ${seen.root} ${seen.origin}`;
    if (this.#known.has(key)) return null;
    const looking = this.#looking.get(key) ?? this.#look(key, seen);
    this.#looking.set(key, looking);
    return looking;
  }

  #isOurs({ origin }: Seen): boolean {
    const { ledger } = this.#options;
    return origin === ledger || origin.startsWith(`${ledger}/`);
  }

  async #look(key: string, seen: Seen): Promise<void> {
    try {
      const shard = await this.#findShard(seen);
      const root = await new TreeReader(shard.reader, publishedSizeOf(shard)).readRoot(seen.size);
      if (encodeBase64(root) !== seen.root) throw unpublished(seen, "another root");
      this.#known.add(key);
      for (const oldest of this.#known) {
        if (this.#known.size <= MAX_KNOWN) break;
        this.#known.delete(oldest);
      }
    } finally {
      this.#looking.delete(key);
    }
  }

  /** The shard with so many published entries; what another server published a moment ago is asked for before anybody is refused. */
  async #findShard(seen: Seen): Promise<Shard> {
    const { log } = this.#options;
    const found = this.#shardOf(seen);
    if (found !== undefined && seen.size <= publishedSizeOf(found)) return found;
    if (log.refresh === undefined) throw unpublished(seen, "newer than anything published");
    await log.refresh();
    const shard = this.#shardOf(seen);
    if (shard === undefined || seen.size > shard.log.size)
      throw unpublished(seen, "newer than anything published");
    // So many entries are durable: where storage still shows an older checkpoint, the newer one comes.
    await log.waitForCheckpoint(shard.first + seen.size);
    return shard;
  }

  #shardOf({ origin }: Seen): Shard | undefined {
    return this.#options.log.shards.find((shard) => shard.origin === origin);
  }
}

function publishedSizeOf({ log }: Shard): number {
  return parseCheckpointText(parseNote(log.checkpoint()).unverifiedText).size;
}

function unpublished({ origin, size }: Seen, reason: string): TrustWardenError {
  return new TrustWardenError("checkpoint_unpublished", { origin, size, reason });
}
