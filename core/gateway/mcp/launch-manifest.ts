/**
 * How a stdio MCP server is started: exactly this program with exactly these arguments, or not at all.
 *
 * Part of the upstream's settings, so an operator signs for every word of it in the ledger, and a change of it is a new
 * registration. Digests pin what runs: whoever can write to the program's file cannot change the server behind it.
 */
import type { Fields } from "../../fields.ts";

const MAX_ARGUMENTS = 64;
const MAX_FILES = 64;
const ABSOLUTE = /^\/[^\0]*$/;
const DIGEST = /^[0-9a-f]{64}$/;
const VARIABLE = /^[A-Z_][A-Z0-9_]{0,63}$/;
/** What the loader or an interpreter would take orders from. */
const REFUSED_VARIABLE =
  /^(?:LD_|DYLD_|NODE_OPTIONS|PYTHONSTARTUP|PYTHONPATH|PERL5|RUBYOPT|BASH_ENV|ENV$|TRUSTWARDEN)/;

export interface LaunchManifest {
  /** Absolute path of the program. */
  readonly command: string;
  /** Lower-case hex SHA-256 of the program's file. */
  readonly sha256: string;
  readonly args: readonly string[];
  /** Digests of more files that it runs, such as a script; by absolute path. */
  readonly files: ReadonlyMap<string, string>;
  /** The whole environment; never a secret, since agents may read the settings. */
  readonly env: Readonly<Record<string, string>>;
  readonly cwd: string;
  /** `none` lets it run with all that the server may; the operator says so, and it stands in the ledger. */
  readonly sandbox: "bubblewrap" | "none";
  /** Whether it sees the host's network; without, a loopback of its own and nothing else. */
  readonly network: boolean;
  /** Paths beside the system's, its files and its working directory that it may read. */
  readonly readOnly: readonly string[];
}

/** Of a manifest that says nothing about its walls: all of them. */
export const WALLED_BY_DEFAULT = { sandbox: "bubblewrap", network: false, read_only: [] } as const;

/** @throws TrustWardenError with the code of the fields. */
export function parseLaunchManifest(fields: Fields): LaunchManifest {
  const args = fields.texts("args");
  if (args.length > MAX_ARGUMENTS || args.some((text) => text.includes("\0"))) fields.refuse("args");
  const readOnly = fields.texts("read_only");
  if (readOnly.length > MAX_FILES || !readOnly.every((path) => ABSOLUTE.test(path)))
    fields.refuse("read_only");
  const manifest = {
    command: fields.matching("command", ABSOLUTE),
    sha256: fields.matching("sha256", DIGEST),
    args,
    files: parseFiles(fields),
    env: parseEnvironment(fields),
    cwd: fields.matching("cwd", ABSOLUTE),
    sandbox: fields.oneOf("sandbox", ["bubblewrap", "none"]),
    network: fields.boolean("network"),
    readOnly,
  };
  fields.end();
  return manifest;
}

function parseFiles(fields: Fields): ReadonlyMap<string, string> {
  const entries = Object.entries(fields.json("files"));
  if (entries.length > MAX_FILES) fields.refuse("files");
  return new Map(
    entries.map(([path, digest]) =>
      ABSOLUTE.test(path) && typeof digest === "string" && DIGEST.test(digest)
        ? [path, digest]
        : fields.refuse("files"),
    ),
  );
}

function parseEnvironment(fields: Fields): Readonly<Record<string, string>> {
  const entries = Object.entries(fields.json("env"));
  const parsed = entries.map(([name, value]): readonly [string, string] => {
    const isSound = VARIABLE.test(name) && !REFUSED_VARIABLE.test(name);
    return isSound && typeof value === "string" && !value.includes("\0")
      ? [name, value]
      : fields.refuse("env");
  });
  return Object.fromEntries(parsed);
}
