/**
 * Server-sent events, read from bytes as they come and written again: only what MCP uses of them.
 *
 * @see WHATWG HTML, "Server-sent events"; MCP 2025-11-25 "Streamable HTTP, Resumability".
 */
import { encodeUtf8 } from "../../bytes.ts";
import { TrustWardenError } from "../../error.ts";

/** Larger than any message that we pass on. */
const MAX_EVENT_CHARS = 8_388_608;

export interface SseEvent {
  /** Empty for an event that only sets its id, which is how a server primes a stream for resuming. */
  readonly data: string;
  readonly id: string | null;
  readonly retryMs: number | null;
}

/** Lives as long as one stream; owns the part of the text that is no whole event yet. */
export class SseReader {
  readonly #decoder = new TextDecoder("utf-8", { fatal: true });
  #rest = "";
  #data: string[] = [];
  #chars = 0;
  #id: string | null = null;
  #retryMs: number | null = null;
  #isStarted = false;

  /** The events that are complete with these bytes. @throws TrustWardenError `upstream_answer_refused`. */
  push(bytes: Uint8Array): readonly SseEvent[] {
    this.#rest += this.#decode(bytes);
    const events: SseEvent[] = [];
    for (let line = this.#takeLine(); line !== undefined; line = this.#takeLine()) {
      const event = this.#read(line);
      if (event !== undefined) events.push(event);
    }
    if (this.#rest.length + this.#chars > MAX_EVENT_CHARS) throw refused("event too large");
    return events;
  }

  #decode(bytes: Uint8Array): string {
    try {
      return this.#decoder.decode(bytes, { stream: true });
    } catch (cause) {
      throw new TrustWardenError("upstream_answer_refused", { reason: "not utf-8" }, { cause });
    }
  }

  /** The next whole line; a carriage return at the very end may be half of a line end. */
  #takeLine(): string | undefined {
    const end = /\r\n|\n|\r(?!$)/.exec(this.#rest);
    if (end === null) return undefined;
    const line = this.#rest.slice(0, end.index);
    this.#rest = this.#rest.slice(end.index + end[0].length);
    return line;
  }

  #read(line: string): SseEvent | undefined {
    if (line === "") return this.#finish();
    const colon = line.indexOf(":");
    const field = colon === -1 ? line : line.slice(0, colon);
    const value = colon === -1 ? "" : line.slice(line[colon + 1] === " " ? colon + 2 : colon + 1);
    if (field === "data") this.#addData(value);
    else if (field === "id" && !value.includes("\0")) this.#start(() => (this.#id = value));
    else if (field === "retry" && /^\d{1,9}$/.test(value)) this.#start(() => (this.#retryMs = Number(value)));
    return undefined;
  }

  #addData(value: string): void {
    this.#start(() => this.#data.push(value));
    this.#chars += value.length + 1;
  }

  #start(change: () => void): void {
    this.#isStarted = true;
    change();
  }

  #finish(): SseEvent | undefined {
    const event = { data: this.#data.join("\n"), id: this.#id, retryMs: this.#retryMs };
    const isWhole = this.#isStarted;
    this.#data = [];
    this.#chars = 0;
    this.#id = null;
    this.#retryMs = null;
    this.#isStarted = false;
    return isWhole ? event : undefined;
  }
}

/** The bytes of an event. */
export function encodeSseEvent({ data, id, retryMs }: SseEvent): Uint8Array {
  const lines = [
    ...(id === null ? [] : [`id: ${id}`]),
    ...(retryMs === null ? [] : [`retry: ${retryMs}`]),
    ...data.split("\n").map((line) => `data: ${line}`),
  ];
  return encodeUtf8(`${lines.join("\n")}\n\n`);
}

function refused(reason: string): TrustWardenError {
  return new TrustWardenError("upstream_answer_refused", { reason });
}
