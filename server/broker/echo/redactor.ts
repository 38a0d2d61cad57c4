/** Masks what a scanner finds, in a stream: each byte becomes `*`, so that lengths and frames stay as they were. */
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { EchoRedactor, HeaderMap } from "../ports.ts";
import type { Automaton } from "./automaton.ts";
import { type Found, Scanner } from "./scanner.ts";

const MASK = 0x2a;
const EMPTY = new Uint8Array(0);
/** Nothing can be found in anything else. */
const PLAIN_CODINGS = ["identity", ""];

/** A redactor of one stream. */
export function createRedactor(automaton: Automaton): EchoRedactor {
  return new StreamRedactor(automaton);
}

/** Between calls `#held` are the bytes from `#from` on that were read and not given out. */
class StreamRedactor implements EchoRedactor {
  readonly #automaton: Automaton;
  readonly #scanner: Scanner;
  #found: Found[] = [];
  #held: Uint8Array = EMPTY;
  #from = 0;
  #echoes = 0;

  constructor(automaton: Automaton) {
    this.#automaton = automaton;
    this.#scanner = new Scanner(automaton, (found) => this.#found.push(found));
  }

  get echoes(): number {
    return this.#echoes;
  }

  push(chunk: Uint8Array): Uint8Array {
    this.#scanner.push(chunk);
    return this.#giveOut(chunk, this.#scanner.settled);
  }

  end(): Uint8Array {
    this.#scanner.end();
    return this.#giveOut(EMPTY, Number.POSITIVE_INFINITY);
  }

  headers<T extends HeaderMap>(headers: T): T {
    const coding = headers["content-encoding"];
    if (coding !== undefined && !PLAIN_CODINGS.includes(String(coding).trim().toLowerCase())) {
      throw new TrustWardenError("upstream_answer_refused", { reason: "the answer is compressed" });
    }
    const masked: Record<string, string | readonly string[] | undefined> = {};
    for (const [name, value] of Object.entries(headers)) {
      masked[this.text(name)] =
        typeof value === "object" ? value.map((one) => this.text(one)) : this.#textOf(value);
    }
    // The one cast here: the same names with values of the same types.
    return masked as T;
  }

  text(text: string): string {
    const redactor = new StreamRedactor(this.#automaton);
    const bytes = Buffer.from(text, "utf8");
    const masked = Buffer.concat([redactor.push(bytes), redactor.end()]);
    this.#echoes += redactor.echoes;
    return redactor.echoes === 0 ? text : masked.toString("utf8");
  }

  #textOf(value: string | undefined): string | undefined {
    return value === undefined ? undefined : this.text(value);
  }

  #giveOut(chunk: Uint8Array, settled: number): Uint8Array {
    if (this.#held.length === 0 && this.#found.length === 0 && settled >= this.#from + chunk.length) {
      this.#from += chunk.length;
      return chunk;
    }
    const bytes = new Uint8Array(this.#held.length + chunk.length);
    bytes.set(this.#held);
    bytes.set(chunk, this.#held.length);
    for (const { start, end } of mergeFound(this.#found)) {
      bytes.fill(MASK, start - this.#from, end - this.#from);
      this.#echoes += 1;
    }
    this.#found = [];
    const length = Math.min(bytes.length, Math.max(0, settled - this.#from));
    this.#held = bytes.subarray(length);
    this.#from += length;
    return bytes.subarray(0, length);
  }
}

/** One echo may be found under several readings and in several forms: it is one. */
function mergeFound(found: readonly Found[]): readonly { readonly start: number; readonly end: number }[] {
  const merged: { start: number; end: number }[] = [];
  for (const { start, end } of found.toSorted((left, right) => left.start - right.start)) {
    const last = merged.at(-1);
    if (last !== undefined && start < last.end) last.end = Math.max(last.end, end);
    else merged.push({ start, end });
  }
  return merged;
}
