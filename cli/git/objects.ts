/** The objects that a push brings, read by git itself in the repository that receives it. */
import { execFileSync } from "node:child_process";
import { TrustWardenError } from "@trustwarden/core/error.ts";

/** A push of more commits is taken in parts. */
const MAX_COMMITS = 2000;
const MAX_OBJECT_BYTES = 16 * 1024 * 1024;
const TIMEOUT_MS = 60_000;
const OBJECT_ID = /^[0-9a-f]{40}(?:[0-9a-f]{24})?$/;
const NOTHING = /^0+$/;
const TAG_TARGET = /^object ([0-9a-f]{40}(?:[0-9a-f]{24})?)\ntype [a-z]+\n/;

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

/** Whether the repository has no such ref yet. */
export function isCreation({ before }: RefUpdate): boolean {
  return NOTHING.test(before);
}

/** Owns nothing: git's own answers in the repository that it started the hook in, new objects included. */
export class ReceivedObjects {
  readonly #env: NodeJS.ProcessEnv;

  /** @param env - as git gave it: the new objects lie where it says, until they are taken. */
  constructor(env: NodeJS.ProcessEnv) {
    this.#env = { ...env, GIT_GRAFT_FILE: "/dev/null" };
  }

  /** `commit`, `tag`, or what else the ref would point to. */
  kindOf(id: string): string {
    return this.#git("cat-file", "-t", id).trim();
  }

  /** The bytes of a commit or tag, one character each, so that no two objects read the same. */
  read(kind: "commit" | "tag", id: string): string {
    return this.#git("cat-file", kind, id);
  }

  /** What a tag names. @throws TrustWardenError `usage`. */
  targetOf(tag: string): string {
    const [, target] = TAG_TARGET.exec(this.read("tag", tag)) ?? [];
    if (target === undefined) throw new TrustWardenError("usage", { why: "a tag begins with what it names" });
    return target;
  }

  /** Whether everything that `before` led to is still there from `after`. */
  isAncestor(before: string, after: string): boolean {
    return this.#git("rev-list", "--max-count=1", before, "--not", after).trim() === "";
  }

  /** The commits that no ref of the repository has yet. @throws TrustWardenError `request_too_large`. */
  newToRepository(tip: string): readonly string[] {
    return this.#list(tip, "--all");
  }

  /** The commits that the ref did not have. @throws TrustWardenError `request_too_large`. */
  newToRef({ before, after }: RefUpdate): readonly string[] {
    return this.#list(after, before);
  }

  #list(tip: string, known: string): readonly string[] {
    const ids = this.#git("rev-list", `--max-count=${MAX_COMMITS + 1}`, tip, "--not", known)
      .split("\n")
      .filter(Boolean);
    if (ids.length > MAX_COMMITS)
      throw new TrustWardenError("request_too_large", { why: `more than ${MAX_COMMITS} new commits` });
    return ids;
  }

  /** No replacement and no graft changes what is checked. */
  #git(...args: readonly string[]): string {
    const options = { encoding: "latin1", maxBuffer: MAX_OBJECT_BYTES, timeout: TIMEOUT_MS } as const;
    try {
      return execFileSync("git", ["--no-replace-objects", ...args], {
        ...options,
        env: this.#env,
        stdio: ["ignore", "pipe", "pipe"],
      });
    } catch (cause) {
      throw new TrustWardenError("usage", { why: `git ${args[0]} did not answer` }, { cause });
    }
  }
}
