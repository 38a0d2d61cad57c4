/**
 * The writer's end of its connection to PostgreSQL: asks, and waits in place for the answer.
 *
 * Waiting blocks the writer's thread, and nothing else: reads, decisions and leases are in other threads.
 */
import { extname } from "node:path";
import { fileURLToPath } from "node:url";
import { MessageChannel, receiveMessageOnPort, Worker } from "node:worker_threads";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type {
  ConnectionAnswer,
  ConnectionData,
  ConnectionEvent,
  ConnectionRequest,
  PostgresRow,
  PostgresValue,
  StateSettings,
} from "./protocol.ts";

/** The connection's thread gives up by itself, long before; this is for one that hangs. */
const MARGIN_MS = 30_000;

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

  /** @param onEvent - told between the writer's groups, never inside one. */
  constructor(settings: StateSettings, onEvent: (event: ConnectionEvent) => void) {
    const { port1, port2 } = new MessageChannel();
    const { login, sessionTimeoutMs, statementTimeoutMs } = settings;
    const workerData: ConnectionData = {
      login,
      sessionTimeoutMs,
      statementTimeoutMs,
      requests: port2,
      answered: this.#answered,
    };
    const file = `./connection-thread${extname(fileURLToPath(import.meta.url))}`;
    this.#port = port1;
    this.#maxWaitMs = statementTimeoutMs + MARGIN_MS;
    this.#thread = new Worker(new URL(file, import.meta.url), { workerData, transferList: [port2], env: {} });
    this.#thread.on("message", onEvent);
    // It ends only with an error of its own; whoever waits finds out by its silence.
    this.#thread.on("error", () => onEvent({ kind: "lost" }));
  }

  /** @throws StatementFailure `store_unavailable`, `config_invalid`, `file_mode_too_open`. */
  connect(): void {
    this.#ask({ kind: "connect" });
  }

  /** @throws StatementFailure `store_unavailable`. */
  query(sql: string, ...values: readonly PostgresValue[]): readonly PostgresRow[] {
    return this.#ask({ kind: "query", sql, values });
  }

  close(): void {
    this.#ask({ kind: "close" });
    this.#port.close();
  }

  #ask(request: ConnectionRequest): readonly PostgresRow[] {
    const before = Atomics.load(this.#answered, 0);
    this.#port.postMessage(request);
    Atomics.wait(this.#answered, 0, before, this.#maxWaitMs);
    const answer: ConnectionAnswer | undefined = receiveMessageOnPort(this.#port)?.message;
    if (answer?.kind === "rows") return answer.rows;
    throw new StatementFailure(answer ?? SILENCE);
  }
}

const SILENCE = {
  kind: "failed",
  code: "store_unavailable",
  details: { store: "postgres", reason: "the connection's thread does not answer" },
  sqlState: "",
  isInDoubt: true,
} as const;
