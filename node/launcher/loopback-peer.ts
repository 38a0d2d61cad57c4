/**
 * Which processes hold the other end of a loopback TCP connection.
 *
 * TCP has no peer credentials, but on one machine the other end is a socket too: the kernel's table gives its inode, and the
 * descriptors of the processes say who holds it. Several may, after a fork; all of them count. What cannot be read belongs to
 * nobody, and so to nobody who is meant.
 *
 * @see proc_net(5), proc_pid_fd(5)
 */
import { readdirSync, readFileSync, readlinkSync } from "node:fs";

/** `0100007F:1F90`: address as 32-bit words in the machine's order, port in hexadecimal. */
const ROW =
  /^\s*\d+: (?<local>[0-9A-F]+:[0-9A-F]{4}) (?<remote>[0-9A-F]+:[0-9A-F]{4}) 01 \S+ \S+ \S+\s+\d+\s+\d+ (?<inode>\d+) /;
/** 127.0.0.1 as the tables of both families write it; a client may have mapped it. */
const TABLES = [
  { file: "/proc/net/tcp", loopback: "0100007F" },
  { file: "/proc/net/tcp6", loopback: "0000000000000000FFFF00000100007F" },
] as const;

/** The two ports of a connection between two sockets of 127.0.0.1, seen from our end. */
export interface LoopbackConnection {
  readonly localPort: number;
  readonly remotePort: number;
}

/** Numbers of the processes that hold the far end; empty when there is no such connection, or nobody who can be read. */
export function findPeerProcesses(connection: LoopbackConnection): readonly number[] {
  const inode = findInode(connection);
  return inode === undefined ? [] : findHolders(`socket:[${inode}]`);
}

/** The far end's own row: its local port is our remote one. */
function findInode({ localPort, remotePort }: LoopbackConnection): string | undefined {
  for (const { file, loopback } of TABLES) {
    const ends = `: ${loopback}:${formatPort(remotePort)} ${loopback}:${formatPort(localPort)} `;
    const line = readTable(file).find((text) => text.includes(ends));
    const inode = line === undefined ? undefined : ROW.exec(line)?.groups?.inode;
    if (inode !== undefined) return inode;
  }
  return undefined;
}

function readTable(file: string): readonly string[] {
  try {
    return readFileSync(file, "latin1").split("\n");
  } catch {
    // Safe: a family that this machine does not have holds no connection.
    return [];
  }
}

function findHolders(link: string): readonly number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => holds(pid, link));
}

function holds(pid: number, link: string): boolean {
  try {
    return readdirSync(`/proc/${pid}/fd`).some((fd) => isLink(`/proc/${pid}/fd/${fd}`, link));
  } catch {
    // Safe: a process that has ended or that we may not look into is not counted as one who is meant.
    return false;
  }
}

function isLink(path: string, link: string): boolean {
  try {
    return readlinkSync(path) === link;
  } catch {
    // Safe: the descriptor was closed in between.
    return false;
  }
}

function formatPort(port: number): string {
  return port.toString(16).toUpperCase().padStart(4, "0");
}
