/**
 * Opens the ledger of a server that shares it: the seat from which one of them sequences it, and what every one of them,
 * that one too, has of it. With `parts.ts` and `build.ts` the only place that knows the adapters.
 */
import { issueAcknowledgementAs } from "@trustwarden/core/agentledger/acknowledgement.ts";
import type { HighWater } from "@trustwarden/core/agentledger/ports.ts";
import type { ShardedLog } from "@trustwarden/core/agentledger/sharded-log.ts";
import {
  createNoteSigner,
  formatVkey,
  type NoteSigner,
  rawEd25519Key,
} from "@trustwarden/core/agentledger/signed-note.ts";
import { encodeHex } from "@trustwarden/core/bytes.ts";
import { type ErrorCode, TrustWardenError } from "@trustwarden/core/error.ts";
import type { Random } from "@trustwarden/core/id.ts";
import type { Notes } from "@trustwarden/core/notes.ts";
import type { Notices } from "@trustwarden/core/notices.ts";
import type { ServerConfig } from "../config.ts";
import type { EventLog } from "../http/services.ts";
import type { ServerKeys } from "../keys.ts";
import { CarriedAppends } from "../ledger/carried-appends.ts";
import { createLedgerStorage } from "../ledger-storage.ts";
import { readPrivateFile } from "../signer/private-file.ts";
import { PostgresLogTail } from "../store/postgres-log-tail.ts";
import { openPostgresLogin } from "../store/postgres-login.ts";
import { PostgresAppendPost } from "../store/postgres-state/append-rows.ts";
import { PostgresNotes } from "../store/postgres-state/note-rows.ts";
import { PostgresUseRows } from "../store/postgres-state/use-rows.ts";
import { FollowedDecisions } from "./followed-decisions.ts";
import { FollowedLog } from "./followed-log.ts";
import { SeatDuties } from "./seat-duties.ts";
import { SeatMarks } from "./seat-marks.ts";
import { SequencerSeat } from "./sequencer-seat.ts";
import { SharedUses, type Uses } from "./uses.ts";

const ID_BYTES = 16;

/** What servers that share a store and a ledger work over. */
export interface SharedLedger {
  readonly log: FollowedLog;
  readonly appends: CarriedAppends;
  readonly uses: Uses;
  readonly notes: Notes;
  /** Where the database itself does not say that there is news. */
  readonly notices: Notices | undefined;
  /** Of all of them, for whoever watches. */
  readonly decided: FollowedDecisions;
  /** What one of them does for all. */
  readonly duties: SeatDuties;
}

export interface OpenSharedLogOptions {
  readonly config: ServerConfig;
  readonly keys: Pick<ServerKeys, "logKeys">;
  readonly origin: string;
  readonly random: Random;
  readonly log: EventLog;
  /** Unix milliseconds. */
  readonly nowMs: () => number;
  readonly cleanups: (() => Promise<void> | void)[];
  /** A log that is started by whoever has the seat. @param cleanups - take how its storage is let go. */
  readonly createLog: (
    onFatal: (error: unknown) => void,
    cleanups: (() => void)[],
    marks: SeatMarks,
  ) => ShardedLog;
  readonly highWater: HighWater;
  readonly onEntry: (position: number, entry: Uint8Array) => void;
  readonly onFatal: (error: unknown) => void;
}

/**
 * Begins to wait for the seat, and follows the ledger to its end.
 *
 * @throws TrustWardenError `config_invalid`, `ledger_unavailable`, `ledger_corrupt`, `store_unavailable`.
 */
