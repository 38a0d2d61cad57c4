/**
 * A connection to SQLite: prepared statements only, each prepared once, and rows that are read by type.
 *
 * SQL texts are constants of the calling files; values reach SQLite as bound parameters and in no other way.
 */
import { DatabaseSync, type DatabaseSyncOptions, type SQLOutputValue, type StatementSync } from "node:sqlite";

/** What can be bound. */
export type SqlValue = string | number | Uint8Array | null;

/** One result row; a column of another type than asked for is a bug in the schema or the query. */
export class Row {
  readonly #values: Readonly<Record<string, SQLOutputValue>>;

  constructor(values: Readonly<Record<string, SQLOutputValue>>) {
    this.#values = values;
  }

  /** Every column, as it came. */
  get values(): Readonly<Record<string, SQLOutputValue>> {
    return this.#values;
  }

  text(column: string): string {
    const value = this.#values[column];
    return typeof value === "string" ? value : mismatch(column);
  }

  textOrNull(column: string): string | null {
    return this.#values[column] === null ? null : this.text(column);
  }

  integer(column: string): number {
    const value = this.#values[column];
    return typeof value === "number" ? value : mismatch(column);
  }

  integerOrNull(column: string): number | null {
    return this.#values[column] === null ? null : this.integer(column);
  }

  bytesOrNull(column: string): Uint8Array | null {
    return this.#values[column] === null ? null : this.bytes(column);
  }

  bytes(column: string): Uint8Array {
    const value = this.#values[column];
    return value instanceof Uint8Array ? value : mismatch(column);
  }
}

/**
 * What changed on a connection: per row, from the first to the last state.
 *
 * @see sqlite.org, "The Session Extension"
 */
export interface ChangeRecorder {
  /** Empty when nothing is other than it was. */
  changes(): Uint8Array;
  close(): void;
}

/** One connection; owns its statements. Not shared between threads. */
export class SqliteDatabase {
  readonly #database: DatabaseSync;
  readonly #statements = new Map<string, StatementSync>();

  constructor(path: string, options: DatabaseSyncOptions) {
    this.#database = new DatabaseSync(path, options);
  }

  /** The first row, if any. */
  get(sql: string, ...values: readonly SqlValue[]): Row | undefined {
    const found = this.#prepare(sql).get(...values);
    return found === undefined ? undefined : new Row(found);
  }

  all(sql: string, ...values: readonly SqlValue[]): readonly Row[] {
    return this.#prepare(sql)
      .all(...values)
      .map((values) => new Row(values));
  }

  /** Rows one by one, for tables that are too large to be held at once. */
  *each(sql: string, ...values: readonly SqlValue[]): Generator<Row> {
    for (const row of this.#prepare(sql).iterate(...values)) yield new Row(row);
  }

  /** Runs a writing statement; the result says how many rows it changed. */
  run(sql: string, ...values: readonly SqlValue[]): { readonly changes: number; readonly lastId: number } {
    const { changes, lastInsertRowid } = this.#prepare(sql).run(...values);
    return { changes: Number(changes), lastId: Number(lastInsertRowid) };
  }

  /** Runs constant SQL without parameters: pragmas, tables, transaction control. */
  exec(sql: string): void {
    this.#database.exec(sql);
  }

  /** Notes what changes from now on. */
  recordChanges(): ChangeRecorder {
    const session = this.#database.createSession();
    return { changes: () => session.changeset(), close: () => session.close() };
  }

  /** Repeats recorded changes; false when they do not fit the rows that are here, and then none is made. */
  applyChanges(changes: Uint8Array): boolean {
    return this.#database.applyChangeset(changes);
  }

  /** Whether a transaction is open; a failed statement may have ended it. */
  isInTransaction(): boolean {
    return this.#database.isTransaction;
  }

  close(): void {
    this.#statements.clear();
    this.#database.close();
  }

  #prepare(sql: string): StatementSync {
    const known = this.#statements.get(sql);
    if (known !== undefined) return known;
    const statement = this.#database.prepare(sql);
    this.#statements.set(sql, statement);
    return statement;
  }
}

function mismatch(column: string): never {
  throw new Error(`column ${column} is not of the expected type`);
}
