/**
 * The thread that holds the connection to PostgreSQL, so that the writer's thread can wait for an answer without an
 * `await` inside its transaction.
 *
 * Answers one request at a time. A connection that is lost is made anew, with pauses that grow and differ; whose turn it
 * is to write afterwards is the writer's to find out.
 */

import { randomInt } from "node:crypto";
import { setTimeout } from "node:timers/promises";
import { parentPort, workerData } from "node:worker_threads";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { type Client, DatabaseError } from "pg";
import { readPrivateFile } from "../../signer/private-file.ts";
import { connectPostgres, requireDurable } from "../postgres-connect.ts";
import { openPostgresLogin } from "../postgres-login.ts";
import type {
  Answered,
  Asked,
  ConnectionAnswer,
  ConnectionData,
  ConnectionEvent,
  ConnectionRequest,
  PostgresRow,
} from "./protocol.ts";

const SETTING = "state.postgres";
/** Signs of life in one timeout of the session. */
const BEATS = 6;
/** Of the session's timeout: a sign that is not answered for so long means that the session will end. */
const BEAT_SHARE = 1 / 3;
/** Of the time that the writer waits for a statement. */
const OWN_SHARE = 3 / 4;
const FIRST_PAUSE_MS = 100;
/** Nothing is issued before the next try, and one costs the database little. */
const MAX_PAUSE_MS = 1000;
/** A try that began when the network was cut hears nothing when it is whole again; so most of them end soon. */
const TRY_TIMEOUT_MS = 2000;
/** Every so often one has all the time that a first connection has, for a database that is busy. */
const PATIENT_EVERY = 4;
/** A transaction that its writer forgot would hold rows for ever. */
const IDLE_IN_TRANSACTION_MS = 60_000;
const INT8 = 20;
/** The function that applies a group says its number there. */
const CHANNEL = "trustwarden_state";
/** A notice can be lost with its connection; whoever did not hear one looks for himself. */
const LOOK_MS = 500;

const data: ConnectionData = workerData;
let client: Client | null = null;
let isClosing = false;
/** Statements that the database has been asked and has not answered. */
let open = 0;
/** The sign of life that is under way: the driver takes one statement at a time. */
let beating: Promise<void> | undefined;

data.requests.on("message", ({ id, request }: Asked) => {
  void answer(request).then((found) => {
    const answered: Answered = { id, answer: found };
    data.requests.postMessage(answered);
    Atomics.add(data.answered, 0, 1);
    Atomics.notify(data.answered, 0);
    if (request.kind === "close") data.requests.close();
  });
});

async function answer(request: ConnectionRequest): Promise<ConnectionAnswer> {
  try {
    switch (request.kind) {
      case "connect":
        await connect();
        return { kind: "rows", rows: [] };
      case "query":
        return { kind: "rows", rows: await query(request) };
      case "close":
        isClosing = true;
        await client?.end();
        return { kind: "rows", rows: [] };
    }
  } catch (error) {
    return asFailure(error);
  }
}

async function query({
  sql,
  values,
}: Extract<ConnectionRequest, { kind: "query" }>): Promise<readonly PostgresRow[]> {
  const used = client;
  if (used === null) throw new TrustWardenError("store_unavailable", { reason: "the database is away" });
  open += 1;
  try {
    const statement = {
      text: sql,
      values: values.map((value) => (value instanceof Uint8Array ? bufferOf(value) : value)),
      query_timeout: await afterBeat(used),
    };
    const result = await used.query<PostgresRow>(statement);
    return result.rows.map(withOwnBytes);
  } catch (error) {
    // Whoever got no answer, or the database's last word, has no session any more.
    if (!isRefusal(error)) void used.end().catch(() => undefined);
    throw error;
  } finally {
    open -= 1;
  }
}

/**
 * Waits for the sign of life before a statement. @returns the milliseconds that are left for the statement.
 *
 * @throws TrustWardenError `store_unavailable` where the session is lost over it: nothing was sent.
 */
async function afterBeat(used: Client): Promise<number> {
  const { statementTimeoutMs } = data;
  if (beating === undefined) return statementTimeoutMs;
  const fromMs = performance.now();
  await Promise.race([beating, setTimeout(statementTimeoutMs, undefined, { ref: false })]);
  const leftMs = Math.ceil(fromMs + statementTimeoutMs - performance.now());
  if (beating === undefined && client === used && leftMs > 0) return leftMs;
  void used.end().catch(() => undefined);
  throw new TrustWardenError("store_unavailable", { reason: "the database is away" });
}

