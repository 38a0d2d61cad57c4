/** Events of a model's stream on their way: their words are searched, and those wait that may begin a secret. */
import { concatBytes } from "@trustwarden/core/bytes.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { parseJson } from "@trustwarden/core/json.ts";
import type { WatchedText } from "../watched-text.ts";
import { dataOfEvent } from "./event-stream.ts";
import { textDeltasOf } from "./text-deltas.ts";

/** Of one read, and those that wait. */
const MAX_HELD_BYTES = 8_388_608;

/** Owns the events that have not gone on yet. */
export class HeldEvents {
  readonly #text: WatchedText | null;
  #held: Uint8Array[] = [];
  #bytes = 0;

  /** @param text - null when there is nothing to look for. */
  constructor(text: WatchedText | null) {
    this.#text = text;
  }

  /** @throws TrustWardenError `canary_found`, `upstream_answer_refused`. */
  async push(event: Uint8Array): Promise<void> {
    if (this.#text !== null) await readWords(this.#text, event);
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
}

/** What does not parse holds no words that a reader could put together. */
async function readWords(text: WatchedText, event: Uint8Array): Promise<void> {
  const data = dataOfEvent(event);
  if (data === undefined) return;
  for (const delta of textDeltasOf(parseOrNull(data))) await text.push(delta.channel, delta.text);
}

function parseOrNull(data: string) {
  try {
    return parseJson(data, MAX_HELD_BYTES);
  } catch (error) {
    // Safe: the bytes of every event are searched besides.
    if (error instanceof TrustWardenError) return null;
    throw error;
  }
}
