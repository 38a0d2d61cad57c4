/**
 * Where things are: the data directory of the server on this machine, and the user's configuration directory with the
 * owner keys. The same rules as the server's own configuration, so that `warden` finds what `warden up` made.
 */
import { isAbsolute, join, relative, resolve } from "node:path";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { Io } from "./io.ts";

export interface Paths {
  readonly dataDir: string;
  readonly configDir: string;
  readonly adminSocket: string;
  /** Holds `<name>.pem` and `<name>.json` of each owner whose key is on this machine. */
  readonly ownersDir: string;
}

/** The directories that the flags, else the environment, else the user's home name. */
export function resolvePaths(
  flags: { readonly data?: string | undefined; readonly configDir?: string | undefined },
  io: Pick<Io, "env" | "home">,
): Paths {
  const { env, home } = io;
  const dataHome = absoluteOr(env.XDG_DATA_HOME, join(home, ".local", "share"));
  const configHome = absoluteOr(env.XDG_CONFIG_HOME, join(home, ".config"));
  const dataDir = resolve(flags.data ?? env.TRUSTWARDEN_DATA_DIR ?? join(dataHome, "trustwarden"));
  const configDir = resolve(flags.configDir ?? env.TRUSTWARDEN_CONFIG_DIR ?? join(configHome, "trustwarden"));
  return {
    dataDir,
    configDir,
    adminSocket: join(dataDir, "admin.sock"),
    ownersDir: join(configDir, "owners"),
  };
}

/**
 * Refuses to keep owner keys inside the data directory: whoever copies that directory (a backup, a stolen disk) would
 * hold the root of every chain.
 *
 * @throws TrustWardenError `unseal_key_inside_data`.
 */
export function requireOutsideData({ configDir, dataDir }: Pick<Paths, "configDir" | "dataDir">): void {
  const path = relative(dataDir, configDir);
  const isInside = path === "" || !(path.startsWith("..") || isAbsolute(path));
  if (isInside) throw new TrustWardenError("unseal_key_inside_data", { configDir, dataDir });
}

/** The XDG rule: a relative path in the variable is ignored. */
function absoluteOr(given: string | undefined, fallback: string): string {
  return given !== undefined && isAbsolute(given) ? given : fallback;
}
