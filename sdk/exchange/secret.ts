/**
 * A secret that somebody gave us: shown to nobody by accident. What a log, a serialiser or an inspector sees of it is a
 * word; who needs the text asks for it.
 */
import { inspect } from "node:util";

const SHOWN = "Secret(hidden)";

/** Holds the text in a private field. */
export class Secret {
  readonly #text: string;

  constructor(text: string) {
    this.#text = text;
  }

  /** The secret itself; put it into a header or a request, and nowhere else. */
  reveal(): string {
    return this.#text;
  }

  toString(): string {
    return SHOWN;
  }

  toJSON(): string {
    return SHOWN;
  }

  [inspect.custom](): string {
    return SHOWN;
  }
}
