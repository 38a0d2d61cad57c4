/**
 * Who waits, in turns: each network has its next one after every other had one, and in it each address, however many wait.
 */
import { networkOf } from "../intake/network.ts";

/** Owns who waits. None of the maps and lines in it is empty. */
export class AddressQueue<Waiting> {
  /** By network, then by address, both in the order of their turns. */
  readonly #networks = new Map<string, Map<string, Waiting[]>>();

  push(address: string, waiting: Waiting): void {
    const name = networkOf(address);
    const network = this.#networks.get(name) ?? new Map<string, Waiting[]>();
    this.#networks.set(name, network);
    const line = network.get(address);
    if (line === undefined) network.set(address, [waiting]);
    else line.push(waiting);
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

function shiftLine<Waiting>(lines: Map<string, Waiting[]>): Waiting | undefined {
  const [first] = lines;
  if (first === undefined) return undefined;
  const [address, line] = first;
  const waiting = line.shift();
  lines.delete(address);
  if (line.length > 0) lines.set(address, line);
  return waiting;
}
