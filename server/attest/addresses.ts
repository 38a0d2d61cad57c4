/**
 * Which network addresses this server may connect to on somebody's behalf.
 *
 * An issuer's name is looked up by a resolver that others may control; what it answers must not lead to this machine,
 * to the private network around it, or to the cloud's metadata service, which hands out credentials to whoever asks.
 *
 * @see RFC 6890 (special-purpose address registries)
 */
import { BlockList, isIP } from "node:net";

const RESERVED_IPV4 = [
  ["0.0.0.0", 8],
  ["10.0.0.0", 8],
  ["100.64.0.0", 10],
  ["127.0.0.0", 8],
  ["169.254.0.0", 16],
  ["172.16.0.0", 12],
  ["192.0.0.0", 24],
  ["192.0.2.0", 24],
  ["192.88.99.0", 24],
  ["192.168.0.0", 16],
  ["198.18.0.0", 15],
  ["198.51.100.0", 24],
  ["203.0.113.0", 24],
  ["224.0.0.0", 4],
  ["240.0.0.0", 4],
] as const;
/** Inside the global range, but documentation, or tunnels whose far end is an IPv4 address of the sender's choice. */
const RESERVED_IPV6 = [
  ["2001::", 23],
  ["2001:db8::", 32],
  ["2002::", 16],
  ["3fff::", 20],
] as const;

const reserved = new BlockList();
for (const [network, prefix] of RESERVED_IPV4) reserved.addSubnet(network, prefix, "ipv4");
for (const [network, prefix] of RESERVED_IPV6) reserved.addSubnet(network, prefix, "ipv6");

const global6 = new BlockList();
global6.addSubnet("2000::", 3, "ipv6");

const privateOrLoopback = new BlockList();
for (const [network, prefix] of [
  ["10.0.0.0", 8],
  ["127.0.0.0", 8],
  ["172.16.0.0", 12],
  ["192.168.0.0", 16],
  ["100.64.0.0", 10],
] as const) {
  privateOrLoopback.addSubnet(network, prefix, "ipv4");
}
privateOrLoopback.addAddress("::1", "ipv6");
privateOrLoopback.addSubnet("fc00::", 7, "ipv6");
/** AWS serves its metadata on an address inside the private range. */
const metadata6 = new BlockList();
metadata6.addAddress("fd00:ec2::254", "ipv6");

/** Whether the address is on the public Internet. */
export function isPublicAddress(address: string): boolean {
  switch (isIP(address)) {
    case 4:
      return !reserved.check(address, "ipv4");
    case 6:
      // Mapped, compatible and translated IPv4 addresses lie outside 2000::/3 and so are refused here.
      return global6.check(address, "ipv6") && !reserved.check(address, "ipv6");
    default:
      return false;
  }
}

/** Whether the address is of this machine or its network; never a link-local one, where metadata services live. */
export function isPrivateAddress(address: string): boolean {
  switch (isIP(address)) {
    case 4:
      return privateOrLoopback.check(address, "ipv4");
    case 6:
      return privateOrLoopback.check(address, "ipv6") && !metadata6.check(address, "ipv6");
    default:
      return false;
  }
}

/** Whether the host, as a URL writes it, is this machine and nothing that a resolver decides. */
export function isLoopbackHost(host: string): boolean {
  return host === "[::1]" || (isIP(host) === 4 && host.startsWith("127."));
}
