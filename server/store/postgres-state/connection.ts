/**
 * The writer's end of its connection to PostgreSQL: asks, and waits in place for the answer.
 *
 * Waiting blocks the writer's thread, and nothing else: reads, decisions and leases are in other threads.
 */

import { extname } from "node:path";
import { fileURLToPath } from "node:url";
import { MessageChannel, receiveMessageOnPort, Worker } from "node:worker_threads";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { threadEnvironment } from "../../thread-environment.ts";
import type {
  Answered,
  Asked,
  ConnectionAnswer,
  ConnectionData,
  ConnectionEvent,
  ConnectionRequest,
  PostgresRow,
  PostgresValue,
  StateSettings,
} from "./protocol.ts";

/** The connection's thread gives up by itself, before; this is for one that hangs. */
const MARGIN_MS = 1000;
/** A connection is made in several steps, each with its own end. */
const CONNECT_MARGIN_MS = 30_000;

/** Why a statement has no answer, or not the wanted one. */
export class StatementFailure extends TrustWardenError {
  /** Five characters of PostgreSQL's, or empty. */
  readonly sqlState: string;
  /** Nobody knows whether the statement was carried out. */
  readonly isInDoubt: boolean;

  constructor(answer: Extract<ConnectionAnswer, { readonly kind: "failed" }>) {
    super(answer.code, answer.details);
    this.sqlState = answer.sqlState;
    this.isInDoubt = answer.isInDoubt;
  }
}

/** Owns the thread. One statement at a time; not shared between threads. */
export class PostgresConnection {
  readonly #thread: Worker;
  readonly #port: MessageChannel["port1"];
  readonly #answered = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT));
  readonly #maxWaitMs: number;
  #asked = 0;

  /**
   * @param onEvent - told between the writer's groups, never inside one.
   * @param marginMs - how much longer than one statement may take its answer is waited for.
   */
  constructor(settings: StateSettings, onEvent: (event: ConnectionEvent) => void, marginMs = MARGIN_MS) {
    const { port1, port2 } = new MessageChannel();
    const { login, sessionTimeoutMs, statementTimeoutMs, isShared, hasNotices = false } = settings;
    const workerData: ConnectionData = {
      login,
      sessionTimeoutMs,
      statementTimeoutMs,
      isShared,
      hasNotices,
      requests: port2,
      answered: this.#answered,
    };
    const file = `./connection-thread${extname(fileURLToPath(import.meta.url))}`;
    this.#port = port1;
    this.#maxWaitMs = statementTimeoutMs + marginMs;
    this.#thread = new Worker(new URL(file, import.meta.url), {
      workerData,
      transferList: [port2],
      env: threadEnvironment(),
    });
    this.#thread.on("message", onEvent);
    // It ends only with an error of its own; whoever waits finds out by its silence.
    this.#thread.on("error", () => onEvent({ kind: "lost" }));
  }

  /** @throws StatementFailure `store_unavailable`, `config_invalid`, `file_mode_too_open`. */
  connect(): void {
    this.#ask({ kind: "connect" }, CONNECT_MARGIN_MS);
  }

  /** @throws StatementFailure `store_unavailable`. */
  query(sql: string, ...values: readonly PostgresValue[]): readonly PostgresRow[] {
    return this.#ask({ kind: "query", sql, values });
  }

  close(): void {
    this.#ask({ kind: "close" });
    this.#port.close();
  }

  #ask(request: ConnectionRequest, moreMs = 0): readonly PostgresRow[] {
    this.#asked += 1;
    const asked: Asked = { id: this.#asked, request };
    const untilMs = performance.now() + this.#maxWaitMs + moreMs;
    this.#port.postMessage(asked);
    for (;;) {
      const before = Atomics.load(this.#answered, 0);
      const answer = this.#answerTo(asked.id);
      if (answer?.kind === "rows") return answer.rows;
      if (answer !== undefined) throw new StatementFailure(answer);
      const leftMs = untilMs - performance.now();
      if (leftMs <= 0) throw new StatementFailure(SILENCE);
      Atomics.wait(this.#answered, 0, before, leftMs);
    }
  }

  /** Answers to what nobody waits for any more are dropped: taken for this one's, they would say that a group is kept. */
  #answerTo(id: number): ConnectionAnswer | undefined {
    for (;;) {
      const received: Answered | undefined = receiveMessageOnPort(this.#port)?.message;
      if (received === undefined || received.id === id) return received?.answer;
    }
  }
}

const SILENCE = {
  kind: "failed",
  code: "store_unavailable",
  details: { store: "postgres", reason: "the connection's thread does not answer" },
  sqlState: "",
  isInDoubt: true,
} as const;
