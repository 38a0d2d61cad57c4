/**
 * What a group changed, as SQLite recorded it, in the form in which PostgreSQL applies it: whole rows by table and kind.
 *
 * @see sqlite.org, "Changesets and Patchsets", the file format
 */
import { encodeHex, parseUtf8 } from "@trustwarden/core/bytes.ts";
import { GroupNotKept } from "../replica.ts";
import type { SqliteDatabase, SqlValue } from "../sqlite-database.ts";

type Operation = "I" | "U" | "D";

/** The key of one changed row. */
interface ChangedRow {
  readonly table: string;
  readonly operation: Operation;
  /** Values in the order of the columns; null where the column is not of the key. */
  readonly values: readonly SqlValue[];
  readonly isKey: readonly boolean[];
}

/** Rows of one table that were inserted, updated or deleted. */
export interface TableChanges {
  /** Table. */
  readonly t: string;
  readonly o: Operation;
  readonly r: readonly Readonly<Record<string, string | number | null>>[];
}

const OPERATIONS: Readonly<Record<number, Operation>> = { 9: "D", 18: "I", 23: "U" };
/** Begins what changed of one table. */
export const TABLE_MARK = 0x54;

/**
 * The changes with whole rows, read where the group's transaction is still open. What is deleted comes first: an instant
 * later its place may be another row's.
 */
export function describeChanges(database: SqliteDatabase, recorded: Uint8Array): readonly TableChanges[] {
  const found = new Map<
    string,
    { readonly t: string; readonly o: Operation; readonly r: TableChanges["r"][number][] }
  >();
  for (const changed of parseChanges(recorded)) {
    const key = `${changed.operation} ${changed.table}`;
    const part = found.get(key) ?? { t: changed.table, o: changed.operation, r: [] };
    part.r.push(rowOf(database, changed));
    found.set(key, part);
  }
  return [...found.values()].toSorted((left, right) => (left.o < right.o ? -1 : left.o > right.o ? 1 : 0));
}

/** The tables of recorded changes. */
export function tablesOfChanges(recorded: Uint8Array): ReadonlySet<string> {
  return new Set([...parseChanges(recorded)].map(({ table }) => table));
}

/** A row as JSON that PostgreSQL reads as a row. @throws GroupNotKept for a text that it cannot hold. */
export function encodeRow(row: Readonly<Record<string, unknown>>): TableChanges["r"][number] {
  return Object.fromEntries(Object.entries(row).map(([name, value]) => [name, encodeValue(value)]));
}

function encodeValue(value: unknown): string | number | null {
  // PostgreSQL's texts have no such character: what was kept here with one could never be sent.
  if (typeof value === "string" && value.includes("\0")) throw new GroupNotKept("unfit");
  if (value === null || typeof value === "string" || typeof value === "number") return value;
  if (value instanceof Uint8Array) return `\\x${encodeHex(value)}`;
  throw new Error("a column is of no known type");
}

function rowOf(
  database: SqliteDatabase,
  { table, operation, values, isKey }: ChangedRow,
): TableChanges["r"][number] {
  const names = columnsOf(database, table);
  const keys = names.flatMap((name, at) => (isKey[at] === true ? [{ name, value: values[at] ?? null }] : []));
  if (operation === "D") return encodeRow(Object.fromEntries(keys.map(({ name, value }) => [name, value])));
  const where = keys.map(({ name }) => `"${name}" = ?`).join(" AND ");
  const row = database.get(`SELECT * FROM "${table}" WHERE ${where}`, ...keys.map(({ value }) => value));
  if (row === undefined) throw new Error("a changed row is there while its transaction is open");
  return encodeRow(row.values);
}

/** The names of a table's columns, in order; none for a table that is not here. */
export function columnsOf(database: SqliteDatabase, table: string): readonly string[] {
  return database.all("SELECT name FROM pragma_table_info(?)", table).map((row) => row.text("name"));
}

/** Reads the records one after the other; SQLite made them, so what does not fit is a bug. */
function* parseChanges(recorded: Uint8Array): Generator<ChangedRow> {
  const reader = new Reader(recorded);
  let table = "";
  let isKey: readonly boolean[] = [];
  while (!reader.isAtEnd) {
    const mark = reader.byte();
    if (mark === TABLE_MARK) {
      const columns = reader.varint();
      isKey = Array.from({ length: columns }, () => reader.byte() !== 0);
      table = reader.name();
      continue;
    }
    const operation = OPERATIONS[mark];
    if (operation === undefined) throw new Error("a changeset is made of inserts, updates and deletes");
    // Whether a trigger or a cascade made the change.
    reader.byte();
    const values = isKey.map(() => reader.value());
    // Of an update the new values follow; the key is among the old ones.
    if (operation === "U") for (const _ of isKey) reader.value();
    yield { table, operation, values, isKey };
  }
}

/** Reads forward through recorded changes. */
export class Reader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  get isAtEnd(): boolean {
    return this.#at >= this.#bytes.length;
  }

  /** Where the next is read. */
  get at(): number {
    return this.#at;
  }

  byte(): number {
    this.#at += 1;
    return this.#view.getUint8(this.#at - 1);
  }

  varint(): number {
    let value = 0;
    for (;;) {
      const byte = this.byte();
      value = value * 128 + (byte & 127);
      if (byte < 128) return value;
    }
  }

  name(): string {
    const end = this.#bytes.indexOf(0, this.#at);
    const text = parseUtf8(this.#bytes.subarray(this.#at, end));
    this.#at = end + 1;
    return text;
  }

  value(): SqlValue {
    switch (this.byte()) {
      case 0:
      case 5:
        return null;
      case 1:
        this.#at += 8;
        return Number(this.#view.getBigInt64(this.#at - 8));
      case 3:
        return parseUtf8(this.#block());
      case 4:
        return this.#block();
    }
    throw new Error("a strict table holds no other type");
  }

  #block(): Uint8Array {
    const length = this.varint();
    this.#at += length;
    return this.#bytes.slice(this.#at - length, this.#at);
  }
}
