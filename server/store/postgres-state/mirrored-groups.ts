/**
 * Runs the writer's groups on the copy of a state store that is in PostgreSQL, and tends the connection.
 *
 * While the database is away, what stops somebody and what only keeps books is kept here and sent later; everything else
 * is refused. Where another server would take over, this one ends instead of going on.
 */
import { deserialize } from "node:v8";
import type { AuthoritySlot } from "@trustwarden/core/agentid/authority-slots.ts";
import { encodeHex } from "@trustwarden/core/bytes.ts";
import { type ErrorCode, type ErrorDetails, TrustWardenError } from "@trustwarden/core/error.ts";
import { isAuthorityStop, loadAuthority } from "../commands/change-authority.ts";
import { isSecretStop } from "../commands/change-secret.ts";
import type { CommandDeps } from "../commands/deps.ts";
import { latestVersion, MIGRATIONS } from "../migrations/steps.ts";
import { openForWriting } from "../schema.ts";
import type { SqliteDatabase } from "../sqlite-database.ts";
import { type GroupResult, type Groups, runGroup } from "../writer-group.ts";
import type { StateNews, WriterReply, WriterRequest } from "../writer-protocol.ts";
import { PostgresConnection } from "./connection.ts";
import { waitingOf } from "./early-use.ts";
import { Mirror } from "./mirror.ts";
import { prepareMirror, readMirror } from "./mirror-file.ts";
import type { ConnectionEvent, StateSettings } from "./protocol.ts";
import { explainMissingSchema, RemoteStore } from "./remote-store.ts";

const ID_BYTES = 16;
/** Between attempts to write again over a connection that is there. */
const RETRY_MS = 250;
/** The database is another's, or is not what it was: only a start can tell. */
const ENDS: readonly ErrorCode[] = ["state_fenced", "data_rolled_back"];
/** A group that others were faster than is run again; one of them had its way each time, so that this is many. */
const MAX_RUNS = 100;
/** Between two looks whether servers of the version before are left. */
const SETTLE_MS = 5000;
const OUTBOX = "SELECT outbox_id FROM outbox ORDER BY outbox_id";

interface MirroredOptions {
  readonly dataDir: string;
  readonly settings: StateSettings;
  readonly deps: CommandDeps;
  readonly firstAuthority: readonly AuthoritySlot[];
  readonly onNews: (news: StateNews) => void;
  /** This server is the writer no longer, and must end. */
  readonly onFatal: (why: ErrorDetails) => void;
}

/**
 * Becomes the writer, and brings the copy up to the database.
 *
 * @throws TrustWardenError `config_invalid`, `file_mode_too_open`, `data_locked`, `store_unavailable`, and what the keys
 *   are refused with.
 */
export function openMirroredGroups(options: MirroredOptions): Groups {
  const { dataDir, deps, firstAuthority } = options;
  const database = openForWriting(dataDir, "state-mirror.db");
  const newId = () => encodeHex(deps.random(ID_BYTES));
  prepareMirror(database, newId());
  const groups = new MirroredGroups(options, { database, newId });
  try {
    groups.start();
    loadAuthority(database, deps, firstAuthority, groups.mirror);
    groups.repeatUnsent();
    return groups;
  } catch (error) {
    groups.abandon();
    throw explainMissingSchema(error);
  }
}

/** Owns file and connection. */
class MirroredGroups implements Groups {
  readonly mirror: Mirror;
  readonly #options: MirroredOptions;
  readonly #database: SqliteDatabase;
  readonly #connection: PostgresConnection;
  readonly #remote: RemoteStore;
  #unfit: readonly Uint8Array[] = [];
  #retry: NodeJS.Timeout | undefined;
  #isEnded = false;
  #nextSettleMs = 0;