/** Makes the session, and goes on making it anew whenever it is lost. */
async function connect(connectTimeoutMs?: number): Promise<void> {
  const { login, sessionTimeoutMs, statementTimeoutMs } = data;
  // The database gives up first, so that what it was too busy for is known not to be there.
  const ownTimeoutMs = Math.ceil(statementTimeoutMs * OWN_SHARE);
  const made = await connectPostgres(openPostgresLogin(login, SETTING, readPrivateFile), {
    name: "trustwarden-state",
    statementTimeoutMs: ownTimeoutMs,
    answerTimeoutMs: statementTimeoutMs,
    ...(connectTimeoutMs !== undefined && { connectTimeoutMs }),
    settings: {
      search_path: "trustwarden_state",
      idle_session_timeout: String(sessionTimeoutMs),
      idle_in_transaction_session_timeout: String(IDLE_IN_TRANSACTION_MS),
      lock_timeout: String(ownTimeoutMs),
    },
    types: { getTypeParser: parserOf },
  });
  try {
    await requireDurable(made, SETTING);
  } catch (error) {
    await made.end();
    throw error;
  }
  if (isClosing) {
    await made.end();
    return;
  }
  if (data.isShared) await listen(made);
  client = made;
  const heart = setInterval(
    () => {
      // A statement that is under way is a sign of life, and has an end of its own.
      if (open > 0 || beating !== undefined) return;
      beating = beat(made).finally(() => {
        beating = undefined;
      });
    },
    Math.ceil(sessionTimeoutMs / BEATS),
  );
  made.once("end", () => {
    clearInterval(heart);
    client = null;
    if (isClosing) return;
    tell({ kind: "lost" });
    void reconnect();
  });
}

/** Hears of what other servers write, at once or a little later. */
async function listen(made: Client): Promise<void> {
  if (data.hasNotices !== true) {
    const { rows } = await made.query("select pg_backend_pid() as own");
    made.on("notification", ({ processId }) => {
      if (processId !== rows[0]?.own) tell({ kind: "written" });
    });
    await made.query(`listen ${CHANNEL}`);
  }
  const look = setInterval(() => tell({ kind: "written" }), LOOK_MS);
  made.once("end", () => clearInterval(look));
}

/** Known to be lost well before the database gives the place to another: whoever waits behind it counts on that. */
async function beat(client: Client): Promise<void> {
  try {
    const sign = { text: "select 1", query_timeout: Math.ceil(data.sessionTimeoutMs * BEAT_SHARE) };
    await client.query(sign);
  } catch {
    // The session is over either way; its end is what is acted on.
    await client.end().catch(() => undefined);
  }
}

async function reconnect(): Promise<void> {
  for (let tries = 1; !isClosing; tries += 1) {
    const pauseMs = Math.min(FIRST_PAUSE_MS * 2 ** (tries - 1), MAX_PAUSE_MS);
    // Jitter, so that servers that lost one database together do not come back together.
    await setTimeout(randomInt(pauseMs / 2, pauseMs));
    try {
      await connect(tries % PATIENT_EVERY === 0 ? undefined : TRY_TIMEOUT_MS);
      tell({ kind: "linked" });
      return;
    } catch {
      // Tried again until it works: that the database is away was said when it went.
    }
  }
}

/** Whether the database refused the statement, and the session goes on. */
function isRefusal(error: unknown): boolean {
  return error instanceof DatabaseError && error.severity === "ERROR";
}

/** The database's sentence may quote values; its code says enough. */
function asFailure(error: unknown): ConnectionAnswer {
  const sqlState = error instanceof DatabaseError ? (error.code ?? "") : "";
  const isOurs = error instanceof TrustWardenError;
  return {
    kind: "failed",
    code:
      isOurs && (error.code === "config_invalid" || error.code === "file_mode_too_open")
        ? error.code
        : "store_unavailable",
    details: isOurs ? error.details : { store: "postgres", sqlState },
    sqlState,
    isInDoubt: !isOurs && !isRefusal(error),
  };
}

function parserOf(oid: number): (text: string) => unknown {
  if (oid === INT8) return Number;
  if (oid === 17) return (text) => Buffer.from(text.slice(2), "hex");
  if (oid === 16) return (text) => text === "t";
  return (text) => text;
}

/** The driver's bytes lie in memory that many share, all of which would cross to the other thread. */
function withOwnBytes(row: PostgresRow): PostgresRow {
  return Object.fromEntries(
    Object.entries(row).map(([name, value]) => [
      name,
      Buffer.isBuffer(value) ? new Uint8Array(value) : value,
    ]),
  );
}

function bufferOf({ buffer, byteOffset, length }: Uint8Array): Buffer {
  return Buffer.from(buffer, byteOffset, length);
}

function tell(event: ConnectionEvent): void {
  parentPort?.postMessage(event);
}
