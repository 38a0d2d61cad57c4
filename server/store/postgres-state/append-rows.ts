/**
 * Appends that wait for the ledger's sequencer, in rows of the state's database.
 *
 * A session of its own, made anew when it is lost; whatever was under way then is in doubt.
 */
import type {
  AppendAnswer,
  AppendPost,
  AskedAppend,
  WaitingAppend,
} from "@trustwarden/core/agentledger/append-post.ts";
import { encodeBase64, parseBase64 } from "@trustwarden/core/bytes.ts";
import { isErrorCode, TrustWardenError } from "@trustwarden/core/error.ts";
import type { Client } from "pg";
import { connectPostgres, type PostgresLogin } from "../postgres-connect.ts";

const ASK = "select trustwarden_state_log.ask_appends($1)";
const ANSWER = "select trustwarden_state_log.answer_appends($1)";
const ANSWERED =
  "select id, position::float8 as index, refusal from trustwarden_state_log.appends where id = any($1) and is_answered";
const WAITING = `select id, entries, extract(epoch from asked_at)::float8 * 1000 as asked_ms
  from trustwarden_state_log.appends where not is_answered order by number limit 64`;
const CHANNEL = "trustwarden_appends";
/** A notice can be lost with its connection. */
const LOOK_MS = 250;
const STATEMENT_TIMEOUT_MS = 5000;

type Row = Readonly<Record<string, unknown>>;

/** Owns the connection. */
export class PostgresAppendPost implements AppendPost {
  readonly #login: () => PostgresLogin;
  readonly #listeners: (() => void)[] = [];
  readonly #look: NodeJS.Timeout;
  #connecting: Promise<Client> | null = null;
  /** The statement before: a session has one at a time. */
  #turn: Promise<unknown> = Promise.resolve();
  #isClosed = false;

  /** @param login - asked for at each connection: a password may have changed. */
  constructor(login: () => PostgresLogin) {
    this.#login = login;
    this.#look = setInterval(() => this.#tell(), LOOK_MS);
  }

  async ask(asked: readonly AskedAppend[]): Promise<void> {
    const rows = asked.map(({ id, entries }) => ({ id, entries: entries.map(encodeBase64) }));
    await this.#query(ASK, [JSON.stringify(rows)]);
  }

  async answersTo(ids: readonly string[]): Promise<ReadonlyMap<string, AppendAnswer>> {
    const rows = await this.#query(ANSWERED, [ids]);
    return new Map(rows.map((row) => [String(row.id), answerOf(row)]));
  }

  async waiting(): Promise<readonly WaitingAppend[]> {
    const rows = await this.#query(WAITING, []);
    return rows.map(({ id, entries, asked_ms: askedMs }) => ({
      id: String(id),
      entries: Array.isArray(entries) ? entries.map((entry) => parseBase64(String(entry))) : [],
      askedMs: Number(askedMs),
    }));
  }

  async answer(answers: ReadonlyMap<string, AppendAnswer>): Promise<void> {
    const rows = [...answers].map(([id, answer]) =>
      answer.kind === "placed" ? { id, position: answer.index } : { id, refusal: answer.code },
    );
    await this.#query(ANSWER, [JSON.stringify(rows)]);
  }

  watch(onNews: () => void): void {
    this.#listeners.push(onNews);
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    clearInterval(this.#look);
    await this.#drop();
  }

  #tell(): void {
    for (const listener of this.#listeners) listener();
  }

  /** @throws TrustWardenError `store_unavailable`. */
  #query(sql: string, values: unknown[]): Promise<readonly Row[]> {
    const asked = this.#turn.then(() => this.#run(sql, values));
    this.#turn = asked.catch(() => undefined);
    return asked;
  }

  async #run(sql: string, values: unknown[]): Promise<readonly Row[]> {
    try {
      if (this.#isClosed) throw new Error("closed");
      this.#connecting ??= this.#connect();
      const client = await this.#connecting;
      const { rows } = await client.query<Row>(sql, values);
      return rows;
    } catch (cause) {
      await this.#drop();
      throw new TrustWardenError("store_unavailable", { store: "postgres" }, { cause });
    }
  }

  async #connect(): Promise<Client> {
    const client = await connectPostgres(this.#login(), {
      name: "trustwarden-appends",
      statementTimeoutMs: STATEMENT_TIMEOUT_MS,
      answerTimeoutMs: STATEMENT_TIMEOUT_MS,
      settings: { search_path: "" },
    });
    client.on("notification", () => this.#tell());
    await client.query(`listen ${CHANNEL}`);
    return client;
  }

  async #drop(): Promise<void> {
    const connecting = this.#connecting;
    this.#connecting = null;
    // Safe: whoever waits for this session has its own refusal.
    await connecting?.then((client) => client.end()).catch(() => undefined);
  }
}

function answerOf({ index, refusal }: Row): AppendAnswer {
  if (typeof index === "number") return { kind: "placed", index };
  const code = typeof refusal === "string" && isErrorCode(refusal) ? refusal : "ledger_unavailable";
  return { kind: "refused", code };
}
