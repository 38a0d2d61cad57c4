/**
 * The network of an address, which stands for whoever has it. Of IPv6 it is 64 bits, what one customer or one machine has at
 * least: by address alone whoever has one network would be as many strangers as it likes.
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

function groupsOf(text: string): readonly string[] {
  return text === "" ? [] : text.split(":");
}
