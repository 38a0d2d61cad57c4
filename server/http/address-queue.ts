/**
 * Who waits, in turns: each network has its next one after every other had one, and in it each address, however many wait.
 *
 * Of IPv6 a network is 64 bits, which is what one customer or one machine has at least: turns by address alone would give
 * whoever has one network as many turns as it likes.
 */
import { isIPv6 } from "node:net";

const IPV4_IN_IPV6 = /^::ffff:(\d{1,3}(?:\.\d{1,3}){3})$/i;
const GROUPS = 8;
const NETWORK_GROUPS = 4;

/** The network of an address: the first 64 bits of IPv6, and of IPv4 the address itself. */
export function networkOf(address: string): string {
  const [plain = ""] = address.split("%");
  const [, ipv4] = IPV4_IN_IPV6.exec(plain) ?? [];
  if (ipv4 !== undefined) return ipv4;
  if (!isIPv6(plain)) return address;
  const [head = "", tail] = plain.split("::");
  const groups = groupsOf(head);
  const left = groupsOf(tail ?? "");
  const between = Array.from({ length: GROUPS - groups.length - left.length }, () => "0");
  const network = [...groups, ...between, ...left].slice(0, NETWORK_GROUPS);
  return `${network.map((group) => Number.parseInt(group, 16).toString(16)).join(":")}::/64`;
}

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

function groupsOf(text: string): readonly string[] {
  return text === "" ? [] : text.split(":");
}
