/**
 * The process at the other end of a socket: its credentials, and whether it is still that very process.
 *
 * A process number is used again after its process ended; a pidfd is not. Where the kernel has none (before 6.5), the
 * start time and the owner of `/proc/<pid>` stand in for it, as in SPIRE's agent.
 *
 * @see standards: "Workload attestation from Node", A and B
 */
import { closeSync, readFileSync } from "node:fs";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { Kernel, PeerCredentials } from "./kernel.ts";
import { parseProcessOwner } from "./proc-files.ts";
import { type ProcessStat, parseProcessStat } from "./process-stat.ts";

/** A process that connected. Holds one descriptor until `close` and the end of every `hold`. */
export interface PeerProcess extends PeerCredentials {
  /** Supplementary groups at connect time. */
  readonly groups: readonly number[];
  /** Whether it still runs, and is still the one that connected. */
  readonly isAlive: () => boolean;
  /** Keeps `isAlive` answerable after `close`. @returns what lets go, once. */
  readonly hold: () => () => void;
  readonly close: () => void;
}

/**
 * Reads who connected on a socket's descriptor.
 *
 * @throws TrustWardenError `workload_unattested` for a peer outside our process namespace (pid 0), `workload_gone`.
 */
export function readPeerProcess(kernel: Kernel, fd: number): PeerProcess {
  const credentials = kernel.peerCredentials(fd);
  if (credentials.pid <= 0)
    throw new TrustWardenError("workload_unattested", { reason: "foreign process namespace" });
  const groups = kernel.peerGroups(fd);
  const pidfd = kernel.peerPidfd(fd);
  if (pidfd === undefined) return followByStartTime({ ...credentials, groups });
  return followByPidfd(kernel, { ...credentials, groups }, pidfd);
}

type Identified = PeerCredentials & Pick<PeerProcess, "groups">;

function followByPidfd(kernel: Kernel, peer: Identified, pidfd: number): PeerProcess {
  let holders = 0;
  // After the last holder the number may belong to another descriptor, so it is not asked any more.
  const isAlive = () => holders > 0 && kernel.ended([pidfd]).length === 0;
  const hold = () => {
    holders += 1;
    let isHeld = true;
    return () => {
      if (!isHeld) return;
      isHeld = false;
      holders -= 1;
      if (holders === 0) closeSync(pidfd);
    };
  };
  const close = hold();
  // A pidfd names one process for ever, so once is enough.
  if (pidOfPidfd(pidfd) === peer.pid) return { ...peer, isAlive, hold, close };
  close();
  throw new TrustWardenError("workload_gone", { pid: peer.pid });
}

/** The kernel's own word for which process a pidfd names; -1 when it has been collected. */
function pidOfPidfd(pidfd: number): number | undefined {
  try {
    const line = /^Pid:\t(-?\d+)$/m.exec(readFileSync(`/proc/self/fdinfo/${pidfd}`, "utf8"));
    return line?.[1] === undefined ? undefined : Number(line[1]);
  } catch {
    // Safe: the peer is refused. Thrown past here, as when descriptors run out, it would keep the pidfd open for ever.
    return undefined;
  }
}

/** For kernels before 6.5; exported for its test. @throws TrustWardenError `workload_gone`. */
export function followByStartTime(peer: Identified): PeerProcess {
  const first = findStat(peer);
  if (first === undefined) throw new TrustWardenError("workload_gone", { pid: peer.pid });
  const isAlive = () => {
    const now = findStat(peer);
    return now !== undefined && now.startTime === first.startTime && now.state !== "Z" && now.state !== "X";
  };
  return { ...peer, isAlive, hold: () => () => {}, close: () => {} };
}

/** Undefined when there is no such process, or it belongs to somebody else than whoever connected. */
function findStat({ pid, uid, gid }: PeerCredentials): ProcessStat | undefined {
  try {
    const owner = parseProcessOwner(readFileSync(`/proc/${pid}/status`, "utf8"));
    if (owner.uid !== uid || owner.gid !== gid) return undefined;
    return parseProcessStat(readFileSync(`/proc/${pid}/stat`, "utf8"));
  } catch {
    // Safe: a process that cannot be read counts as gone, and is refused.
    return undefined;
  }
}
