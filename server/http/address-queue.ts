/**
 * Who waits, in turns: each network has its next one after every other had one, and in it each address, however many wait.
 *
 * Of one address the oldest and the newest take turns: whoever comes alone does not stand behind a crowd of its own host, and
 * the crowd gets on.
 */
import { networkOf } from "../intake/network.ts";

/** Those of one address, oldest first. */
interface Line<Waiting> {
  waiting: Waiting[];
  isNewestNext: boolean;
  /** At most so many of them have gone. */
  gone: number;
}

/** Owns who waits. None of the maps and lines in it is empty, and about half of a line at most has gone. */
export class AddressQueue<Waiting> {
  readonly #isGone: (waiting: Waiting) => boolean;
  /** By network, then by address, both in the order of their turns. */
  readonly #networks = new Map<string, Map<string, Line<Waiting>>>();

  constructor(isGone: (waiting: Waiting) => boolean = () => false) {
    this.#isGone = isGone;
  }

  push(address: string, waiting: Waiting): void {
    const name = networkOf(address);
    const network = this.#networks.get(name) ?? new Map<string, Line<Waiting>>();
    this.#networks.set(name, network);
    const line = network.get(address);
    if (line === undefined) network.set(address, { waiting: [waiting], isNewestNext: false, gone: 0 });
    else line.waiting.push(waiting);
  }

  /** Somebody of an address has gone: who comes and goes at once must not be kept until a turn that nobody takes. */
  noteGone(address: string): void {
    const name = networkOf(address);
    const network = this.#networks.get(name);
    const line = network?.get(address);
    if (network === undefined || line === undefined) return;
    line.gone += 1;
    if (2 * line.gone <= line.waiting.length) return;
    line.waiting = line.waiting.filter((waiting) => !this.#isGone(waiting));
    line.gone = 0;
    if (line.waiting.length === 0) network.delete(address);
    if (network.size === 0) this.#networks.delete(name);
  }

  /** How many are held, gone or not. */
  get size(): number {
    const lines = [...this.#networks.values()].flatMap((network) => [...network.values()]);
    return lines.reduce((sum, { waiting }) => sum + waiting.length, 0);
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
