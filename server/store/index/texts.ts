/** Each text of the index once, with a number: names repeat in every event, numbers are small. */
import type { DatabaseSync, StatementSync } from "node:sqlite";

/** Kept in memory, each way; about 40 MB with long names. */
const MAX_KEPT = 200_000;

/** Owns the memory of a database's texts. A number, once given, stays. */
export class Texts {
  readonly #insert: StatementSync;
  readonly #findNumber: StatementSync;
  readonly #findText: StatementSync;
  readonly #numbers = new Map<string, number>();
  readonly #texts = new Map<number, string>();

  constructor(database: DatabaseSync) {
    this.#insert = database.prepare("INSERT INTO texts (text) VALUES (?)");
    this.#findNumber = database.prepare("SELECT id FROM texts WHERE text = ?");
    this.#findText = database.prepare("SELECT text FROM texts WHERE id = ?");
  }

  /** The number of a text, given now if it has none. */
  intern(text: string): number {
    return this.find(text) ?? this.#keepNumber(text, Number(this.#insert.run(text).lastInsertRowid));
  }

  /** The number of a text; undefined for one that no event has. */
  find(text: string): number | undefined {
    const known = this.#numbers.get(text);
    if (known !== undefined) return known;
    const row = this.#findNumber.get(text);
    return row === undefined ? undefined : this.#keepNumber(text, Number(row.id));
  }

  /** The text of a number that `intern` gave. */
  read(number: number): string {
    const known = this.#texts.get(number);
    if (known !== undefined) return known;
    const text = String(this.#findText.get(number)?.text ?? "");
    if (this.#texts.size >= MAX_KEPT) this.#texts.clear();
    this.#texts.set(number, text);
    return text;
  }

  #keepNumber(text: string, number: number): number {
    if (this.#numbers.size >= MAX_KEPT) this.#numbers.clear();
    this.#numbers.set(text, number);
    return number;
  }
}
