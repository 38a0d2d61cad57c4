/**
 * Server-sent events as they pass: cut into whole events, without changing a byte of them.
 *
 * @see https://html.spec.whatwg.org/multipage/server-sent-events.html
 */
import { concatBytes } from "@trustwarden/core/bytes.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";

/** No vendor sends larger ones; a stream without an end of event must not fill the memory. */
const MAX_EVENT_BYTES = 4_194_304;
const LINE_FEED = 0x0a;
const CARRIAGE_RETURN = 0x0d;

/** Owns the bytes of the event that is not whole yet. */
export class EventSplitter {
  #rest: Uint8Array = new Uint8Array();

  /** Whole events, each with the empty line that ends it. @throws TrustWardenError `upstream_answer_refused`. */
  push(part: Uint8Array): readonly Uint8Array[] {
    const bytes = this.#rest.length === 0 ? part : concatBytes(this.#rest, part);
    const events: Uint8Array[] = [];
    let start = 0;
    // What was searched before holds no end, but its last three bytes may begin one.
    for (let at = Math.max(0, this.#rest.length - 3); at < bytes.length; at += 1) {
      const end = endOfEvent(bytes, at);
      if (end === undefined) continue;
      events.push(bytes.subarray(start, end));
      start = end;
      at = end - 1;
    }
    this.#rest = bytes.slice(start);
    if (this.#rest.length > MAX_EVENT_BYTES)
      throw new TrustWardenError("upstream_answer_refused", { reason: "an event is too large" });
    return events;
  }

  /** What came after the last whole event. */
  end(): Uint8Array {
    return this.#rest;
  }
}

/** The text after `data:`, lines joined; undefined for a comment or an event without data. */
export function dataOfEvent(event: Uint8Array): string | undefined {
  const lines = new TextDecoder().decode(event).split(/\r\n|\n|\r/);
  const data = lines.filter((line) => line.startsWith("data:")).map((line) => line.slice(5).trimStart());
  return data.length === 0 ? undefined : data.join("\n");
}

/** Index after an empty line whose line end before it stands at `at`. */
function endOfEvent(bytes: Uint8Array, at: number): number | undefined {
  if (bytes[at] !== LINE_FEED) return undefined;
  if (bytes[at + 1] === LINE_FEED) return at + 2;
  return bytes[at + 1] === CARRIAGE_RETURN && bytes[at + 2] === LINE_FEED ? at + 3 : undefined;
}
