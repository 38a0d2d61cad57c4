/**
 * When the ledger turns to its next shard: at the first look in a new quarter, and whenever an operator says so.
 *
 * A quarter is that of the server's clock. Names only rise, so that a clock which goes back begins nothing again.
 */
import {
  isLaterQuarter,
  isShardMark,
  nextShardName,
  quarterOf,
} from "@trustwarden/core/agentledger/shard.ts";
import type { Shard, ShardedLog } from "@trustwarden/core/agentledger/sharded-log.ts";
import { parseVkey } from "@trustwarden/core/agentledger/signed-note.ts";
import { parseUtf8 } from "@trustwarden/core/bytes.ts";
import type { PublicKey } from "@trustwarden/core/crypto.ts";
import { parseEnvelope, parseUnverifiedPayload } from "@trustwarden/core/dsse.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { ServerConfig } from "../config.ts";
import type { EventLog } from "../http/services.ts";
import type { LogKeyFiles } from "../log-keys.ts";
import type { Cleanup } from "../parts.ts";
import { hasOthers } from "../state-config.ts";
import type { ShardWitnessing } from "../witnessing/create.ts";
import type { ServerLog } from "./ledger.ts";

/** How soon a new quarter is noticed. */
const LOOK_MS = 60_000;
/** The log that a ledger began with is dated by one of its first records. */
const MAX_DATED_ENTRIES = 64;

export interface LedgerTurnsOptions {
  readonly log: Pick<ShardedLog, "current" | "readEntry" | "size" | "turn">;
  /** Whether a new quarter begins a new shard. */
  readonly isQuarterly: boolean;
  /** Unix milliseconds. */
  readonly nowMs: () => number;
  /** A key for the next shard, durable when this returns; undefined where none is ever asked for. */
  readonly makeKey?: () => PublicKey;
  /** Awaited by whoever asked for the turn; the ledger goes on meanwhile. */
  readonly onTurned: (shard: Shard) => Promise<void> | undefined;
  /** A look that failed; another follows. */
  readonly onFailure: (error: unknown) => void;
}

/** What turning needs of an opened server. */
interface TurnParts {
  readonly config: Pick<ServerConfig, "ledger" | "state">;
  readonly shardedLog: ServerLog;
  /** There where servers share the ledger: whoever has the seat looks at the quarter. */
  readonly shared: unknown;
  readonly witnessing: ShardWitnessing | null;
  readonly keys: { readonly logKeys: Pick<LogKeyFiles, "make"> };
  readonly clock: { readonly nowMs: () => number };
  readonly log: EventLog;
}

/** The turns of a server's ledger. */
export function createLedgerTurns({
  config,
  shardedLog,
  shared,
  witnessing,
  keys,
  clock,
  log,
}: TurnParts): LedgerTurns {
  shardedLog.onTurned(({ begun }) => {
    const { origin, vkey } = begun;
    log.info({ origin, vkey }, "the ledger's next shard has begun");
    // Whichever server turned it: each of them gives out what witnesses say of it.
    if (shared !== null) witnessing?.know(begun);
  });
  return new LedgerTurns({
    log: shardedLog,
    isQuarterly: config.ledger.shards === "quarterly" && shared === null,
    nowMs: () => clock.nowMs(),
    makeKey: () => {
      // The key would be in this server's files alone, and another may have to sequence the next shard.
      if (hasOthers(config.state))
        throw new TrustWardenError("replica_refused", {
          reason: "another key, where servers share the ledger or take turns at it",
        });
      return keys.logKeys.make();
    },
    onTurned: (shard) => witnessing?.follow(shard),
    onFailure: () => log.error({ code: "ledger_unavailable" }, "the ledger's next shard could not be begun"),
  });
}

/** Owns the timer. */
export class LedgerTurns {
  readonly #options: LedgerTurnsOptions;
  #timer: NodeJS.Timeout | undefined;
  #looking: Promise<void> = Promise.resolve();

  constructor(options: LedgerTurnsOptions) {
    this.#options = options;
  }

  /** Looks now, and from time to time. @param cleanups - take how to end that. */
  async start(cleanups: Cleanup[]): Promise<void> {
    if (!this.#options.isQuarterly) return;
    cleanups.push(() => this.close());
    await this.look();
    this.#timer = setInterval(() => {
      this.#looking = this.look().catch(this.#options.onFailure);
    }, LOOK_MS);
    this.#timer.unref();
  }

  /** Returns when no look is under way. */
  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.#looking;
  }

  /** Turns when the current shard is of an earlier quarter. @throws TrustWardenError `ledger_unavailable`. */
  async look(): Promise<void> {
    const { log, nowMs } = this.#options;
    const begun = log.current.name ?? (await this.#quarterOfFirst());
    if (begun !== null && isLaterQuarter(quarterOf(nowMs()), begun)) await this.turn();
  }

  /**
   * Ends the current shard and begins the next.
   *
   * @throws TrustWardenError `ledger_unavailable`; `replica_refused` for another key, where servers share the ledger or take turns at it.
   */
  async turn(key: "same key" | "new key" = "same key"): Promise<Shard> {
    const { log, nowMs, onTurned } = this.#options;
    const made = key === "new key" ? this.#makeKey() : undefined;
    const shard = await log.turn(nextShardName(log.current.name, nowMs()), made);
    // A turn that was under way is the same turn: whoever asked for a key must not believe that it has come.
    if (made !== undefined && !parseVkey(shard.vkey).publicKey.equals(made))
      throw new TrustWardenError("ledger_unavailable", { reason: "another turn was under way" });
    await onTurned(shard);
    return shard;
  }

  #makeKey(): PublicKey {
    const { makeKey } = this.#options;
    if (makeKey === undefined) throw new Error("no key is made here");
    return makeKey();
  }

  /** By the first record with a time; null while there is none. */
  async #quarterOfFirst(): Promise<string | null> {
    const { log } = this.#options;
    for (let index = 0; index < Math.min(log.size, MAX_DATED_ENTRIES); index += 1) {
      const timeMs = timeOf(await log.readEntry(index));
      if (timeMs !== null) return quarterOf(timeMs);
    }
    return null;
  }
}

function timeOf(entry: Uint8Array): number | null {
  if (isShardMark(entry)) return null;
  try {
    const { time } = parseUnverifiedPayload(parseEnvelope(parseUtf8(entry)));
    const timeMs = typeof time === "string" ? Date.parse(time) : Number.NaN;
    return Number.isNaN(timeMs) ? null : timeMs;
  } catch (error) {
    // Safe to go on: what is no record has no time, and an audit reports it.
    if (error instanceof TrustWardenError) return null;
    throw error;
  }
}
