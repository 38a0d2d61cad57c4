/** Events of a stream on their way: their words are searched, and those wait that may begin a secret. */
import { concatBytes } from "@trustwarden/core/bytes.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { type Json, parseJson } from "@trustwarden/core/json.ts";
import { dataOfEvent } from "./event-stream.ts";
import type { TextDelta } from "./llm/text-deltas.ts";
import type { WatchedText } from "./watched-text.ts";

/** Of one read, and those that wait. */
const MAX_HELD_BYTES = 8_388_608;

/** The pieces of text in an event. @param event - its data, parsed where that is JSON. */
export type ReadDeltas = (event: Json) => readonly TextDelta[];

/** Owns the events that have not gone on yet. */
export class HeldEvents {
  readonly #text: WatchedText | null;
  readonly #readDeltas: ReadDeltas;
  #held: Uint8Array[] = [];
  #bytes = 0;

  /** @param text - null when there is nothing to look for. */
  constructor(text: WatchedText | null, readDeltas: ReadDeltas) {
    this.#text = text;
    this.#readDeltas = readDeltas;
  }

  /** @throws TrustWardenError `canary_found`, `upstream_answer_refused`. */
  async push(event: Uint8Array): Promise<void> {
    if (this.#text !== null) await this.#readWords(this.#text, event);
    this.#held.push(event);
    this.#bytes += event.length;
    if (this.#bytes > MAX_HELD_BYTES)
      throw new TrustWardenError("upstream_answer_refused", {
        reason: "what may be a secret goes on and on",
      });
  }

  /** What may go on now; empty while the last words may begin a secret. */
  take(): Uint8Array {
    return this.#text?.isSettled === false ? new Uint8Array() : this.rest();
  }

  /** Everything: nothing follows, so nothing was a beginning. */
  rest(): Uint8Array {
    const all = concatBytes(...this.#held);
    this.#held = [];
    this.#bytes = 0;
    return all;
  }

  async #readWords(text: WatchedText, event: Uint8Array): Promise<void> {
    const data = dataOfEvent(event);
    if (data === undefined) return;
    for (const delta of this.#readDeltas(parseOrText(data))) await text.push(delta.channel, delta.text);
  }
}

/** What does not parse is the words themselves. */
function parseOrText(data: string): Json {
  try {
    return parseJson(data, MAX_HELD_BYTES);
  } catch (error) {
    if (error instanceof TrustWardenError) return data;
    throw error;
  }
}
