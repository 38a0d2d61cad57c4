/**
 * What the walls around a program are made of, for whoever starts one: the agent's launcher, and the gateway for servers
 * over stdio. Words only; who shows what inside, and starts it, is theirs.
 *
 * @see bwrap(1)
 */

/** Namespaces of its own for everything; a loopback and nothing else is the network. */
export const WALL_NAMESPACES = [
  "--unshare-user-try",
  "--unshare-ipc",
  "--unshare-pid",
  "--unshare-net",
  "--unshare-uts",
  "--unshare-cgroup-try",
] as const;

/** Writable by uid 0 without any capability, and not of any namespace. */
const KERNEL_PATHS = ["/proc/sys", "/proc/sysrq-trigger", "/proc/irq", "/proc/bus"] as const;

/** Processes and devices of its own, what of the kernel is everybody's as a view, and a place for temporary files. */
export const OWN_ROOTS = [
  "--proc",
  "/proc",
  ...KERNEL_PATHS.flatMap((path) => ["--ro-bind-try", path, path]),
  "--dev",
  "/dev",
  "--tmpfs",
  "/tmp",
] as const;

/** The kernel's own, of the host. */
export const KERNEL_ROOTS = ["/proc", "/sys", "/dev"] as const;

/** Showing one of these whole would show other processes, sockets of the host's services, or every account's files. */
export const TOO_WIDE: ReadonlySet<string> = new Set([
  "/",
  "/home",
  "/root",
  "/run",
  "/tmp",
  "/var",
  "/var/run",
  "/var/tmp",
]);
