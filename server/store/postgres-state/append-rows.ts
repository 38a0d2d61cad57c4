/**
 * Appends that wait for the ledger's sequencer, in rows of the state's database.
 *
 * Over a session of its own; what was under way when that is lost is in doubt.
 */
import type {
  AppendAnswer,
  AppendPost,
  AskedAppend,
  WaitingAppend,
} from "@trustwarden/core/agentledger/append-post.ts";
import { encodeBase64, parseBase64 } from "@trustwarden/core/bytes.ts";
import { isErrorCode } from "@trustwarden/core/error.ts";
import type { Notices } from "@trustwarden/core/notices.ts";
import type { PostgresLogin } from "../postgres-connect.ts";
import { PostgresSession, type SessionRow } from "../postgres-session.ts";

const ASK = "select trustwarden_state_log.ask_appends($1)";
const ANSWER = "select trustwarden_state_log.answer_appends($1)";
const ANSWERED =
  "select id, position::float8 as index, refusal from trustwarden_state_log.appends where id = any($1) and is_answered";
const WAITING = `select id, entries, extract(epoch from asked_at)::float8 * 1000 as asked_ms
  from trustwarden_state_log.appends where not is_answered order by number limit 64`;
const CHANNEL = "trustwarden_appends";
/** A notice can be lost with its connection. */
const LOOK_MS = 250;

/** Owns the session. */
export class PostgresAppendPost implements AppendPost {
  readonly #session: PostgresSession;
  readonly #listeners: (() => void)[] = [];
  readonly #notices: Notices | undefined;
  readonly #look: NodeJS.Timeout;
  readonly #unwatch: () => void;

  /**
   * @param login - asked for at each connection: a password may have changed.
   * @param notices - by which the others are told; the database tells them without it.
   */
  constructor(login: () => PostgresLogin, notices?: Notices) {
    const onNotice = () => this.#tell();
    const own = { login, name: "trustwarden-appends" };
    this.#session = new PostgresSession(notices === undefined ? { ...own, channel: CHANNEL, onNotice } : own);
    this.#notices = notices;
    this.#unwatch = notices?.watch("appends", onNotice) ?? (() => undefined);
    this.#look = setInterval(onNotice, LOOK_MS);
  }

  async ask(asked: readonly AskedAppend[]): Promise<void> {
    const rows = asked.map(({ id, entries }) => ({ id, entries: entries.map(encodeBase64) }));
    await this.#session.query(ASK, [JSON.stringify(rows)]);
    this.#notices?.tell("appends");
  }

  async answersTo(ids: readonly string[]): Promise<ReadonlyMap<string, AppendAnswer>> {
    const rows = await this.#session.query(ANSWERED, [ids]);
    return new Map(rows.map((row) => [String(row.id), answerOf(row)]));
  }

  async waiting(): Promise<readonly WaitingAppend[]> {
    const rows = await this.#session.query(WAITING, []);
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
    await this.#session.query(ANSWER, [JSON.stringify(rows)]);
    this.#notices?.tell("appends");
  }

  watch(onNews: () => void): void {
    this.#listeners.push(onNews);
  }

  async close(): Promise<void> {
    this.#unwatch();
    clearInterval(this.#look);
    await this.#session.close();
  }

  #tell(): void {
    for (const listener of this.#listeners) listener();
  }
}

function answerOf({ index, refusal }: SessionRow): AppendAnswer {
  if (typeof index === "number") return { kind: "placed", index };
  const code = typeof refusal === "string" && isErrorCode(refusal) ? refusal : "ledger_unavailable";
  return { kind: "refused", code };
}
