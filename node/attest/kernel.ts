/**
 * The four questions that only the kernel can answer about the other end of a unix socket, and one request about this
 * process itself, by `koffi`.
 *
 * Node has no `getsockopt`, `poll` or pidfd. Numbers are the kernel's, since Debian 12's headers do not name the newer
 * ones. Nothing here decides anything.
 *
 * @see unix(7), pidfd_open(2); Linux `include/uapi/asm-generic/socket.h`
 */
import { TrustWardenError } from "@trustwarden/core/error.ts";

const SOL_SOCKET = 1;
const SO_PEERCRED = 17;
/** Linux 4.13. */
const SO_PEERGROUPS = 59;
/** Linux 6.5. */
const SO_PEERPIDFD = 77;
const POLLIN = 1;
/** `NGROUPS_MAX` is 65,536; a process with more than this is refused rather than half read. */
const MAX_GROUPS = 1024;
const POLL_ENTRY_BYTES = 8;
const ENOPROTOOPT = 92;
const PR_GET_DUMPABLE = 3;
const PR_SET_DUMPABLE = 4;

/** Who connected, as the kernel wrote it down at that moment. */
export interface PeerCredentials {
  readonly pid: number;
  readonly uid: number;
  readonly gid: number;
}

/** The kernel's answers. */
export interface Kernel {
  /** @throws TrustWardenError `workload_unattested`. */
  readonly peerCredentials: (fd: number) => PeerCredentials;
  /** Supplementary groups at connect time. @throws TrustWardenError `workload_unattested`. */
  readonly peerGroups: (fd: number) => readonly number[];
  /** A new descriptor that names exactly the process that connected; undefined where the kernel has none (before 6.5). */
  readonly peerPidfd: (fd: number) => number | undefined;
  /** Which of these pidfds name a process that has ended. */
  readonly ended: (pidfds: readonly number[]) => readonly number[];
  /**
   * From now on other processes of the same account can neither read this process's environment and memory nor trace it;
   * root still can. What it starts is not touched: `exec` gives that back.
   *
   * @throws TrustWardenError `attestor_unavailable` when the kernel did not do it.
   */
  readonly shield: () => void;
}

/**
 * Loads the bindings.
 *
 * @throws TrustWardenError `attestor_unavailable` on another system than Linux, or without the binding.
 */
export async function openKernel(): Promise<Kernel> {
  if (process.platform !== "linux")
    throw new TrustWardenError("attestor_unavailable", { platform: process.platform });
  try {
    const { load, errno } = await import("koffi");
    const libc = load(null);
    const getsockopt = libc.func("int getsockopt(int fd, int level, int name, void *value, void *length)");
    const poll = libc.func("int poll(void *entries, unsigned long count, int timeout)");
    const prctl = libc.func("int prctl(int option, ulong value, ulong, ulong, ulong)");
    return createKernel({
      prctl: (option, value) => Number(prctl(option, value, 0, 0, 0)),
      getsockopt: (fd, name, value, length) => Number(getsockopt(fd, SOL_SOCKET, name, value, length)),
      poll: (entries, count) => Number(poll(entries, count, 0)),
      errno: () => errno(),
    });
  } catch (cause) {
    throw new TrustWardenError("attestor_unavailable", { reason: "no binding to the C library" }, { cause });
  }
}

interface Calls {
  readonly prctl: (option: number, value: number) => number;
  readonly getsockopt: (fd: number, name: number, value: Buffer, length: Buffer) => number;
  readonly poll: (entries: Buffer, count: number) => number;
  readonly errno: () => number;
}

function createKernel(calls: Calls): Kernel {
  return {
    peerCredentials: (fd) => {
      const value = readOption(calls, { fd, name: SO_PEERCRED, bytes: 12 });
      return { pid: value.readInt32LE(0), uid: value.readUInt32LE(4), gid: value.readUInt32LE(8) };
    },
    peerGroups: (fd) => {
      const value = readOption(calls, { fd, name: SO_PEERGROUPS, bytes: MAX_GROUPS * 4 });
      return Array.from({ length: value.length / 4 }, (_, index) => value.readUInt32LE(index * 4));
    },
    peerPidfd: (fd) => {
      const value = findOption(calls, { fd, name: SO_PEERPIDFD, bytes: 4 });
      return value?.readInt32LE(0);
    },
    ended: (pidfds) => pollEnded(calls, pidfds),
    shield: () => {
      const isDone = calls.prctl(PR_SET_DUMPABLE, 0) === 0 && calls.prctl(PR_GET_DUMPABLE, 0) === 0;
      if (!isDone) throw new TrustWardenError("attestor_unavailable", { reason: "not shielded" });
    },
  };
}

interface OptionQuery {
  readonly fd: number;
  readonly name: number;
  readonly bytes: number;
}

function readOption(calls: Calls, query: OptionQuery): Buffer {
  const value = findOption(calls, query);
  if (value === undefined) throw failed(query, ENOPROTOOPT);
  return value;
}

/** Undefined when this kernel does not know the option. */
function findOption(calls: Calls, query: OptionQuery): Buffer | undefined {
  const value = Buffer.alloc(query.bytes);
  const length = Buffer.alloc(4);
  length.writeUInt32LE(query.bytes);
  if (calls.getsockopt(query.fd, query.name, value, length) !== 0) {
    const errno = calls.errno();
    if (errno === ENOPROTOOPT) return undefined;
    throw failed(query, errno);
  }
  return value.subarray(0, length.readUInt32LE());
}

/** A pidfd becomes readable when its process ends; anything that is no live process (`POLLNVAL`) counts as ended. */
function pollEnded({ poll, errno }: Calls, pidfds: readonly number[]): readonly number[] {
  if (pidfds.length === 0) return [];
  const entries = Buffer.alloc(pidfds.length * POLL_ENTRY_BYTES);
  pidfds.forEach((pidfd, index) => {
    entries.writeInt32LE(pidfd, index * POLL_ENTRY_BYTES);
    entries.writeInt16LE(POLLIN, index * POLL_ENTRY_BYTES + 4);
  });
  if (poll(entries, pidfds.length) < 0) throw failed({ fd: -1, name: 0, bytes: 0 }, errno());
  return pidfds.filter((_, index) => entries.readInt16LE(index * POLL_ENTRY_BYTES + 6) !== 0);
}

function failed({ name }: OptionQuery, errno: number): TrustWardenError {
  return new TrustWardenError("workload_unattested", { reason: "the kernel refused", option: name, errno });
}
