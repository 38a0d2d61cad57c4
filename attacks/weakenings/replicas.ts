/** Edits under which what one of several servers has used counts at the others once more. */
import type { SourceEdit } from "../source-edit.ts";

/** Edits by name. */
export const REPLICA_WEAKENINGS = {
  "uses-unclaimed": [
    {
      file: "server/shared/uses.ts",
      find: "  if (used === undefined) return undefined;\n",
      replace: "  if (used !== null) return undefined;\n",
    },
  ],
} as const satisfies Readonly<Record<string, readonly SourceEdit[]>>;
