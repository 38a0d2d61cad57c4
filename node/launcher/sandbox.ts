/**
 * The walls of `warden run --sandbox`: bubblewrap, with a process, network, IPC and host-name namespace of its own.
 *
 * Inside there is the host's system read-only, the working directory, a fresh `/tmp`, and of homes and configuration only
 * what was asked for: no owner's key, no `.ssh`, no other process, and no network but a loopback on which one forwarder
 * listens. Where the kernel or the container refuses namespaces the run is refused, never weakened.
 *
 * Started by root the walls would be its own to move, so every capability is dropped, what the kernel lets root write below
 * `/proc` is read-only, and of `/etc` only what every account may read is there.
 *
 * @see bwrap(1); docs/guides/warden-run.md, "The sandbox"
 */
import { spawnSync } from "node:child_process";
import { existsSync, lstatSync, readdirSync, realpathSync, statSync } from "node:fs";
import { isAbsolute, join, relative, resolve } from "node:path";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { KERNEL_ROOTS, OWN_ROOTS, TOO_WIDE, WALL_NAMESPACES } from "@trustwarden/core/walls.ts";

const BWRAP = "bwrap";
const PROBE_TIMEOUT_MS = 5_000;
/** Of the host, read-only. `/etc` is there for names and certificates; what not every account may read is covered. */
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
const READABLE_BY_ALL = 0o004;
const OPEN_TO_ALL = 0o005;
const MAX_DEPTH = 8;

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
  /** Paths that nothing above may be, or lie below: owners' keys, the server's data. */
  readonly never: readonly string[];
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
    ["--ro-bind", "/", "/", ...WALL_NAMESPACES, "--proc", "/proc", "--dev", "/dev", "true"],
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

/**
 * The arguments that run a command inside.
 *
 * @throws TrustWardenError `usage` for a path that would open the walls, or is not there.
 */
export function formatSandboxArguments(
  options: SandboxOptions,
  command: readonly string[],
): readonly string[] {
  const { runDirectory, hidden, never } = options;
  const working = viewOf(options.workingDirectory, never);
  const views = options.readOnly.map((path) => viewOf(path, never));
  const system = SYSTEM_PATHS.filter((path) => existsSync(path));
  const shown = [...system.map((path) => ({ from: realpathSync(path), to: path })), ...views, working];
  return [
    ...WALL_NAMESPACES,
    "--cap-drop",
    "ALL",
    "--die-with-parent",
    "--new-session",
    "--hostname",
    "agent",
    ...system.flatMap((path) => ["--ro-bind", path, path]),
    ...OWN_ROOTS,
    ...views.flatMap(({ from, to }) => ["--ro-bind", from, to]),
    "--bind",
    working.from,
    working.to,
    "--bind",
    runDirectory,
    runDirectory,
    ...findPrivate("/etc").flatMap((path) => formatHidden(path)),
    ...coverAll([...hidden, ...never], shown),
    "--chdir",
    working.to,
    "--",
    ...command,
  ];
}

/** A path of the host, and where it is seen inside. */
interface View {
  /** Without symbolic links, so that what lies below can be told. */
  readonly from: string;
  readonly to: string;
}

function viewOf(path: string, never: readonly string[]): View {
  const to = resolve(path);
  if (!existsSync(to)) throw new TrustWardenError("usage", { why: `${to} is not there` });
  const from = realpathSync(to);
  const isKernels = KERNEL_ROOTS.some((above) => isBelow(from, above));
  if (isKernels || TOO_WIDE.has(from) || TOO_WIDE.has(to))
    throw new TrustWardenError("usage", {
      why: `a sandbox that shows ${to} would be none; use a directory of its own`,
    });
  if (never.some((secret) => existsSync(secret) && isBelow(from, realpathSync(secret))))
    throw new TrustWardenError("usage", {
      why: `${to} holds keys of TrustWarden, which a sandbox never sees`,
    });
  return { from, to };
}

/** Whether a path is another one, or lies below it; both without symbolic links. */
function isBelow(path: string, above: string): boolean {
  const way = relative(above, path);
  return way !== ".." && !way.startsWith("../") && !isAbsolute(way);
}

/** Covers every place inside at which a hidden path would be seen. Only what is there can be covered. */
function coverAll(hidden: readonly string[], shown: readonly View[]): readonly string[] {
  const covered = hidden.filter((path) => existsSync(path)).map((path) => realpathSync(path));
  const places = shown.flatMap(({ from, to }) =>
    covered
      .filter((path) => isBelow(path, from))
      .map((path) => ({ path, to: join(to, relative(from, path)) })),
  );
  return places.flatMap(({ path, to }) => formatHidden(path, to));
}

/** What is not for every account: root, and whoever is in a group of the system's, would see it inside as well. */
function findPrivate(directory: string, depth = 0): readonly string[] {
  return readdirSync(directory).flatMap((name) => {
    const path = join(directory, name);
    const found = lstatSync(path, { throwIfNoEntry: false });
    if (found === undefined || found.isSymbolicLink()) return [];
    if (!found.isDirectory()) return (found.mode & READABLE_BY_ALL) === 0 ? [path] : [];
    const isOpen = (found.mode & OPEN_TO_ALL) === OPEN_TO_ALL && depth < MAX_DEPTH;
    return isOpen ? findPrivate(path, depth + 1) : [path];
  });
}

/** A directory becomes an empty one, a file an empty one. */
function formatHidden(path: string, to = path): readonly string[] {
  return statSync(path).isDirectory() ? ["--tmpfs", to] : ["--ro-bind", "/dev/null", to];
}

/** The program that builds the walls. */
export const SANDBOX_PROGRAM = BWRAP;

function unavailable(why: string): TrustWardenError {
  return new TrustWardenError("sandbox_unavailable", { why });
}
