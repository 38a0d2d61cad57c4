/**
 * Runs the commands that wait as one transaction, each in a savepoint of its own: one disk flush for all of them, and
 * a refused command leaves nothing behind.
 *
 * Replies are given out only after the commit. When the commit fails nobody knows what is on disk, so every command of
 * the group fails and the writer must not go on. A replica that does not take a group, and says so before the commit, is
 * no such failure: the group is rolled back, and whoever asked hears that the store is not available.
 */
import { type ErrorDetails, TrustWardenError } from "@trustwarden/core/error.ts";
import { removeEnded } from "./commands/claims.ts";
import { raiseClockFloor } from "./commands/clock.ts";
import { type CommandDeps, secondsOf } from "./commands/deps.ts";
import { GroupNotKept, type Rejection, type Replica } from "./replica.ts";
import { runCommand } from "./run-command.ts";
import type { SqliteDatabase } from "./sqlite-database.ts";
import type { WriterReply, WriterRequest } from "./writer-protocol.ts";

const MAX_MESSAGE_CHARS = 200;
/**
 * That an outbox row is in the ledger may be forgotten by a crash: the next start finds it there and marks it again. So a
 * group of nothing else waits for no disk, and half of all flushes are spared; the next commit carries it to disk.
 *
 * @see https://www.sqlite.org/pragma.html#pragma_synchronous
 */
const WITHOUT_FLUSH = "PRAGMA synchronous = NORMAL";
const WITH_FLUSH = "PRAGMA synchronous = FULL";

export interface GroupResult {
  readonly replies: readonly WriterReply[];
  /** True when the commit failed: what is on disk is unknown. */
  readonly isFatal: boolean;
  /** For whoever looks after the server. */
  readonly why?: ErrorDetails;
  /** Why the group was rolled back as a whole, where a replica did not take it. */
  readonly rejection?: Rejection;
}

/** Where groups are run and kept. */
export interface Groups {
  run(group: readonly WriterRequest[]): GroupResult;
  close(): void;
}

/** Runs a group in the given order and answers each command; never throws. */
export function runGroup(
  database: SqliteDatabase,
  deps: CommandDeps,
  requests: readonly WriterRequest[],
  replica?: Replica,
): GroupResult {
  const isForgettable = requests.every(({ kind }) => kind === "markSequenced");
  try {
    if (isForgettable) database.exec(WITHOUT_FLUSH);
    replica?.begin();
    database.exec("BEGIN IMMEDIATE");
  } catch (error) {
    replica?.end();
    // Nothing was begun, so nothing is in doubt: another process holds the file, or the disk is gone.
    const isFlushing = !isForgettable || canExec(database, WITH_FLUSH);
    return { replies: requests.map(({ id }) => unavailable(id, error)), isFatal: !isFlushing };
  }
  try {
    const replies = requests.map((request) => runInSavepoint(database, deps, request));
    keepHouse(database, requests, replies);
    replica?.keep(requests);
    database.exec("COMMIT");
    // Without it later commits would not be on disk when they are answered, so a failure is fatal.
    if (isForgettable) database.exec(WITH_FLUSH);
    return { replies, isFatal: false };
  } catch (error) {
    const replies = requests.map(({ id }) => unavailable(id, error));
    if (!(error instanceof GroupNotKept))
      return { replies, isFatal: true, why: { reason: messageOf(error) } };
    const { rejection } = error;
    return { replies, isFatal: rejection === "fenced" || !canExec(database, "ROLLBACK"), rejection };
  } finally {
    replica?.end();
  }
}

function runInSavepoint(database: SqliteDatabase, deps: CommandDeps, request: WriterRequest): WriterReply {
  database.exec("SAVEPOINT command");
  try {
    const value = runCommand(database, deps, request);
    database.exec("RELEASE command");
    return { id: request.id, isDone: true, value };
  } catch (error) {
    // Throws when SQLite has given up the whole transaction; then the group fails as one.
    database.exec("ROLLBACK TO command; RELEASE command");
    return formatRefusal(request.id, error);
  }
}

/** Raises the clock's floor to the latest command that succeeded, and removes some of what ended. */
function keepHouse(
  database: SqliteDatabase,
  requests: readonly WriterRequest[],
  replies: readonly WriterReply[],
): void {
  const contexts = requests.flatMap((request, index) =>
    replies[index]?.isDone === true && "command" in request && "context" in request.command
      ? [request.command.context]
      : [],
  );
  const latest = contexts.reduce((max, { nowMs }) => Math.max(max, nowMs), 0);
  if (latest === 0) return;
  raiseClockFloor(database, latest);
  removeEnded(database, secondsOf({ nowMs: latest }));
}

function formatRefusal(id: number, error: unknown): WriterReply {
  if (error instanceof TrustWardenError)
    return { id, isDone: false, code: error.code, details: error.details };
  return { id, isDone: false, code: "internal", details: { message: messageOf(error) } };
}

function unavailable(id: number, error: unknown): WriterReply {
  return { id, isDone: false, code: "store_unavailable", details: { message: messageOf(error) } };
}

function canExec(database: SqliteDatabase, sql: string): boolean {
  try {
    database.exec(sql);
    return true;
  } catch {
    // Safe to go on: the caller stops the writer.
    return false;
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message.slice(0, MAX_MESSAGE_CHARS) : "unknown";
}