export async function openSharedLog(options: OpenSharedLogOptions): Promise<SharedLedger> {
  const { config, keys, origin, random, nowMs, cleanups, onEntry } = options;
  const { state, ledger } = config;
  if (state.storage !== "postgres" || ledger.storage !== "postgres")
    throw new TrustWardenError("config_invalid", { setting: "state.servers" });
  const { sessionTimeoutMs: _, statementTimeoutMs: __, ...login } = state.postgres;
  const { sessionTimeoutMs: ___, ...ledgerLogin } = ledger.postgres;
  const loginOfState = () => openPostgresLogin(login, "state.postgres", readPrivateFile);
  const notices = await openNotices(options);
  const post = new PostgresAppendPost(loginOfState, notices);
  const tail = new PostgresLogTail(() => openPostgresLogin(ledgerLogin, "ledger.postgres", readPrivateFile));
  const useRows = new PostgresUseRows(loginOfState);
  const notes = new PostgresNotes(loginOfState);
  const sessions = [post, tail, useRows, notes];
  cleanups.push(() => Promise.all(sessions.map((session) => session.close())).then(() => undefined));
  // A ledger that other servers share keeps its key, which may be another than that of its name.
  let noteSigner: { readonly vkey: string; readonly signer: NoteSigner } | undefined;
  const signerOf = (vkey: string) => {
    if (noteSigner?.vkey !== vkey) {
      const signer = createNoteSigner({ name: origin, signer: keys.logKeys.signerOf(vkey) });
      noteSigner = { vkey, signer };
    }
    return noteSigner.signer;
  };
  const appends = new CarriedAppends({
    post,
    newId: () => encodeHex(random(ID_BYTES)),
    acknowledge: (place) =>
      issueAcknowledgementAs(
        { origin, acknowledgedAt: Math.floor(nowMs() / 1000), ...place },
        signerOf(log.current.vkey),
      ),
  });
  const decided = new FollowedDecisions();
  const log = new FollowedLog({
    ledger: origin,
    vkey: formatVkey(origin, rawEd25519Key(keys.logKeys.first)),
    tail,
    readerOf: (shard) => {
      const opened = createLedgerStorage(config, { origin, shard, nowMs, onLost: () => undefined });
      cleanups.push(opened.close);
      return opened.reader;
    },
    append: (entries, id) => appends.append(entries, id),
    turn: (name) => seat.turn(name),
    onEntry: (position, entry) => {
      decided.see(entry);
      onEntry(position, entry);
    },
  });
  const duties = new SeatDuties();
  const openPost = () => new PostgresAppendPost(loginOfState, notices);
  const seat = openSeat(options, { openPost, followed: log, duties });
  cleanups.push(() => seat.close());
  post.watch(() => log.look());
  await log.start().catch((error: unknown) => {
    throw explained(error, seat.trouble);
  });
  cleanups.push(() => log.stop());
  return { log, appends, uses: new SharedUses(useRows), notes, notices, decided, duties };
}

/** A library that only such a server has: it is loaded where it is asked for. */
async function openNotices({ config, log, cleanups }: OpenSharedLogOptions): Promise<Notices | undefined> {
  const { state } = config;
  if (state.storage !== "postgres" || state.notices === undefined) return undefined;
  const { NatsNotices } = await import("../nats/nats-notices.ts");
  const notices = new NatsNotices({
    settings: state.notices,
    name: "trustwarden",
    onLink: (isLinked) =>
      isLinked
        ? log.info({}, "NATS carries the notices of the servers")
        : log.warn({}, "NATS is away: what other servers write is looked for by the clock"),
  });
  cleanups.push(() => notices.close());
  return notices;
}

function openSeat(
  { log, createLog, highWater, onFatal }: OpenSharedLogOptions,
  made: {
    readonly openPost: () => PostgresAppendPost;
    readonly followed: FollowedLog;
    readonly duties: SeatDuties;
  },
): SequencerSeat {
  const { openPost, followed, duties } = made;
  return new SequencerSeat({
    open: (onLost) => {
      const closes: (() => void)[] = [];
      return {
        log: createLog(onLost, closes, new SeatMarks({ highWater, log: followed })),
        post: openPost(),
        close: () => endAll(closes),
      };
    },
    onSeated: async () => {
      log.info({}, "this server sequences the ledger");
      const end = async (): Promise<void> => {
        await duties.end();
        log.info({}, "this server sequences the ledger no more");
      };
      try {
        await duties.begin();
      } catch (error) {
        // Whoever could not begin all of it has no seat, and does none of it.
        await end();
        throw error;
      }
      return end;
    },
    onTrouble: (code) => log.warn({ code }, "this server cannot sequence the ledger now, and tries again"),
    onFatal,
  });
}

/** A ledger that nobody begins: why this server, which may be the only one, does not. */
function explained(error: unknown, because: ErrorCode | null): unknown {
  if (because === null || !(error instanceof TrustWardenError)) return error;
  return new TrustWardenError(error.code, { ...error.details, because }, { cause: error });
}

function endAll(ends: readonly (() => void)[]): void {
  for (const end of ends) end();
}
