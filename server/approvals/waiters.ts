/** Who waits for a human's answer on an open request, and how long; a wait costs a timer and nothing else. */

/** More open waits are answered at once, as they would be without `wait`. */
const MAX_WAITING = 1024;

/** Owns the open waits; each ends once: by an answer, its time, or the server's end. */
export class ApprovalWaiters {
  readonly #waiting = new Map<string, Set<() => void>>();
  #count = 0;

  /** How many wait. */
  get size(): number {
    return this.#count;
  }

  /** Resolves when the approval was answered, or the time is over. */
  wait(id: string, waitMs: number): Promise<void> {
    if (waitMs <= 0 || this.#count >= MAX_WAITING) return Promise.resolve();
    return new Promise((resolve) => {
      const ends = this.#waiting.get(id) ?? new Set();
      const end = (): void => {
        if (!ends.delete(end)) return;
        clearTimeout(timer);
        this.#count -= 1;
        if (ends.size === 0) this.#waiting.delete(id);
        resolve();
      };
      const timer = setTimeout(end, waitMs);
      ends.add(end);
      this.#waiting.set(id, ends);
      this.#count += 1;
    });
  }

  /** Ends the waits for one approval. */
  tell(id: string): void {
    for (const end of [...(this.#waiting.get(id) ?? [])]) end();
  }

  /** Ends the waits for those that were answered elsewhere. */
  tellAnswered(isAnswered: (id: string) => boolean): void {
    for (const id of [...this.#waiting.keys()]) if (isAnswered(id)) this.tell(id);
  }

  /** Ends all of them. */
  close(): void {
    for (const id of [...this.#waiting.keys()]) this.tell(id);
  }
}
