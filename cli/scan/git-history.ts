/**
 * What the latest commits of a repository added, read from git itself and bounded in commits, bytes and time.
 *
 * The repository may be a stranger's: nothing that its configuration names is run (no external diff, text conversion, signature
 * check, hook, pager or file-system monitor), nothing is fetched, and no first commit, large file or merge is hidden by it. What
 * `.gitattributes` calls binary is not looked at.
 */
import { spawn } from "node:child_process";

const MAX_BYTES = 67_108_864;
const TIMEOUT_MS = 60_000;
const HARMLESS = [
  "-c",
  "core.fsmonitor=false",
  "-c",
  "core.hooksPath=/dev/null",
  "-c",
  "log.showSignature=false",
  "-c",
  "core.quotePath=false",
  "-c",
  "log.showRoot=true",
  "-c",
  "core.bigFileThreshold=512m",
];
const LOG = [
  "log",
  "--all",
  "--no-color",
  "--no-ext-diff",
  "--no-textconv",
  "--no-show-signature",
  "--no-renames",
  "--diff-merges=first-parent",
  "--unified=0",
  "-p",
];
const HEAD = "commit ";

/** What one commit added to one file. */
export interface AddedText {
  readonly commit: string;
  readonly path: string;
  readonly text: string;
}

/** What was read, and whether all of it was. */
export interface GitHistory {
  readonly added: readonly AddedText[];
  readonly isCut: boolean;
}

/** Reads the history of the repository that a directory is in; undefined where there is none, or no git. */
export async function readGitHistory(
  directory: string,
  {
    maxCommits,
    env,
  }: { readonly maxCommits: number; readonly env: Readonly<Record<string, string | undefined>> },
): Promise<GitHistory | undefined> {
  const args = [...HARMLESS, ...LOG, `--format=${HEAD}%H`, "-n", String(maxCommits), "--", "."];
  const child = spawn("git", args, {
    cwd: directory,
    env: {
      PATH: env.PATH,
      HOME: env.HOME,
      GIT_NO_LAZY_FETCH: "1",
      // Older versions of git do not know that: then no transport may start a program either.
      GIT_ALLOW_PROTOCOL: "none",
      GIT_TERMINAL_PROMPT: "0",
      GIT_OPTIONAL_LOCKS: "0",
    },
    stdio: ["ignore", "pipe", "ignore"],
    timeout: TIMEOUT_MS,
    killSignal: "SIGKILL",
  });
  const ended = new Promise<number | null>((resolve) => {
    child.once("error", () => resolve(null));
    child.once("close", (code) => resolve(code));
  });
  const parts: Buffer[] = [];
  let length = 0;
  for await (const part of child.stdout) {
    parts.push(part);
    length += part.length;
    if (length > MAX_BYTES) child.kill("SIGKILL");
  }
  const code = await ended;
  if (code !== 0 && length === 0) return undefined;
  return { added: parseLog(Buffer.concat(parts).toString("utf8")), isCut: code !== 0 };
}

function parseLog(log: string): readonly AddedText[] {
  const found = new Map<
    string,
    { readonly commit: string; readonly path: string; readonly lines: string[] }
  >();
  let [commit, path, isHunk] = ["", "", false];
  for (const line of log.split("\n")) {
    if (line.startsWith(HEAD)) [commit, isHunk] = [line.slice(HEAD.length), false];
    else if (line.startsWith("diff --git ")) isHunk = false;
    else if (!isHunk && line.startsWith("+++ "))
      path = line
        .slice(4)
        .replace(/^"?b\//, "")
        .replace(/"$/, "");
    else if (line.startsWith("@@ ")) isHunk = true;
    else if (isHunk && line.startsWith("+")) {
      const key = `${commit}\0${path}`;
      const entry = found.get(key) ?? { commit, path, lines: [] };
      entry.lines.push(line.slice(1));
      found.set(key, entry);
    }
  }
  return [...found.values()].map(({ lines, ...rest }) => ({ ...rest, text: lines.join("\n") }));
}
