/** Weakenings of the door of repositories. */
import type { SourceEdit } from "../source-edit.ts";

/** Edits by name. */
export const GIT_WEAKENINGS = {
  "any-commit-counts": [
    {
      file: "cli/commands/git-hook.ts",
      find: "for (const id of brought) {",
      replace: "for (const id of [].values()) {",
    },
    {
      file: "cli/commands/git-hook.ts",
      find: "for (const id of known) if (!brought.has(id))",
      replace: "for (const id of known) if (id === null)",
    },
  ],
} as const satisfies Readonly<Record<string, readonly SourceEdit[]>>;
