/**
 * A few renewals of one process at once, and the others after them; for a node also whatever else it asks for its agents.
 *
 * A forced rotation has every identity of a process renew within seconds. All at once they would wait for the server's
 * processor on open connections until their time is over, and begin again with a handshake each: a crowd that only grows.
 */

/** Enough to fill the time that a renewal waits for the server's disk. */
const MAX_AT_ONCE = 8;

/** Of this process, by server; an entry is there as long as somebody renews. */
const queues = new Map<string, RenewalQueue>();

/** Runs a renewal, or what a node asks, when fewer than eight under the same key are under way. */
export async function inTurn<T>(serverKey: string, renew: () => Promise<T>): Promise<T> {
  const queue = queues.get(serverKey) ?? new RenewalQueue();
  queues.set(serverKey, queue);
  try {
    return await queue.run(renew);
  } finally {
    if (queue.isIdle) queues.delete(serverKey);
  }
}

/** Owns the count of renewals under way and those that wait, oldest first. */
class RenewalQueue {
  readonly #waiting: (() => void)[] = [];
  #running = 0;

  get isIdle(): boolean {
    return this.#running === 0;
  }

  async run<T>(renew: () => Promise<T>): Promise<T> {
    // Whoever leaves hands its place over, so nobody who comes later is first.
    if (this.#running < MAX_AT_ONCE) this.#running += 1;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
    try {
      return await renew();
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#running -= 1;
      else next();
    }
  }
}
