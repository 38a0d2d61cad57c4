/**
 * The logs that a witness knows: those it was told of, the shards whose key the end of such a log named to it, and the shards that
 * these turn to under the same key: that of the newest one before them.
 *
 * A shard needs no telling: its checkpoints are signed by the key of its ledger under a name that begins with the ledger's own. What a
 * witness says of it is what it says of any log, that it only grows; whether it is the shard that the one before names is shown by
 * its entries, to a monitor or an audit. Names only rise, so that nobody with that key fills a witness's memory with shards of the past.
 */
import {
  compareShardNames,
  isComingShard,
  isShardOrigin,
  isShardSuccessor,
  vkeyFor,
} from "@trustwarden/core/agentledger/shard.ts";
import { parseVkey } from "@trustwarden/core/agentledger/signed-note.ts";
import { originHash, type WitnessedLog } from "@trustwarden/core/agentledger/witness.ts";
import type { WitnessStore } from "./witness-store.ts";

/** A turn is an operator's act; more in one quarter are somebody who fills a disk. */
const MAX_SHARDS = 256;
/** Of a log whose clock is a little before this one's at the turn of a quarter. */
const CLOCK_SKEW_MS = 3_600_000;

/** Finds logs by their origin. */
export class WitnessedLogs {
  readonly #told: ReadonlyMap<string, WitnessedLog>;
  readonly #store: Pick<WitnessStore, "origins" | "nexts">;
  readonly #nowMs: () => number;

  /** @param options.nowMs - Unix milliseconds. */
  constructor(options: {
    readonly told: ReadonlyMap<string, WitnessedLog>;
    readonly store: Pick<WitnessStore, "origins" | "nexts">;
    readonly nowMs: () => number;
  }) {
    this.#told = options.told;
    this.#store = options.store;
    this.#nowMs = options.nowMs;
  }

  /** The log of an origin, nothing of it remembered yet perhaps; undefined for one that is nobody's. */
  get(origin: string): WitnessedLog | undefined {
    const known = this.#known();
    const told = known.get(origin);
    if (told !== undefined) return told;
    const [before, log] = newestBefore(known, origin);
    const ledger = origin.slice(0, Math.max(0, origin.lastIndexOf("/")));
    if (before === undefined || log === undefined || !this.#mayFollow(ledger, origin)) return undefined;
    const vkey = vkeyFor(log.vkey, origin);
    return { vkey, key: parseVkey(vkey) };
  }

  /** Those it was told of, and what the ends of these and of their shards named. What it was told counts before what it was shown. */
  #known(): ReadonlyMap<string, WitnessedLog> {
    const known = new Map(this.#told);
    for (const vkey of this.#store.nexts().values()) {
      const key = parseVkey(vkey);
      const isOurs = [...this.#told.keys()].some((name) => isShardSuccessor(name, key.name));
      if (isOurs && !known.has(key.name)) known.set(key.name, { vkey, key });
    }
    return known;
  }

  /** The origin with a hash, of those that something is remembered of. */
  originOf(hash: string): string | undefined {
    return this.#store.origins().find((origin) => originHash(origin) === hash);
  }

  /** One that is remembered, or one that is later than all of those and of no quarter to come. */
  #mayFollow(ledger: string, origin: string): boolean {
    const known = this.#store.origins();
    if (known.includes(origin)) return true;
    const nameOf = (one: string) => one.slice(ledger.length + 1);
    const named = [...this.#store.nexts().values()].map((vkey) => parseVkey(vkey).name);
    const shards = [...known, ...named].filter((one) => isShardOrigin(ledger, one)).map(nameOf);
    const name = nameOf(origin);
    return (
      shards.length < MAX_SHARDS &&
      shards.every((shard) => compareShardNames(shard, name) < 0) &&
      !isComingShard(name, this.#nowMs() + CLOCK_SKEW_MS)
    );
  }
}

/** Of the logs that this can be a later shard of, the newest one: a key that it replaced begins nothing any more. */
function newestBefore(
  known: ReadonlyMap<string, WitnessedLog>,
  origin: string,
): readonly [string, WitnessedLog] | readonly [] {
  const before = [...known].filter(([name]) => isShardSuccessor(name, origin));
  return before.find(([name]) => before.every(([other]) => !isShardSuccessor(name, other))) ?? [];
}
