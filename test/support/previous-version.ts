/**
 * An earlier version of this program out of git's history, in a folder of its own: its code with the libraries of this checkout.
 * The last one whose state store is older, or the first one whose store is of this version and shared as it is now.
 */
import { execFileSync } from "node:child_process";
import { lstatSync, mkdirSync, mkdtempSync, readdirSync, readlinkSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { latestVersion, MIGRATIONS } from "../../server/store/migrations/steps.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
/** Came with the version of the state store that this server works on. */
const NEWEST = `server/store/migrations/version-${latestVersion(MIGRATIONS)}.ts`;
/** A change of it lets servers that share a store have other settings. */
const SHAREABLE = "server/shared/shareable.ts";
const MAX_ARCHIVE_BYTES = 256 * 1024 * 1024;

export interface PreviousVersion {
  readonly commit: string;
  readonly directory: string;
  remove(): void;
}

/** Undefined where the history does not reach back so far, as in a shallow clone. @param store - against this one's. */
export function checkOutPreviousVersion(store: "older" | "same" = "older"): PreviousVersion | undefined {
  const commit =
    store === "older"
      ? findCommit(["--diff-filter=A", "--", NEWEST], "^")
      : findCommit(["--", NEWEST, SHAREABLE], "");
  if (commit === undefined) return undefined;
  const directory = mkdtempSync(join(tmpdir(), "tw-previous-"));
  const archive = execFileSync("git", ["archive", "--format=tar", commit], {
    cwd: ROOT,
    maxBuffer: MAX_ARCHIVE_BYTES,
  });
  execFileSync("tar", ["-x", "-C", directory], { input: archive });
  linkLibraries(join(ROOT, "node_modules"), join(directory, "node_modules"));
  return { commit, directory, remove: () => rmSync(directory, { recursive: true, force: true }) };
}

/** @param which - the newest commit of those, as `git log` is told. */
function findCommit(which: readonly string[], step: "^" | ""): string | undefined {
  const git = (...args: readonly string[]) =>
    execFileSync("git", [...args], {
      cwd: ROOT,
      encoding: "utf8",
      stdio: ["ignore", "pipe", "ignore"],
    }).trim();
  try {
    const changed = git("log", "-1", "--format=%H", ...which);
    return changed === "" ? undefined : git("rev-parse", "--verify", `${changed}${step}`);
  } catch {
    // No repository, or none with that commit: whoever asked says so.
    return undefined;
  }
}

/** Libraries are those of this checkout; the program's own packages lead into the folder itself, as they do here. */
function linkLibraries(from: string, to: string): void {
  mkdirSync(to);
  for (const name of readdirSync(from)) {
    const [source, target] = [join(from, name), join(to, name)];
    if (lstatSync(source).isSymbolicLink()) symlinkSync(readlinkSync(source), target);
    else if (name.startsWith("@")) linkLibraries(source, target);
    else symlinkSync(source, target);
  }
}
