/**
 * Lines out of a byte stream, with a limit on what may wait for its end.
 *
 * Pure: bytes in, complete lines out. Without the limit a peer that never sends a line end fills the memory.
 */
import { concatBytes, parseUtf8 } from "../bytes.ts";
import { TrustWardenError } from "../error.ts";

const LINE_END = 0x0a;

/** Splits one direction of one connection. After a throw the connection is useless. */
export class LineSplitter {
  readonly #maxBytes: number;
  /** Bytes after the last line end; never more than `maxBytes`. */
  #rest: Uint8Array = new Uint8Array(0);

  /** @param maxBytes - longest line with its end. */
  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /**
   * The lines that the chunk completes, without their ends.
   *
   * @throws TrustWardenError `request_too_large` or `request_malformed` (not UTF-8).
   */
  push(chunk: Uint8Array): readonly string[] {
    const lines: string[] = [];
    let start = 0;
    for (let end = chunk.indexOf(LINE_END); end !== -1; end = chunk.indexOf(LINE_END, start)) {
      const part = chunk.subarray(start, end);
      this.#requireRoom(part.length + 1);
      lines.push(parseUtf8(this.#rest.length === 0 ? part : concatBytes(this.#rest, part)));
      this.#rest = new Uint8Array(0);
      start = end + 1;
    }
    const rest = chunk.subarray(start);
    this.#requireRoom(rest.length);
    if (rest.length > 0) this.#rest = concatBytes(this.#rest, rest);
    return lines;
  }

  #requireRoom(more: number): void {
    if (this.#rest.length + more > this.#maxBytes) {
      throw new TrustWardenError("request_too_large", { maxBytes: this.#maxBytes });
    }
  }
}
