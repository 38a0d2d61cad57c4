/**
 * A data directory that is filled without a server: the writer's own commands in large groups, and each event in the
 * real ledger. What is left out is HTTP, and the checks of signatures that come before a command.
 */
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { Sequencer } from "@trustwarden/core/agentledger/sequencer.ts";
import { formatVkey, rawEd25519Key } from "@trustwarden/core/agentledger/signed-note.ts";
import { parseConfig, type ServerConfig, type ServerSettings } from "../../server/config.ts";
import { openServerKeys } from "../../server/keys.ts";
import { createLedgerStorage, highWaterPlaceOf } from "../../server/ledger-storage.ts";
import { startServer } from "../../server/main.ts";
import { createBuiltinPolicy } from "../../server/opa/builtin.ts";
import { storeSettingsOf } from "../../server/parts.ts";
import { openSigningKey } from "../../server/signer/signing-key.ts";
import { loadAuthority } from "../../server/store/commands/change-authority.ts";
import { raiseClockFloor } from "../../server/store/commands/clock.ts";
import { type CommandDeps, createCommandDeps } from "../../server/store/commands/deps.ts";
import type { CommandContext, Committed } from "../../server/store/ports.ts";
import { createPosixHighWater } from "../../server/store/posix-log-high-water.ts";
import { pooledRandom } from "../../server/store/random-pool.ts";
import { openForWriting } from "../../server/store/schema.ts";
import type { SqliteDatabase } from "../../server/store/sqlite-database.ts";
import { breakStateSeal } from "../../server/store/state-seal.ts";
import { runGroup } from "../../server/store/writer-group.ts";
import type { WriterCommand, WriterReply } from "../../server/store/writer-protocol.ts";
import { type BulkAgent, BulkWriter, type Placed } from "./bulk.ts";

export const TRUST_DOMAIN = "bench.test";
const MAX_ENTRY_BYTES = 16_384;
/** Entries given to the ledger at once; it takes 4 MiB in one write. */
const ENTRIES_AT_ONCE = 256;
const CHECKPOINT_PACE_MS = 500;
/** Entries that may wait for a checkpoint: less than the bytes that the ledger lets wait. */
const MAX_AHEAD = 6000;
/** The server's own SVID lasts an hour. */
const RENEW_MS = 1_800_000;
/**
 * While filling: pages in memory, and no disk waited for, since a filling that was cut off is begun anew. The index of names is made at
 * the end, of all rows at once: an agent's name is in another place of it than the one before.
 */
const FILLING = "PRAGMA cache_size = -2000000; PRAGMA journal_mode = MEMORY; DROP INDEX agents_by_name;";
const WITHOUT_SYNC = "PRAGMA synchronous = OFF";
const FILLED = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;";
const NAMES = "SELECT sql FROM sqlite_schema WHERE name = 'agents_by_name'";

/** Limits that the largest owner fits into. */
export const QUOTAS = {
  agentsPerOwner: 1_000_000,
  liveInstancesPerOwner: 1_000_000,
  issuesPerOwnerPerHour: 1_000_000,
  easyAgentsPerOwnerPerMinute: 1_000_000,
};

/** The configuration of a benchmark's server. */
export function sizeConfig(directory: string, more: ServerSettings = {}): ServerConfig {
  return parseConfig({
    dataDir: join(directory, "data"),
    configDir: join(directory, "config"),
    trustDomain: TRUST_DOMAIN,
    port: 0,
    stopPort: 0,
    logLevel: "error",
    quotas: QUOTAS,
    ...more,
  });
}

/** A store and its ledger, open for commands. */
export class Filling {
  readonly #database: SqliteDatabase;
  readonly #deps: CommandDeps;
  readonly #sequencer: Sequencer;
  readonly #bulk: BulkWriter;
  readonly #indexOfNames: string;
  #pending: readonly number[] = [];
  /** Events of the rows that were written last, on their way into the ledger. */
  #behind: Promise<void> = Promise.resolve();
  #renewedMs = 0;
  readonly #epochRaised: () => Promise<void>;

  private constructor(parts: {
    readonly database: SqliteDatabase;
    readonly deps: CommandDeps;
    readonly sequencer: Sequencer;
    readonly epochRaised: () => Promise<void>;
    readonly indexOfNames: string;
    readonly expected: number;
  }) {
    this.#database = parts.database;
    this.#deps = parts.deps;
    this.#sequencer = parts.sequencer;
    this.#epochRaised = parts.epochRaised;
    this.#indexOfNames = parts.indexOfNames;
    this.#bulk = new BulkWriter(parts.database, parts.deps, parts.expected);
  }

