/** What counts once, in rows of the state's database. */
import type { ClaimedUse, UseRows } from "@trustwarden/core/use-rows.ts";
import type { PostgresLogin } from "../postgres-connect.ts";
import { PostgresSession } from "../postgres-session.ts";

const CLAIM = "select kind, name, mark from trustwarden_state_log.claim_uses($1)";

/** Owns the session. */
export class PostgresUseRows implements UseRows {
  readonly #session: PostgresSession;

  /** @param login - asked for at each connection: a password may have changed. */
  constructor(login: () => PostgresLogin) {
    this.#session = new PostgresSession({ login, name: "trustwarden-uses" });
  }

  async claim(uses: readonly ClaimedUse[]): ReturnType<UseRows["claim"]> {
    const rows = await this.#session.query(CLAIM, [JSON.stringify(uses)]);
    return rows.map(({ kind, name, mark }) => ({
      kind: String(kind),
      name: String(name),
      mark: String(mark),
    }));
  }

  close(): Promise<void> {
    return this.#session.close();
  }
}
