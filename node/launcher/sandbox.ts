/**
 * The walls of `warden run --sandbox`: bubblewrap, with a process, network, IPC and host-name namespace of its own.
 *
 * Inside there is the host's system read-only, the working directory, a fresh `/tmp`, and of homes and configuration only
 * what was asked for: no owner's key, no `.ssh`, no other process, and no network but a loopback on which one forwarder
 * listens. Where the kernel or the container refuses namespaces the run is refused, never weakened.
 *
 * @see bwrap(1); docs/guides/warden-run.md, "The sandbox"
 */
import { spawnSync } from "node:child_process";
import { existsSync, statSync } from "node:fs";
import { TrustWardenError } from "@trustwarden/core/error.ts";

const BWRAP = "bwrap";
const PROBE_TIMEOUT_MS = 5_000;
/** Of the host, read-only. `/etc` is there for names and certificates; secrets under it belong to root alone. */
const SYSTEM_PATHS = [
  "/usr",
  "/bin",
  "/sbin",
  "/lib",
  "/lib32",
  "/lib64",
  "/libx32",
  "/etc",
  "/opt",
] as const;
/** What programs put private things into; emptied also below paths that were asked for. */
const NAMESPACES = [
  "--unshare-user-try",
  "--unshare-ipc",
  "--unshare-pid",
  "--unshare-net",
  "--unshare-uts",
  "--unshare-cgroup-try",
] as const;

/** What is visible inside. */
export interface SandboxOptions {
  /** The runtime's own directory with the sockets, at the same path inside. */
  readonly runDirectory: string;
  /** Where the command runs; visible and writable. */
  readonly workingDirectory: string;
  /** More paths, read-only: the interpreter's, the program's. */
  readonly readOnly: readonly string[];
  /** Paths that stay hidden although one of the above holds them. */
  readonly hidden: readonly string[];
}

/**
 * Makes sure that this machine can build the walls.
 *
 * @throws TrustWardenError `sandbox_unavailable`, saying what is missing.
 */
export function requireSandbox(): void {
  if (process.platform !== "linux") throw unavailable("only Linux has the namespaces it needs");
  const probe = spawnSync(
    BWRAP,
    ["--ro-bind", "/", "/", ...NAMESPACES, "--proc", "/proc", "--dev", "/dev", "true"],
    {
      stdio: ["ignore", "ignore", "pipe"],
      timeout: PROBE_TIMEOUT_MS,
    },
  );
  if (probe.error !== undefined)
    throw unavailable("bubblewrap was not found; install your system's package `bubblewrap`");
  if (probe.status !== 0) {
    const why = probe.stderr.toString().split("\n", 1)[0]?.slice(0, 200) ?? "";
    throw unavailable(`the kernel or a container around this process refuses namespaces: ${why}`);
  }
}

/** The arguments that run a command inside. */
export function formatSandboxArguments(
  options: SandboxOptions,
  command: readonly string[],
): readonly string[] {
  const { runDirectory, workingDirectory, readOnly, hidden } = options;
  const system = SYSTEM_PATHS.filter((path) => existsSync(path)).flatMap((path) => ["--ro-bind", path, path]);
  const extra = readOnly.flatMap((path) => ["--ro-bind-try", path, path]);
  return [
    ...NAMESPACES,
    "--die-with-parent",
    "--new-session",
    "--hostname",
    "agent",
    ...system,
    "--proc",
    "/proc",
    "--dev",
    "/dev",
    "--tmpfs",
    "/tmp",
    ...extra,
    "--bind",
    workingDirectory,
    workingDirectory,
    "--bind",
    runDirectory,
    runDirectory,
    ...hidden.filter((path) => isVisible(path, [workingDirectory, ...readOnly])).flatMap(formatHidden),
    "--chdir",
    workingDirectory,
    "--",
    ...command,
  ];
}

/** Only what would be seen needs to be covered, and only what is there can be. */
function isVisible(path: string, visible: readonly string[]): boolean {
  return existsSync(path) && visible.some((above) => path === above || path.startsWith(`${above}/`));
}

/** A directory becomes an empty one, a file an empty one. */
function formatHidden(path: string): readonly string[] {
  return statSync(path).isDirectory() ? ["--tmpfs", path] : ["--ro-bind", "/dev/null", path];
}

/** The program that builds the walls. */
export const SANDBOX_PROGRAM = BWRAP;

function unavailable(why: string): TrustWardenError {
  return new TrustWardenError("sandbox_unavailable", { why });
}