  /**
   * A server is started once, so that everything is there that a first start makes.
   *
   * @param expected - agents that will be written.
   */
  static async open(config: ServerConfig, expected: number): Promise<Filling> {
    const server = await startServer(config);
    await server.close();
    // It sealed the state of now; what is filled in is nobody's tampering.
    await breakStateSeal(config);
    const keys = await openServerKeys({ config, random: randomBytes, nowMs: Date.now });
    const highWater = createPosixHighWater(highWaterPlaceOf(config));
    const fatal = (error: unknown) => {
      throw error;
    };
    const origin = `ledger.${config.trustDomain}`;
    const sequencer = new Sequencer({
      origin,
      signer: keys.logKeys.signerOf(formatVkey(origin, rawEd25519Key(keys.logKeys.first))),
      storage: createLedgerStorage(config, { origin, nowMs: Date.now, onLost: fatal }).storage,
      highWater,
      now: () => Math.floor(Date.now() / 1000),
      onFatal: fatal,
      pace: () => setTimeout(CHECKPOINT_PACE_MS, undefined, { ref: false }),
      maxEntryBytes: MAX_ENTRY_BYTES,
    });
    await sequencer.start();
    const deps = createCommandDeps({
      ...storeSettingsOf({ config, keys, policy: createBuiltinPolicy(config.policyDir) }),
      random: pooledRandom(randomBytes),
      openSigner: openSigningKey,
    });
    const database = openForWriting(config.dataDir);
    const indexOfNames = database.get(NAMES)?.text("sql") ?? "";
    database.exec(FILLING);
    loadAuthority(database, deps, keys.firstAuthority);
    return new Filling({
      database,
      deps,
      sequencer,
      indexOfNames,
      expected,
      epochRaised: () => highWater.raise({ origin, epoch: currentEpoch(database) }),
    });
  }

  /** Runs the commands as one group; each must succeed. The events of the group before are marked with it. */
  async run<T>(commands: readonly WriterCommand[]): Promise<readonly Committed<T>[]> {
    if (commands.length + this.#pending.length === 0 && Date.now() - this.#renewedMs < RENEW_MS) return [];
    const marked = { kind: "markSequenced", outboxIds: this.#pending } as const;
    const asked = [...(await this.#renewals()), ...commands];
    const requests = [...asked, marked].map((command, id) => ({ ...command, id }));
    await this.#behind;
    this.#database.exec(WITHOUT_SYNC);
    const { replies, isFatal } = runGroup(this.#database, this.#deps, requests);
    if (isFatal) throw new Error("the group was not committed");
    const committed = replies.slice(0, -1).map((reply) => committedOf<T>(reply));
    await this.#sequence(committed.flatMap(({ entries }) => entries));
    this.#pending = committed.map(({ outboxId }) => outboxId);
    return committed.slice(asked.length - commands.length);
  }

  /** Writes agents as rows, in one transaction; their events go into the ledger while the next ones are made. */
  async write(agents: readonly BulkAgent[]): Promise<readonly Placed[]> {
    await this.run([]);
    this.#database.exec(WITHOUT_SYNC);
    this.#database.exec("BEGIN IMMEDIATE");
    this.#bulk.begin();
    const written = agents.map((agent) => this.#bulk.add(agent));
    raiseClockFloor(this.#database, Date.now());
    this.#database.exec("COMMIT");
    await this.#behind;
    this.#behind = this.#sequence(written.map(({ event }) => event));
    // Whoever comes next waits for it and hears of a failure.
    this.#behind.catch(() => undefined);
    return written.map(({ placed }) => placed);
  }

  async close(): Promise<void> {
    await this.run([]);
    await this.#behind;
    await this.run([]);
    await this.#epochRaised();
    await this.#sequencer.stop();
    this.#database.exec(this.#indexOfNames);
    this.#database.exec(FILLED);
    this.#database.close();
  }

  /** As many as the ledger takes at once, and no more than it has put under a checkpoint some groups later. */
  async #sequence(entries: readonly Uint8Array[]): Promise<void> {
    const appended: Promise<unknown>[] = [];
    for (let at = 0; at < entries.length; at += ENTRIES_AT_ONCE)
      appended.push(this.#sequencer.append(entries.slice(at, at + ENTRIES_AT_ONCE)));
    await Promise.all(appended);
    await this.#sequencer.waitForCheckpoint(Math.max(0, this.#sequencer.size - MAX_AHEAD));
  }

  async #renewals(): Promise<readonly WriterCommand[]> {
    if (Date.now() - this.#renewedMs < RENEW_MS) return [];
    this.#renewedMs = Date.now();
    return [{ kind: "issueServerSvid", command: { context: operatorContext(), reason: "renew" } }];
  }
}

/** An operator's command, now. */
export function operatorContext(): CommandContext {
  return { nowMs: Date.now(), principal: "operator", peer: "127.0.0.1", intent: null };
}

function currentEpoch(database: SqliteDatabase): number {
  return database.get("SELECT COALESCE(MAX(epoch), 0) AS epoch FROM feed")?.integer("epoch") ?? 0;
}

function committedOf<T>(reply: WriterReply): Committed<T> {
  if (!reply.isDone) throw new Error(`${reply.code} ${JSON.stringify(reply.details)}`);
  // The commands that are run here all give what they committed.
  return Object(reply.value);
}
