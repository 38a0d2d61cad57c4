/**
 * Bytes that come in parts, kept in one piece: a peer that sends each byte alone takes no more room than one that sends
 * them at once, and a list of millions of parts is never made.
 */

/** Most bodies are smaller. */
const FIRST_BYTES = 1024;

/** Owns the bytes; how many may come is its caller's business. */
export class GrowingBytes {
  /** Grows to the double, so that each byte is copied once or twice in all. */
  #room = new Uint8Array(0);
  #length = 0;

  get length(): number {
    return this.#length;
  }

  /** Copies a part to the end. */
  add(part: Uint8Array): void {
    const length = this.#length + part.length;
    if (length > this.#room.length) {
      const room = new Uint8Array(Math.max(length, 2 * this.#room.length, FIRST_BYTES));
      room.set(this.view());
      this.#room = room;
    }
    this.#room.set(part, this.#length);
    this.#length = length;
  }

  /** All that came; what comes later is not in it. */
  view(): Uint8Array {
    return this.#room.subarray(0, this.#length);
  }
}
