/** The objects that a push brings, read by git itself in the repository that receives it. */
import { execFileSync } from "node:child_process";
import { TrustWardenError } from "@trustwarden/core/error.ts";

/** A push of more commits is taken in parts. */
const MAX_COMMITS = 2000;
const MAX_OBJECT_BYTES = 16 * 1024 * 1024;
const TIMEOUT_MS = 60_000;
const OBJECT_ID = /^[0-9a-f]{40}(?:[0-9a-f]{24})?$/;
const NOTHING = /^0+$/;

/** One updated ref. */
export interface RefUpdate {
  readonly ref: string;
  readonly before: string;
  readonly after: string;
}

/** @throws TrustWardenError `usage` for anything that git does not write. */
export function parseRefUpdate([before = "", after = "", ref = ""]: readonly string[]): RefUpdate {
  if (!OBJECT_ID.test(before) || !OBJECT_ID.test(after) || !ref.startsWith("refs/"))
    throw new TrustWardenError("usage", { why: "git gives a hook the old and new object and the ref" });
  return { ref, before, after };
}

/** Whether the push takes the ref away; nobody has signed that. */
export function isDeletion({ after }: RefUpdate): boolean {
  return NOTHING.test(after);
}

/** `commit`, `tag`, or what else the ref would point to. */
export function kindOf(id: string): string {
  return git("cat-file", "-t", id).trim();
}

/** The text of a commit or tag. */
export function readObject(kind: "commit" | "tag", id: string): string {
  return git("cat-file", kind, id);
}

/** The commits that no ref of the repository has yet. @throws TrustWardenError `request_too_large`. */
export function newCommits(tip: string): readonly string[] {
  const ids = git("rev-list", `--max-count=${MAX_COMMITS + 1}`, tip, "--not", "--all")
    .split("\n")
    .filter(Boolean);
  if (ids.length > MAX_COMMITS)
    throw new TrustWardenError("request_too_large", { why: `more than ${MAX_COMMITS} new commits` });
  return ids;
}

/** No replacement and no graft changes what is checked. */
function git(...args: readonly string[]): string {
  const options = { encoding: "utf8", maxBuffer: MAX_OBJECT_BYTES, timeout: TIMEOUT_MS } as const;
  try {
    return execFileSync("git", ["--no-replace-objects", ...args], {
      ...options,
      stdio: ["ignore", "pipe", "pipe"],
    });
  } catch (cause) {
    throw new TrustWardenError("usage", { why: `git ${args[0]} did not answer` }, { cause });
  }
}
