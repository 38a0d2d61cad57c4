/** What servers keep for one another, in rows of the state's database. */
import type { Note, NoteKind, Notes } from "@trustwarden/core/notes.ts";
import type { PostgresLogin } from "../postgres-connect.ts";
import { PostgresSession, type SessionRow } from "../postgres-session.ts";

const READ =
  "select name, revision::float8 as revision, body from trustwarden_state_log.notes where kind = $1";
const KEEP = "select trustwarden_state_log.keep_note($1, $2, $3, $4)::float8 as revision";

/** Owns the session. */
export class PostgresNotes implements Notes {
  readonly #session: PostgresSession;

  /** @param login - asked for at each connection: a password may have changed. */
  constructor(login: () => PostgresLogin) {
    this.#session = new PostgresSession({ login, name: "trustwarden-notes" });
  }

  async readAll(kind: NoteKind): Promise<readonly Note[]> {
    const rows = await this.#session.query(`${READ} order by name`, [kind]);
    return rows.map(noteOf);
  }

  async read(kind: NoteKind, name: string): Promise<Note | undefined> {
    const [row] = await this.#session.query(`${READ} and name = $2`, [kind, name]);
    return row === undefined ? undefined : noteOf(row);
  }

  async keep({ kind, name, revision, body }: Parameters<Notes["keep"]>[0]): Promise<number | null> {
    const [row] = await this.#session.query(KEEP, [kind, name, revision, body]);
    return typeof row?.revision === "number" ? row.revision : null;
  }

  close(): Promise<void> {
    return this.#session.close();
  }
}

function noteOf({ name, revision, body }: SessionRow): Note {
  return { name: String(name), revision: Number(revision), body: String(body) };
}
