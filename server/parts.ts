/**
 * Opens what a server stands on: lock, keys, policy, log, state, index; and brings log and state together, as a crash
 * or a restored backup may have left them. With `build.ts` the only place that knows the adapters.
 */
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import type { HighWater } from "@trustwarden/core/agentledger/ports.ts";
import { shardOrigin } from "@trustwarden/core/agentledger/shard.ts";
import { ShardedLog } from "@trustwarden/core/agentledger/sharded-log.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { Random } from "@trustwarden/core/id.ts";
import type { FlooredClock } from "./clock.ts";
import { jwtIssuerOf, type ServerConfig } from "./config.ts";
import type { EventLog } from "./http/services.ts";
import { openServerKeys, type ServerKeys } from "./keys.ts";
import type { ServerLog } from "./ledger/ledger.ts";
import { originOf } from "./ledger/origin.ts";
import { drainOutbox, oldestPendingMs } from "./ledger/outbox.ts";
import { SeenIntents } from "./ledger/seen-intents.ts";
import { readLatestCommand, readTail } from "./ledger/tail.ts";
import { createLedgerStorage, highWaterPlaceOf } from "./ledger-storage.ts";
import { type Meter, observeStore } from "./metrics/observe.ts";
import { type BuiltinPolicy, createBuiltinPolicy } from "./opa/builtin.ts";
import { openSharedLog, type SharedLedger } from "./shared/open-shared-log.ts";
import type { SeatMarks } from "./shared/seat-marks.ts";
import { createPrivateDirectory } from "./signer/private-file.ts";
import { isShared, remoteStateOf } from "./state-config.ts";
import type { KeptKeyPlace } from "./store/authority-ports.ts";
import { acquirePosixLock } from "./store/posix-lock.ts";
import { createPosixHighWater } from "./store/posix-log-high-water.ts";
import { createSqliteStore, type SqliteStore, type SqliteStoreOptions } from "./store/sqlite.ts";
import { breakStateSeal, sealState, verifyStateSeal } from "./store/state-seal.ts";
import { ThreadedLedgerIndex } from "./store/threaded-ledger-index.ts";
import { openWitnessing, type ShardWitnessing } from "./witnessing/create.ts";

/** Largest record; the state store refuses a command whose event would be larger. */
const MAX_ENTRY_BYTES = 16_384;
/**
 * Acknowledged entries wait at most this long for the tree, unless somebody asks for their proof: a checkpoint takes a
 * dozen syncs one after the other, about 50 ms, in which decisions wait longer for their own.
 */
const CHECKPOINT_PACE_MS = 250;
/** Events of commands that nobody but the server dates; each command also raises the clock floor of the state. */
const COMMAND_KINDS: ReadonlySet<string> = new Set([
  "start",
  "renew",
  "owner",
  "ticket",
  "issue",
  "node",
  "entry",
]);

/** What is opened before anything listens. */
export interface Parts {
  readonly config: ServerConfig;
  readonly log: EventLog;
  readonly meter: Meter;
  readonly random: Random;
  readonly clock: FlooredClock;
  readonly keys: ServerKeys;
  readonly policy: BuiltinPolicy;
  /** Name of the log. */
  readonly origin: string;
  readonly shardedLog: ServerLog;
  /** What goes between servers that share store and ledger; null for a server that has its own. */
  readonly shared: SharedLedger | null;
  readonly highWater: HighWater;
  /** Has the checkpoints cosigned; null where nobody is asked. */
  readonly witnessing: ShardWitnessing | null;
  readonly store: SqliteStore;
  readonly index: ThreadedLedgerIndex;
  /** Intents that the ledger says were used. */
  readonly seen: SeenIntents;
  /** Resolves with the reason when log or state is in doubt. */
  readonly failed: Promise<unknown>;
}

/** Undoes one step of the start; run last first. */
export type Cleanup = () => Promise<void> | void;

/** What the parts are opened with. */
export interface PartsOptions extends Pick<Parts, "config" | "log" | "random" | "clock" | "meter"> {
  /** Each opened part adds how to close it, also when a later one fails. */
  readonly cleanups: Cleanup[];
}

type OnFatal = (error: unknown) => void;

/**
 * Opens all parts of a data directory, and makes them at the first start.
 *
 * @throws TrustWardenError any code of the set-up section of `core/error.ts`, and `clock_rolled_back`.
 */
