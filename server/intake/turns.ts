/**
 * Whose work is next: the flows that wait take turns, each with the same amount of work a turn (deficit round robin,
 * Shreedhar and Varghese; the work here can be divided, so that there is no deficit to carry). However much one flow
 * brings, another waits for one turn of each that waits, and never for all that the first one brought.
 */

/** Work that waits, and how far it was handed out. */
interface Waiting<T> {
  readonly items: readonly T[];
  taken: number;
}

/** A part of what one `push` brought. */
export interface Slice<T> {
  readonly items: readonly T[];
  /** What was pushed. */
  readonly of: readonly T[];
  /** Place of the first item in it. */
  readonly offset: number;
}

/** Owns what waits. The flow whose turn is next is first in the map; none in it is empty. */
export class Turns<T> {
  readonly #perTurn: number;
  readonly #flows = new Map<string, Waiting<T>[]>();
  #waiting = 0;

  /** @param perTurn - items that a flow may hand out before it is the next one's turn. */
  constructor(perTurn: number) {
    this.#perTurn = perTurn;
  }

  get isEmpty(): boolean {
    return this.#flows.size === 0;
  }

  /** Items that wait. */
  get waiting(): number {
    return this.#waiting;
  }

  /** Puts work at the end of its flow. */
  push(flow: string, items: readonly T[]): void {
    if (items.length === 0) return;
    this.#waiting += items.length;
    const waiting = { items, taken: 0 };
    const queue = this.#flows.get(flow);
    if (queue === undefined) this.#flows.set(flow, [waiting]);
    else queue.push(waiting);
  }

  /** The next items, turn by turn; at most `count`, fewer only when no more wait. */
  take(count: number): readonly Slice<T>[] {
    const slices: Slice<T>[] = [];
    let left = count;
    while (left > 0) {
      const [next] = this.#flows;
      if (next === undefined) break;
      const [flow, queue] = next;
      left -= takeTurn(queue, Math.min(this.#perTurn, left), slices);
      this.#flows.delete(flow);
      if (queue.length > 0) this.#flows.set(flow, queue);
    }
    this.#waiting -= count - left;
    return slices;
  }
}

/** @returns how many were taken. */
function takeTurn<T>(queue: Waiting<T>[], count: number, into: Slice<T>[]): number {
  let left = count;
  for (let head = queue[0]; head !== undefined && left > 0; head = queue[0]) {
    const offset = head.taken;
    const items = head.items.slice(offset, offset + left);
    into.push({ items, of: head.items, offset });
    head.taken += items.length;
    left -= items.length;
    if (head.taken === head.items.length) queue.shift();
  }
  return count - left;
}