  constructor(
    options: MirroredOptions,
    { database, newId }: { readonly database: SqliteDatabase; readonly newId: () => string },
  ) {
    this.#options = options;
    this.#database = database;
    this.#connection = new PostgresConnection(options.settings, (event) => this.#hear(event));
    this.#remote = new RemoteStore(this.#connection, options.settings);
    const { isShared, hasNotices } = options.settings;
    const onKept = () => {
      if (hasNotices === true) options.onNews({ kind: "kept" });
    };
    const waiting = waitingOf(MIGRATIONS);
    this.mirror = new Mirror({ database, remote: this.#remote, newId, isShared, waiting, onKept });
  }

  start(): void {
    this.#connect();
    const { holder } = readMirror(this.#database);
    const place = this.#remote.takeOver(holder, this.#options.settings, latestVersion(MIGRATIONS));
    this.#unfit = this.mirror.bringTogether(place, { isStart: true });
  }

  /** @throws TrustWardenError `store_unavailable` with what to do: only the database knows whether another server writes. */
  #connect(): void {
    try {
      this.#connection.connect();
    } catch (error) {
      if (!(error instanceof TrustWardenError) || error.code !== "store_unavailable") throw error;
      const reason =
        "the state database (`state.postgres`) does not let this server in: start it, or look at network and login; a server does not start without it";
      throw new TrustWardenError("store_unavailable", { ...error.details, reason }, { cause: error });
    }
  }

  /** Runs what was kept here alone and did not fit, as new commands: above all, whoever was stopped is stopped. */
  repeatUnsent(): void {
    for (const requests of this.#unfit) {
      // The writer of this file wrote them.
      const group: readonly WriterRequest[] = deserialize(requests);
      // What keeps books names rows that are not there any more.
      const stops = group.filter(isStop);
      if (stops.length === 0) continue;
      const { isFatal, replies } = this.run(stops);
      // One that names what is not there any more is refused, and that is its end; one that was not kept is not.
      if (isFatal || replies.some((reply) => !reply.isDone && reply.code === "store_unavailable"))
        throw new TrustWardenError("store_unavailable", { store: "postgres" });
    }
    this.mirror.forgetUnsent();
    this.#unfit = [];
  }

  run(group: readonly WriterRequest[]): GroupResult {
    if (this.mirror.isLinked) return this.#runLinked(group);
    // What is kept here alone would be upon what the others have changed meanwhile: they are there, and take it.
    if (this.#options.settings.isShared)
      return { replies: group.map(({ id }) => refuse(id)), isFatal: false };
    // A group in doubt may yet be before this one, and only a stop is worth running again for that.
    const mayGo = this.mirror.isInDoubt ? isStop : mayGoOn;
    const mayRun = group.filter(mayGo);
    const refused = group.filter((request) => !mayGo(request)).map(({ id }) => refuse(id));
    if (mayRun.length === 0) return { replies: refused, isFatal: false };
    const { replies, ...result } = this.#runApart(mayRun);
    return { ...result, replies: [...replies, ...refused] };
  }

  #runLinked(group: readonly WriterRequest[]): GroupResult {
    const result = this.#runApart(group);
    if (this.mirror.isLinked || result.rejection === undefined) return result;
    this.#leave();
    // The database is there: before anything is kept here alone, the copy becomes what the database is.
    if (result.rejection === "moved") this.#comeBack();
    // What the database certainly does not have is a stop that can be kept here at once.
    return result.rejection === "lost" && !result.isFatal && !this.#isEnded ? this.run(group) : result;
  }

  /** One of them may have what the database refuses; the others must not suffer for it. */
  #runApart(group: readonly WriterRequest[]): GroupResult {
    const result = this.#run(group);
    const isOfOne = result.rejection === "unfit" || result.rejection === "early";
    if (!isOfOne || result.isFatal || group.length === 1) return result;
    const single = group.map((request) => this.run([request]));
    return {
      replies: single.flatMap(({ replies }) => replies),
      isFatal: single.some(({ isFatal }) => isFatal),
    };
  }

  #run(group: readonly WriterRequest[]): GroupResult {
    const { deps } = this.#options;
    const hasNewSigners = group.some(({ kind }) => kind === "changeAuthority" || kind === "mendAuthority");
    // The signers change with such a command, also where its group is not kept in the end.
    const snapshot = () => (hasNewSigners ? deps.authority.snapshot() : undefined);
    let restore = snapshot();
    let result = runGroup(this.#database, deps, group, this.mirror);
    for (let runs = 1; result.rejection === "behind" && runs < MAX_RUNS; runs += 1) {
      restore?.();
      if (!this.#follow()) return result;
      // With the steps that others took meanwhile: what comes back is never what they put out of use.
      restore = snapshot();
      result = runGroup(this.#database, deps, group, this.mirror);
    }
    if (result.rejection === undefined || !hasNewSigners) return result;
    // Several servers read what the database has of it with the next group; one that is alone has no such moment.
    if (!this.#options.settings.isShared)
      return { ...result, isFatal: true, why: { reason: "a step of the authority was not kept" } };
    restore?.();
    return result;
  }

  /** Lets go of the store, and closes copy and connection. */
  close(): void {
    try {
      if (this.mirror.isLinked && !this.#isEnded) this.#remote.letGo();
    } catch {
      // Safe: whoever comes next under this name need not be let in, and another one has to ask the operator.
    }
    this.abandon();
  }

  /** Closes file and connection, whatever their state. */
  abandon(): void {
    this.#endConnection();
    this.#database.close();
  }

  #endConnection(): void {
    clearTimeout(this.#retry);
    if (!this.#isEnded) this.#connection.close();
    this.#isEnded = true;
  }

  /** This server writes no more: the lock is for whoever waits for it. */
  #fail(error?: unknown): void {
    this.mirror.unlink();
    this.#endConnection();
    this.#options.onFatal(whyOf(error));
  }

  #hear(event: ConnectionEvent): void {
    if (this.#isEnded) return;
    if (event.kind === "written") {
      if (this.mirror.isLinked && this.#follow()) this.#settle();
      return;
    }
    if (event.kind === "linked") {
      this.#comeBack();
      return;
    }
    const wasLinked = this.mirror.isLinked;
    this.mirror.unlink();
    if (wasLinked) this.#leave();
  }

  /** Reads what others wrote. @returns false where it cannot be had; a lost connection says so itself. */
  #follow(): boolean {
    try {
      const place = this.#remote.place();
      if (!this.mirror.isBehind(place)) return true;
      this.mirror.bringTogether(place, { isStart: false });
      this.#tellFollowed();
      return true;
    } catch (error) {
      // A key that is not here signs nothing: the servers that share a store have the same ones.
      if (!(error instanceof TrustWardenError) || error.code !== "store_unavailable") this.#fail(error);
      return false;
    }
  }

  /** Once servers of the version before are gone, the tables are this version's alone. */
  #settle(): void {
    const nowMs = performance.now();
    if (this.#remote.isSettled || nowMs < this.#nextSettleMs) return;
    this.#nextSettleMs = nowMs + SETTLE_MS;
    try {
      this.#remote.settle();
    } catch {
      // Safe: older servers are let in for as long as this fails, and it is tried again.
    }
  }

  #tellFollowed(): void {
    const { deps, firstAuthority, onNews } = this.#options;
    loadAuthority(this.#database, deps, firstAuthority, this.mirror);
    onNews({ kind: "followed", tables: this.mirror.takeFollowed() });
  }

  #leave(): void {
    const { goesOn, isShared } = this.#options.settings;
    if (!goesOn && !isShared) {
      this.#fail();
      return;
    }
    clearTimeout(this.#retry);
    this.#options.onNews({ kind: "link", isLinked: false, orphans: [] });
    // Where the connection is there and its group was refused, nobody says when to come back.
    this.#retry = setTimeout(() => this.#comeBack(), RETRY_MS);
  }

  #comeBack(): void {
    clearTimeout(this.#retry);
    if (this.#isEnded || this.mirror.isLinked) return;
    try {
      const place = this.#remote.comeBack();
      if (place === undefined) {
        this.#retry = setTimeout(() => this.#comeBack(), RETRY_MS);
        return;
      }
      const before = new Set(this.#outbox());
      this.mirror.bringTogether(place, { isStart: false });
      const { isShared } = this.#options.settings;
      // What others owe the ledger is theirs to bring in, or whoever's finds it lying there.
      const orphans = isShared ? [] : this.#outbox().filter((id) => !before.has(id));
      if (isShared) this.#tellFollowed();
      this.#options.onNews({ kind: "link", isLinked: true, orphans });
    } catch (error) {
      if (error instanceof TrustWardenError && ENDS.includes(error.code)) this.#fail(error);
      else this.#retry = setTimeout(() => this.#comeBack(), RETRY_MS);
    }
  }

  #outbox(): readonly number[] {
    return this.#database.all(OUTBOX).map((row) => row.integer("outbox_id"));
  }
}

/** What must not wait for a database: it takes somebody's right away. */
function isStop(request: WriterRequest): boolean {
  switch (request.kind) {
    case "revoke":
    case "narrow":
    case "revokeAccessToken":
      return true;
    case "changeSecret":
      return isSecretStop(request.command);
    case "changeAuthority":
      return isAuthorityStop(request.command);
    case "setFreeze":
      return request.command.freeze !== null;
    default:
      return false;
  }
}

/** Stops, and what gives nobody anything: marks, labels, what was used, lists of the revoked. */
function mayGoOn(request: WriterRequest): boolean {
  const books = ["markSequenced", "addLabels", "saveBudgetUse", "issueCrls", "issueStatusList"];
  return isStop(request) || books.includes(request.kind);
}

/** For the log: a server ends of it. */
function whyOf(error: unknown): ErrorDetails {
  if (error instanceof TrustWardenError) return { ...error.details, because: error.code };
  return {
    reason: error instanceof Error ? error.message : "the database is away, and another server takes over",
  };
}

function refuse(id: number): WriterReply {
  const details = { store: "postgres", reason: "the database is away" };
  return { id, isDone: false, code: "store_unavailable", details };
}
