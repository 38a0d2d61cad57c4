/**
 * The walls around a server over stdio: bubblewrap, with processes, network, IPC and host name of its own. Inside there is
 * the host's system read-only, an empty `/tmp` of its own, and of everything else what the manifest names, read-only.
 *
 * Where the kernel or the container refuses namespaces the server is not started: who wants it without walls says so in
 * the manifest, word for word in the ledger.
 *
 * @see bwrap(1); docs/guides/mcp-gateway.md, "Servers over stdio"
 */
import { spawnSync } from "node:child_process";
import { existsSync, realpathSync, statSync } from "node:fs";
import { isAbsolute, relative } from "node:path";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { LaunchManifest } from "@trustwarden/core/gateway/mcp/launch-manifest.ts";
import { KERNEL_ROOTS, OWN_ROOTS, TOO_WIDE, WALL_NAMESPACES } from "@trustwarden/core/walls.ts";

const PROGRAMS = ["/usr/bin/bwrap", "/bin/bwrap", "/usr/local/bin/bwrap"] as const;
const PROBE_TIMEOUT_MS = 5_000;
const SYSTEM_PATHS = ["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"] as const;
/** Of `/etc` what loaders, names of accounts and certificates need, and nothing that is anybody's. */
const SETTINGS_PATHS = [
  "/etc/alternatives",
  "/etc/group",
  "/etc/ld.so.cache",
  "/etc/localtime",
  "/etc/nsswitch.conf",
  "/etc/passwd",
  "/etc/pki/tls/certs",
  "/etc/ssl/certs",
] as const;
const NETWORK_PATHS = ["/etc/hosts", "/etc/resolv.conf"] as const;
/** bubblewrap says where it stands, which the manifest does not; `env` takes it out again. */
const WITHOUT_PLACE = ["/usr/bin/env", "-u", "PWD"] as const;

/** Remembered once it has worked; a machine that lacks something is asked again, since it may get it. */
let proven: string | undefined;

/**
 * The program that builds the walls, on a machine where it can.
 *
 * @param programs - where it may be; the usual places, except in tests.
 * @throws TrustWardenError `sandbox_unavailable`, saying what is missing.
 */
export function requireWalls(programs: readonly string[] = PROGRAMS): string {
  if (process.platform !== "linux") throw unavailable("only Linux has the namespaces it needs");
  const found = programs.find((path) => existsSync(path));
  if (found === undefined)
    throw unavailable("bubblewrap was not found; install your system's package `bubblewrap`");
  if (found === proven) return found;
  const args = ["--ro-bind", "/", "/", ...WALL_NAMESPACES, "--proc", "/proc", "--dev", "/dev", "true"];
  const probe = spawnSync(found, args, { stdio: ["ignore", "ignore", "pipe"], timeout: PROBE_TIMEOUT_MS });
  if (probe.status !== 0) {
    const why = probe.stderr?.toString().split("\n", 1)[0]?.slice(0, 200) ?? "";
    throw unavailable(`the kernel or a container around this process refuses namespaces: ${why}`);
  }
  proven = found;
  return found;
}

/**
 * The arguments that run a program inside.
 *
 * @param never - directories and files that nothing inside may show: the server's data and keys.
 * @param command - what is run; a descriptor that it names is passed on.
 * @throws TrustWardenError `mcp_launch_refused` for a path that would open the walls, or is not there.
 */
export function formatWalls(
  manifest: LaunchManifest,
  { never, command }: { readonly never: readonly string[]; readonly command: readonly string[] },
): readonly string[] {
  const { cwd, network, readOnly, files } = manifest;
  const secrets = never.filter((path) => existsSync(path)).map((path) => realpathSync(path));
  const system = SYSTEM_PATHS.filter((path) => existsSync(path));
  // A place such as `/` or `/tmp` is stood in, but not shown.
  const place = TOO_WIDE.has(cwd) ? ["--dir", cwd] : showOf(cwd, secrets);
  return [
    ...WALL_NAMESPACES.filter((name) => !network || name !== "--unshare-net"),
    "--cap-drop",
    "ALL",
    "--die-with-parent",
    "--hostname",
    "server",
    ...system.flatMap((path) => ["--ro-bind", path, path]),
    ...[...SETTINGS_PATHS, ...(network ? NETWORK_PATHS : [])].flatMap((path) => [
      "--ro-bind-try",
      path,
      path,
    ]),
    ...OWN_ROOTS,
    ...place,
    ...[...readOnly, ...files.keys()].flatMap((path) => showOf(path, secrets)),
    ...secrets
      .filter((path) => [...system, ...SETTINGS_PATHS].some((above) => isBelow(path, above)))
      .flatMap(hide),
    "--remount-ro",
    "/",
    "--chdir",
    cwd,
    "--",
    ...WITHOUT_PLACE,
    ...command,
  ];
}

function hide(path: string): readonly string[] {
  return statSync(path).isDirectory() ? ["--tmpfs", path] : ["--ro-bind", "/dev/null", path];
}

function showOf(to: string, secrets: readonly string[]): readonly string[] {
  if (!existsSync(to)) throw refused(to, "it is not there");
  const from = realpathSync(to);
  const isKernels = KERNEL_ROOTS.some((above) => isBelow(from, above));
  if (isKernels || TOO_WIDE.has(from)) throw refused(to, "a sandbox that shows it would be none");
  if (secrets.some((secret) => isBelow(from, secret) || isBelow(secret, from)))
    throw refused(to, "it would show the server's own data or keys");
  return ["--ro-bind", from, to];
}

/** Whether a path is another one, or lies below it; both without symbolic links. */
function isBelow(path: string, above: string): boolean {
  const way = relative(above, path);
  return way !== ".." && !way.startsWith("../") && !isAbsolute(way);
}

function refused(path: string, reason: string): TrustWardenError {
  return new TrustWardenError("mcp_launch_refused", { path, reason });
}

function unavailable(why: string): TrustWardenError {
  return new TrustWardenError("sandbox_unavailable", { why });
}
