/**
 * The string values of a JSON, JSONC or JSON5 text with their places, so that one of them can be replaced and every other
 * byte of the file stays: comments, order, spelling.
 *
 * It reads what it can and stops where the text is none of the three; it is no validator.
 *
 * @see RFC 8259; https://spec.json5.org
 */

/** Deeper than any configuration, and no deeper than the stack. */
const MAX_DEPTH = 64;
/** One file's strings; more is data and not a configuration. */
const MAX_STRINGS = 100_000;

/** One string value. */
export interface JsonString {
  /** Member names and indexes from the root. */
  readonly path: readonly string[];
  /** As it stands between its quotes, escapes and all; ranges count in it. */
  readonly raw: string;
  /** Of the first character after the opening quote. */
  readonly start: number;
  /** Of the closing quote. */
  readonly end: number;
}

const SPACE = /(?:[\s\u{feff}]|\/\/[^\n]*|\/\*[\s\S]*?\*\/)*/uy;
const STRING = /"((?:[^"\\\n]|\\[\s\S])*)"|'((?:[^'\\\n]|\\[\s\S])*)'/y;
const BARE = /[^\s,:{}[\]"'/]+/y;

/** The string values of a text, and whether a bound ended the reading. */
interface JsonStrings {
  readonly strings: readonly JsonString[];
  readonly isCut: boolean;
}

/** The string values in their order; those before the first place that cannot be read. */
export function readJsonStrings(text: string): JsonStrings {
  const reader = new Reader(text);
  reader.readValue([]);
  const { strings, isCut } = reader;
  return { strings, isCut };
}

/** Owns the place in the text; each `read…` leaves it behind what it read, or says false and everything ends. */
class Reader {
  readonly strings: JsonString[] = [];
  isCut = false;
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  readValue(path: readonly string[]): boolean {
    this.#skipSpace();
    this.isCut = path.length > MAX_DEPTH || this.strings.length >= MAX_STRINGS;
    if (this.isCut) return false;
    const next = this.#text[this.#at];
    if (next === "{") return this.#readMembers(path, "}");
    if (next === "[") return this.#readMembers(path, "]");
    const string = this.#match(STRING);
    if (string === null) return this.#match(BARE) !== null;
    const [start, end] = [this.#at - string[0].length + 1, this.#at - 1];
    this.strings.push({ path, raw: this.#text.slice(start, end), start, end });
    return true;
  }

  #readMembers(path: readonly string[], close: "}" | "]"): boolean {
    this.#at += 1;
    for (let index = 0; ; index += 1) {
      this.#skipSpace();
      if (this.#take(close)) return true;
      const key = close === "]" ? String(index) : this.#readKey();
      if (key === undefined || !this.readValue([...path, key])) return false;
      this.#skipSpace();
      if (!this.#take(",")) return this.#take(close);
    }
  }

  #readKey(): string | undefined {
    const quoted = this.#match(STRING);
    const key = quoted?.[1] ?? quoted?.[2] ?? this.#match(BARE)?.[0];
    this.#skipSpace();
    return this.#take(":") ? key : undefined;
  }

  #match(pattern: RegExp): RegExpExecArray | null {
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.#text);
    if (found !== null) this.#at = pattern.lastIndex;
    return found;
  }

  #skipSpace(): void {
    this.#match(SPACE);
  }

  #take(character: string): boolean {
    if (this.#text[this.#at] !== character) return false;
    this.#at += 1;
    return true;
  }
}
