/**
 * The readings of a stream under which a secret is looked for: as it is, and with escapes undone.
 *
 * A reading turns bytes into bytes and remembers where in the stream each one was, so that what is found in it can be
 * masked there. Undoing escapes, and not escaping the secret, finds every spelling: `%2f` and `%2F`, any part of it
 * escaped or none.
 */

/** One byte of a reading, and the bytes of the stream that it was written with. */
export interface Placed {
  readonly byte: number;
  readonly start: number;
  readonly end: number;
}

type Emit = (placed: Placed) => void;

/** Not the beginning of an escape. */
const NO = -1;
/** Perhaps; more is needed. */
const MORE = -2;
/** An escape for nothing. */
const NOTHING = -3;
/** In no secret: stands for a character that is not ASCII. */
const OPAQUE = 0xff;

const PERCENT = 0x25;
const AMPERSAND = 0x26;
const BACKSLASH = 0x5c;
const LINE_FEED = 0x0a;
const CARRIAGE_RETURN = 0x0d;
const MAX_ASCII = 0x7f;

const HEX_DIGITS: Readonly<Record<string, number>> = { u: 4, x: 2 };
const JSON_LETTERS: Readonly<Record<string, number>> = {
  '"': 0x22,
  "'": 0x27,
  "/": 0x2f,
  "\\": BACKSLASH,
  b: 0x08,
  f: 0x0c,
  n: LINE_FEED,
  r: CARRIAGE_RETURN,
  t: 0x09,
};
const HTML_NAMES: Readonly<Record<string, number>> = {
  "&amp;": AMPERSAND,
  "&apos;": 0x27,
  "&gt;": 0x3e,
  "&lt;": 0x3c,
  "&quot;": 0x22,
};
const HTML_NUMBER = /^&#(?:[0-9]{1,5}|[xX][0-9A-Fa-f]{1,4});$/;
const HTML_BEGINNING = /^&(?:#(?:[0-9]{0,5}|[xX][0-9A-Fa-f]{0,4})|[a-z]{0,4})$/;

/** One kind of escape. */
interface Escape {
  /** Bytes that an escape begins with; anything else is itself. */
  readonly triggers: readonly number[];
  /** What the text stands for: a byte, `NO`, `MORE` or `NOTHING`. */
  readonly read: (text: string) => number;
}

const PERCENT_ESCAPE: Escape = {
  triggers: [PERCENT],
  read: (text) => readHex(text.slice(1), 2),
};

const JSON_ESCAPE: Escape = {
  triggers: [BACKSLASH],
  read: (text) => {
    const letter = text[1];
    if (letter === undefined) return MORE;
    const digits = HEX_DIGITS[letter];
    return digits === undefined ? (JSON_LETTERS[letter] ?? NO) : readHex(text.slice(2), digits);
  },
};

const HTML_ESCAPE: Escape = {
  triggers: [AMPERSAND],
  read: (text) => {
    const named = HTML_NAMES[text];
    if (named !== undefined) return named;
    if (HTML_NUMBER.test(text)) return toAscii(Number(text.slice(2, -1).replace(/^x/i, "0x")));
    return HTML_BEGINNING.test(text) ? MORE : NO;
  },
};

/** Base64 is often wrapped into lines. */
const LINE_END: Escape = { triggers: [LINE_FEED, CARRIAGE_RETURN], read: () => NOTHING };

/** The escapes of each reading, outermost first. JSON in JSON is how tools answer models. */
const READINGS: readonly (readonly Escape[])[] = [
  [PERCENT_ESCAPE],
  [JSON_ESCAPE],
  [HTML_ESCAPE],
  [LINE_END],
  [JSON_ESCAPE, JSON_ESCAPE],
  [JSON_ESCAPE, PERCENT_ESCAPE],
  [JSON_ESCAPE, LINE_END],
  [PERCENT_ESCAPE, PERCENT_ESCAPE],
];

/** A reading on its way through a stream. */
export interface Reading {
  readonly triggers: readonly number[];
  push(placed: Placed): void;
  /** What waits for its end is what it is. */
  end(): void;
  /** Where the bytes begin that may still be an escape; undefined when none wait. */
  waitsFrom(): number | undefined;
}

/** Every reading but that of the stream as it is. */
export function createReadings(emits: (index: number) => Emit): readonly Reading[] {
  return READINGS.map((escapes, index) => createReading(escapes, emits(index)));
}

function createReading(escapes: readonly Escape[], emit: Emit): Reading {
  const stages: Stage[] = [];
  for (const kind of escapes.toReversed()) {
    const [next] = stages;
    stages.unshift(new Stage(kind, next === undefined ? emit : (placed) => next.push(placed)));
  }
  const [first] = stages;
  if (first === undefined) throw new Error("a reading undoes something");
  return {
    triggers: [...new Set(escapes.flatMap(({ triggers }) => triggers))],
    push: (placed) => first.push(placed),
    end: () => {
      for (const stage of stages) stage.end();
    },
    // The last stage holds the oldest bytes.
    waitsFrom: () => stages.findLast((stage) => stage.waitsFrom !== undefined)?.waitsFrom,
  };
}

/** Undoes one kind of escape. Between calls `#waiting` is the beginning of one, or empty, and `#text` its characters. */
class Stage {
  readonly #escape: Escape;
  readonly #emit: Emit;
  #waiting: Placed[] = [];
  #text = "";

  constructor(kind: Escape, emit: Emit) {
    this.#escape = kind;
    this.#emit = emit;
  }

  get waitsFrom(): number | undefined {
    return this.#waiting[0]?.start;
  }

  push(placed: Placed): void {
    if (this.#waiting.length === 0 && !this.#escape.triggers.includes(placed.byte)) {
      this.#emit(placed);
      return;
    }
    this.#waiting.push(placed);
    this.#text += String.fromCharCode(placed.byte);
    this.#settle();
  }

  end(): void {
    const rest = this.#waiting;
    this.#forget();
    for (const placed of rest) this.#emit(placed);
  }

  /** An escape is at most eight bytes, so going over the rest again costs no more than a constant. */
  #settle(): void {
    for (let first = this.#waiting[0]; first !== undefined; first = this.#waiting[0]) {
      const read = this.#escape.triggers.includes(first.byte) ? this.#escape.read(this.#text) : NO;
      if (read === MORE) return;
      if (read === NO) {
        this.#waiting.shift();
        this.#text = this.#text.slice(1);
        this.#emit(first);
        continue;
      }
      const { end } = this.#waiting.at(-1) ?? first;
      this.#forget();
      if (read !== NOTHING) this.#emit({ byte: read, start: first.start, end });
    }
  }

  #forget(): void {
    this.#waiting = [];
    this.#text = "";
  }
}

function readHex(digits: string, count: number): number {
  if (!/^[0-9A-Fa-f]*$/.test(digits)) return NO;
  return digits.length < count ? MORE : toAscii(Number.parseInt(digits, 16));
}

function toAscii(code: number): number {
  return code <= MAX_ASCII ? code : OPAQUE;
}