export async function openParts(options: PartsOptions): Promise<Parts> {
  const { config, log, random, clock, cleanups } = options;
  createPrivateDirectory(config.dataDir);
  const lock = acquirePosixLock(join(config.dataDir, "server.lock"));
  cleanups.push(() => lock.release());
  const sealed = lookAtState(config);
  const keys = await openServerKeys({ config, random, nowMs: () => clock.nowMs() });
  const policy = createBuiltinPolicy(config.policyDir);
  const failure = Promise.withResolvers<unknown>();
  const onFatal: OnFatal = (error) => failure.resolve(error);
  const origin = originOf(config);
  let index: ThreadedLedgerIndex | undefined;
  // What is new before there is an index is in the log when it begins to follow.
  const onEntry = (position: number, entry: Uint8Array) => index?.observe(position, entry);
  const { shardedLog, highWater, shared } = await openLog(options, { keys, origin, onEntry, onFatal });
  // Before anything is appended: on a restored backup every new entry would be a second history.
  const witnessing = await openWitnessing({
    settings: config.witnesses,
    dataDir: config.dataDir,
    vkey: shardedLog.vkey,
    shards: shardedLog.shards,
    monoMs: () => clock.monoMs(),
    onEvent: (event) => {
      if (event.kind === "failed") log.warn(event, "a witness did not cosign");
    },
    onSilent: (names) => log.warn({ silent: names.join(", ") }, "witnesses do not answer"),
    onRolledBack: onFatal,
    shared,
    cleanups,
  });
  await guardState(options, sealed);
  const store = await openStore(options, { keys, policy, onFatal });
  index = openIndex(options);
  const seen = new SeenIntents();
  await reconcile({ shardedLog, shared, store, highWater, clock, log, seen });
  await requireCurrentState(store, { log: shardedLog, shared });
  // What is missing is made good behind: whoever waits for nothing but an answer waits for no search index.
  await index.follow(shardedLog);
  const failed = failure.promise;
  return {
    config,
    log,
    meter: options.meter,
    random,
    clock,
    keys,
    policy,
    origin,
    shardedLog,
    shared,
    highWater,
    witnessing,
    store,
    index,
    seen,
    failed,
  };
}

function openIndex({ config, log, cleanups }: PartsOptions): ThreadedLedgerIndex {
  const index = new ThreadedLedgerIndex({
    path: join(config.dataDir, "index.db"),
    onLost: () =>
      log.error({ code: "store_unavailable" }, "the ledger cannot be searched until the next start"),
    onProgress: ({ indexed, entries }) =>
      log.info({ indexed, entries }, "the search index comes up to the ledger; questions wait for it"),
  });
  cleanups.push(() => index.close());
  return index;
}

async function openLog(
  options: PartsOptions,
  made: {
    readonly keys: ServerKeys;
    readonly origin: string;
    readonly onEntry: (position: number, entry: Uint8Array) => void;
    readonly onFatal: OnFatal;
  },
): Promise<Pick<Parts, "shardedLog" | "highWater" | "shared">> {
  const { config, clock, cleanups } = options;
  const { keys, origin, onFatal } = made;
  const nowMs = () => clock.nowMs();
  const highWater = createPosixHighWater(highWaterPlaceOf(config));
  const createLog = (onLost: OnFatal, closes: Cleanup[], marks?: SeatMarks) =>
    new ShardedLog({
      ledger: origin,
      keys: keys.logKeys,
      openShard: (shard) => {
        const place = { origin: shardOrigin(origin, shard), shard };
        marks?.open(place.origin);
        const kept = createLedgerStorage(config, { ...place, nowMs, onLost });
        closes.push(kept.close);
        return kept;
      },
      highWater: marks ?? highWater,
      now: () => Math.floor(nowMs() / 1000),
      onFatal: onLost,
      pace: () => setTimeout(CHECKPOINT_PACE_MS, undefined, { ref: false }),
      maxEntryBytes: MAX_ENTRY_BYTES,
    });
  if (isShared(config.state)) {
    const shared = await openSharedLog({ ...options, ...made, nowMs, createLog, highWater });
    return { shardedLog: shared.log, highWater, shared };
  }
  const shardedLog = createLog(onFatal, cleanups);
  await shardedLog.start();
  cleanups.push(() => shardedLog.stop());
  keys.logKeys.keepOnly(shardedLog.current.vkey);
  shardedLog.onTurned(({ begun }) => keys.logKeys.keepOnly(begun.vkey));
  return { shardedLog, highWater, shared: null };
}

