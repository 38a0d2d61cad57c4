/**
 * A few renewals of one process at once, and the others after them; for a node also whatever else it asks for its agents.
 *
 * A forced rotation has every identity of a process renew within seconds. All at once they would wait for the server's
 * processor on open connections until their time is over, and begin again with a handshake each: a crowd that only grows.
 *
 * Those who wait have their turn by accounts, where the caller names them: one account's thousand holds up another's one by
 * eight at most, and not by a thousand.
 */

/** Enough to fill the time that a renewal waits for the server's disk. */
const MAX_AT_ONCE = 8;

/** Of this process, by server; an entry is there as long as somebody renews. */
const queues = new Map<string, RenewalQueue>();

/**
 * Runs a renewal, or what a node asks, when fewer than eight under the same key are under way.
 *
 * @param account - for whom; all are one unless given.
 */
export async function inTurn<T>(serverKey: string, renew: () => Promise<T>, account = ""): Promise<T> {
  const queue = queues.get(serverKey) ?? new RenewalQueue();
  queues.set(serverKey, queue);
  try {
    return await queue.run(renew, account);
  } finally {
    if (queue.isIdle) queues.delete(serverKey);
  }
}

/** Owns the count of renewals under way and those that wait: of each account oldest first, the accounts in turns. */
class RenewalQueue {
  /** Only accounts of whom somebody waits; the next one first. */
  readonly #waiting = new Map<string, (() => void)[]>();
  #running = 0;

  get isIdle(): boolean {
    return this.#running === 0;
  }

  async run<T>(renew: () => Promise<T>, account: string): Promise<T> {
    // Whoever leaves hands its place over, so nobody who comes later is first.
    if (this.#running < MAX_AT_ONCE) this.#running += 1;
    else await this.#turnOf(account);
    try {
      return await renew();
    } finally {
      const next = this.#takeNext();
      if (next === undefined) this.#running -= 1;
      else next();
    }
  }

  #turnOf(account: string): Promise<void> {
    const line = this.#waiting.get(account) ?? [];
    this.#waiting.set(account, line);
    return new Promise<void>((resolve) => line.push(resolve));
  }

  #takeNext(): (() => void) | undefined {
    const [first] = this.#waiting;
    if (first === undefined) return undefined;
    const [account, line] = first;
    const next = line.shift();
    // Behind the others, if there is more of it.
    this.#waiting.delete(account);
    if (line.length > 0) this.#waiting.set(account, line);
    return next;
  }
}
