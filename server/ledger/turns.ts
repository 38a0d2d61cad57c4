/**
 * When the ledger turns to its next shard: with the quarter, unless the configuration says otherwise, and whenever an operator says so.
 *
 * A quarter is that of the server's clock. Names only rise, so that a clock which goes back begins nothing again.
 */
import { issueCheckpoint } from "@trustwarden/core/agentledger/checkpoint.ts";
import { EMPTY_ROOT } from "@trustwarden/core/agentledger/merkle.ts";
import { nextShardName, shardOrigin, vkeyFor } from "@trustwarden/core/agentledger/shard.ts";
import type { Shard, ShardedLog } from "@trustwarden/core/agentledger/sharded-log.ts";
import { parseVkey } from "@trustwarden/core/agentledger/signed-note.ts";
import type { PublicKey } from "@trustwarden/core/crypto.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { Clock } from "../clock.ts";
import type { ServerConfig } from "../config.ts";
import type { EventLog } from "../http/services.ts";
import type { LogKeyFiles } from "../log-keys.ts";
import type { Cleanup } from "../parts.ts";
import type { SeatDuties } from "../shared/seat-duties.ts";
import { hasOthers } from "../state-config.ts";
import type { ShardWitnessing } from "../witnessing/create.ts";
import type { ServerLog } from "./ledger.ts";
import { QuarterTurns } from "./quarter-turns.ts";

export interface LedgerTurnsOptions {
  readonly log: Pick<ShardedLog, "current" | "readEntry" | "size" | "turn">;
  /** Whether a shard ends with its quarter. */
  readonly isQuarterly: boolean;
  readonly clock: Clock;
  /** A key for the next shard, durable when this returns; undefined where none is ever asked for. */
  readonly makeKey?: () => PublicKey;
  /** Names of the witnesses for which a turn to a quarter's shard has to wait; nobody is asked unless given. */
  readonly waitsFor?: (quarter: string) => Promise<readonly string[]>;
  /** Awaited by whoever asked for the turn; the ledger goes on meanwhile. */
  readonly onTurned: (shard: Shard) => Promise<void> | undefined;
  /** Told now and then while a turn waits for witnesses. */
  readonly onPutOff: (quarter: string, witnesses: readonly string[]) => void;
  /** A look that failed; another follows. */
  readonly onFailure: (error: unknown) => void;
  /** Where servers share the ledger: whoever has the seat looks at the quarter. */
  readonly duties: SeatDuties | null;
}

/** What turning needs of an opened server. */
interface TurnParts {
  readonly config: Pick<ServerConfig, "ledger" | "state">;
  readonly origin: string;
  readonly shardedLog: ServerLog;
  readonly shared: { readonly duties: SeatDuties } | null;
  readonly witnessing: ShardWitnessing | null;
  readonly keys: { readonly logKeys: Pick<LogKeyFiles, "make" | "signerOf"> };
  readonly clock: Clock;
  readonly log: EventLog;
}

/** The turns of a server's ledger. */
export function createLedgerTurns(parts: TurnParts): LedgerTurns {
  const { config, shardedLog, shared, witnessing, keys, clock, log } = parts;
  shardedLog.onTurned(({ begun }) => {
    const { origin, vkey } = begun;
    log.info({ origin, vkey }, "the ledger's next shard has begun");
    // Whichever server turned it: each of them gives out what witnesses say of it.
    if (shared !== null) witnessing?.know(begun);
  });
  return new LedgerTurns({
    log: shardedLog,
    isQuarterly: config.ledger.shards === "quarterly",
    clock,
    makeKey: () => {
      // The key would be in this server's files alone, and another may have to sequence the next shard.
      if (hasOthers(config.state))
        throw new TrustWardenError("replica_refused", {
          reason: "another key, where servers share the ledger or take turns at it",
        });
      return keys.logKeys.make();
    },
    waitsFor: async (quarter) => (await witnessing?.absentFrom(emptyTreeOf(parts, quarter))) ?? [],
    onTurned: (shard) => witnessing?.follow(shard),
    onPutOff: (quarter, witnesses) => {
      const vkey = nextVkeyOf(parts, quarter);
      log.warn(
        { code: "witnesses_unreachable", witnesses: witnesses.join(", "), vkey },
        "the ledger's shard goes on after its quarter: these witnesses do not follow the next one; tell them its key",
      );
    },
    onFailure: () => log.error({ code: "ledger_unavailable" }, "the ledger's next shard could not be begun"),
    duties: shared?.duties ?? null,
  });
}

/** A planned turn keeps the key. */
function nextVkeyOf(
  { origin, shardedLog }: Pick<TurnParts, "origin" | "shardedLog">,
  quarter: string,
): string {
  return vkeyFor(shardedLog.current.vkey, shardOrigin(origin, quarter));
}

/** What every log signs first. */
function emptyTreeOf(parts: TurnParts, quarter: string): string {
  const vkey = nextVkeyOf(parts, quarter);
  const head = { origin: parseVkey(vkey).name, size: 0, root: EMPTY_ROOT };
  return issueCheckpoint(head, parts.keys.logKeys.signerOf(vkey));
}

/** Begins shards, one after the other. */
export class LedgerTurns {
  readonly #options: LedgerTurnsOptions;

  constructor(options: LedgerTurnsOptions) {
    this.#options = options;
  }

  /** From now on a shard ends with its quarter, where it is to. @param cleanups - take how to end that. */
  async start(cleanups: Cleanup[]): Promise<void> {
    const { isQuarterly, duties, log, clock, waitsFor = async () => [], onPutOff, onFailure } = this.#options;
    if (!isQuarterly) return;
    const turnTo = (quarter: string) => this.#turnTo(quarter, undefined);
    const quarters = new QuarterTurns({ log, clock, turnTo, waitsFor, onPutOff, onFailure });
    cleanups.push(() => quarters.close());
    if (duties === null) return quarters.begin();
    await duties.add(async () => {
      quarters.watch();
      return () => quarters.close();
    });
  }

  /**
   * Ends the current shard and begins the next.
   *
   * @throws TrustWardenError `ledger_unavailable`; `replica_refused` for another key, where servers share the ledger or take turns at it.
   */
  async turn(key: "same key" | "new key" = "same key"): Promise<Shard> {
    const { log, clock } = this.#options;
    const made = key === "new key" ? this.#makeKey() : undefined;
    return this.#turnTo(nextShardName(log.current.name, clock.nowMs()), made);
  }

  async #turnTo(name: string, made: PublicKey | undefined): Promise<Shard> {
    const { log, onTurned } = this.#options;
    const shard = await log.turn(name, made);
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
}