/** Holds the state against its seal while the rest is opened: with a million agents it has gigabytes, and all of them are read. */
function lookAtState(config: ServerConfig): ReturnType<typeof verifyStateSeal> {
  const looked =
    config.state.storage === "sqlite" ? verifyStateSeal(config) : Promise.resolve("open" as const);
  // Safe: whoever opens the state waits for it first. A start that fails for another reason says that one.
  looked.catch(() => undefined);
  return looked;
}

/** Only the file that the last server closed is opened, and it is sealed again once the store has closed it. */
async function guardState(
  { config, random, cleanups }: PartsOptions,
  sealed: ReturnType<typeof verifyStateSeal>,
): Promise<void> {
  if (config.state.storage !== "sqlite") return;
  await breakStateSeal(config, sealed);
  cleanups.push(() => sealState(config, random));
}

async function openStore(
  { config, clock, cleanups, meter }: PartsOptions,
  {
    keys,
    policy,
    onFatal,
  }: { readonly keys: ServerKeys; readonly policy: BuiltinPolicy; readonly onFatal: OnFatal },
): Promise<SqliteStore> {
  const store = await createSqliteStore({
    dataDir: config.dataDir,
    ...storeSettingsOf({ config, keys, policy }),
    nowMs: () => clock.nowMs(),
    remote: remoteStateOf(config.state),
    onFatal: (why) => onFatal(new TrustWardenError("store_unavailable", why)),
  });
  cleanups.push(() => store.close());
  return observeStore(meter, store);
}

/** What the commands of a state store go by: the server's keys, and the rules of its configuration and policy. */
export function storeSettingsOf({
  config,
  keys,
  policy,
}: Pick<Parts, "config" | "keys" | "policy">): Pick<SqliteStoreOptions, "keys" | "rules"> {
  return {
    keys: {
      trustDomain: config.trustDomain,
      firstAuthority: keys.firstAuthority,
      signingKeys: keys.ring.signingKeys(),
      token: keys.ring.token,
      kept: config.state.storage === "postgres" ? placeOf(config) : null,
      jwtIssuer: jwtIssuerOf(config),
      serverKeyPkcs8: keys.serverPkcs8,
    },
    rules: {
      quotas: config.quotas,
      delegationMode: config.delegationMode,
      classes: policy.data.classes,
      maxEntryBytes: MAX_ENTRY_BYTES,
    },
  };
}

function placeOf({ configDir, dataDir, trustDomain }: ServerConfig): KeptKeyPlace {
  return { configDir, dataDir, trustDomain };
}

async function reconcile(
  parts: Pick<Parts, "shardedLog" | "shared" | "store" | "highWater" | "clock" | "log" | "seen">,
): Promise<void> {
  const { shardedLog, shared, store, clock, highWater, log, seen } = parts;
  const mark = await highWater.read();
  const epoch = store.reads.epoch();
  // An older state database beside a current ledger would bring the revoked back.
  if (mark !== null && mark.epoch > epoch) {
    throw new TrustWardenError("data_rolled_back", { reason: "epoch", epoch, mark: mark.epoch });
  }
  const tail = await readTail({ log: shardedLog, seen, sinceMs: oldestPendingMs(store.reads) });
  clock.raise(tail.signedMs);
  // What lies in the outbox may be another server's, on its way: what lies there long is swept (`outbox-sweep.ts`).
  if (shared !== null) return;
  const drained = await drainOutbox({
    reads: store.reads,
    markSequenced: store.commands.markSequenced,
    log: shardedLog,
    known: tail.indexes,
  });
  if (drained > 0) log.warn({ drained }, "events of an interrupted run were recorded late");
}

/**
 * Refuses a state that does not know a command which the ledger does: in an older copy, used tickets and keys would be
 * fresh again. Where only revocations are missing, the epoch kept outside has said so already.
 *
 * @throws TrustWardenError `data_rolled_back`.
 */
async function requireCurrentState(
  { reads, commands }: SqliteStore,
  { log, shared }: { readonly log: ServerLog; readonly shared: SharedLedger | null },
): Promise<void> {
  const latest = await readLatestCommand(log, COMMAND_KINDS);
  // Other servers may have gone on since; a group that changes nothing brings what they committed.
  if (shared !== null) await commands.markSequenced([]);
  const floorMs = reads.clockFloorMs();
  if (latest !== null && latest.timeMs > floorMs)
    throw new TrustWardenError("data_rolled_back", { reason: "state", kind: latest.kind, floorMs });
}
