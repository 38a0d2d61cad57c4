/**
 * Who waits, in turns: each network has its next one after every other had one, and in it each address, however many wait.
 *
 * Of one address the oldest and the newest take turns: whoever comes alone does not stand behind a crowd of its own host, and
 * the crowd gets on.
 */
import { networkOf } from "../intake/network.ts";

/** Those of one address, oldest first. */
interface Line<Waiting> {
  readonly waiting: Waiting[];
  isNewestNext: boolean;
}

/** Owns who waits. None of the maps and lines in it is empty. */
export class AddressQueue<Waiting> {
  /** By network, then by address, both in the order of their turns. */
  readonly #networks = new Map<string, Map<string, Line<Waiting>>>();

  push(address: string, waiting: Waiting): void {
    const name = networkOf(address);
    const network = this.#networks.get(name) ?? new Map<string, Line<Waiting>>();
    this.#networks.set(name, network);
    const line = network.get(address);
    if (line === undefined) network.set(address, { waiting: [waiting], isNewestNext: false });
    else line.waiting.push(waiting);
  }

  get isEmpty(): boolean {
    return this.#networks.size === 0;
  }

  shift(): Waiting | undefined {
    const [first] = this.#networks;
    if (first === undefined) return undefined;
    const [name, network] = first;
    const waiting = shiftLine(network);
    this.#networks.delete(name);
    if (network.size > 0) this.#networks.set(name, network);
    return waiting;
  }
}

function shiftLine<Waiting>(lines: Map<string, Line<Waiting>>): Waiting | undefined {
  const [first] = lines;
  if (first === undefined) return undefined;
  const [address, line] = first;
  const { waiting, isNewestNext } = line;
  const next = isNewestNext ? waiting.pop() : waiting.shift();
  line.isNewestNext = !isNewestNext;
  lines.delete(address);
  if (waiting.length > 0) lines.set(address, line);
  return next;
}
