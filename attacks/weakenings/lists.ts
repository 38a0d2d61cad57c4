/** Weakenings of the lists that relying parties without a lease read. */
import type { SourceEdit } from "../source-edit.ts";

/** Edits by name. */
export const LISTS_WEAKENINGS = {
  "lists-forget": [
    {
      file: "server/store/commands/revocation-lists.ts",
      find: "return database.all(LIST_REVOKED, since, now - KEPT_SECONDS, ca.serialHex)",
      replace: 'return database.all(LIST_REVOKED, since, now - KEPT_SECONDS, "none")',
    },
    {
      file: "server/store/commands/status-slots.ts",
      find: "database.all(LIST_INVALID, now - LIST_TTL_SECONDS, page, now, page, now)",
      replace: "database.all(LIST_INVALID, now - LIST_TTL_SECONDS, -1, now, -1, now)",
    },
  ],
} as const satisfies Readonly<Record<string, readonly SourceEdit[]>>;
