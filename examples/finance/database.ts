/**
 * The finance service's own database: transactions and journal entries, in SQLite, with bound parameters only.
 *
 * Knows nothing of agents; who may do what was settled before any of this is called.
 */
import { DatabaseSync } from "node:sqlite";

export interface Transaction {
  readonly id: number;
  readonly account: string;
  readonly amountCents: number;
  readonly memo: string;
}

/** Rows that the service starts with, so that there is something real to read and to lose. */
const FIRST_ROWS: readonly Omit<Transaction, "id">[] = [
  { account: "rent", amountCents: -185_000, memo: "office, March" },
  { account: "sales", amountCents: 1_240_000, memo: "invoice 1041" },
  { account: "cloud", amountCents: -62_350, memo: "hosting" },
];

/** Owns the connection; every write is durable when its method returns. */
export class FinanceDatabase {
  readonly #database: DatabaseSync;

  /** @param path - file of the database; made when it does not exist. */
  constructor(path: string) {
    this.#database = new DatabaseSync(path);
    this.#database.exec(`
      PRAGMA journal_mode = WAL;
      CREATE TABLE IF NOT EXISTS transactions (
        id INTEGER PRIMARY KEY, account TEXT NOT NULL, amount_cents INTEGER NOT NULL, memo TEXT NOT NULL
      ) STRICT;
      CREATE TABLE IF NOT EXISTS journal (
        id INTEGER PRIMARY KEY, transaction_id INTEGER NOT NULL REFERENCES transactions (id), text TEXT NOT NULL
      ) STRICT;
    `);
    if (this.listTransactions().length === 0) for (const row of FIRST_ROWS) this.addTransaction(row);
  }

  listTransactions(): readonly Transaction[] {
    return this.#database
      .prepare("SELECT id, account, amount_cents, memo FROM transactions ORDER BY id LIMIT 1000")
      .all()
      .map(toTransaction);
  }

  findTransaction(id: number): Transaction | undefined {
    const row = this.#database
      .prepare("SELECT id, account, amount_cents, memo FROM transactions WHERE id = ?")
      .get(id);
    return row === undefined ? undefined : toTransaction(row);
  }

  /** @returns the new row's id. */
  addTransaction({ account, amountCents, memo }: Omit<Transaction, "id">): number {
    const { lastInsertRowid } = this.#database
      .prepare("INSERT INTO transactions (account, amount_cents, memo) VALUES (?, ?, ?)")
      .run(account, amountCents, memo);
    return Number(lastInsertRowid);
  }

  /** @returns whether there was such a row. */
  deleteTransaction(id: number): boolean {
    return this.#database.prepare("DELETE FROM transactions WHERE id = ?").run(id).changes > 0;
  }

  /** @returns the new entry's id. */
  addJournalEntry({
    transactionId,
    text,
  }: {
    readonly transactionId: number;
    readonly text: string;
  }): number {
    const { lastInsertRowid } = this.#database
      .prepare("INSERT INTO journal (transaction_id, text) VALUES (?, ?)")
      .run(transactionId, text);
    return Number(lastInsertRowid);
  }

  close(): void {
    this.#database.close();
  }
}

function toTransaction(row: Record<string, unknown>): Transaction {
  const { id, account, amount_cents: amountCents, memo } = row;
  return { id: Number(id), account: String(account), amountCents: Number(amountCents), memo: String(memo) };
}
