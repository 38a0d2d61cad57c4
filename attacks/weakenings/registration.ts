/** Edits under which owners have as many agents as they like, and go on when they have gone. */
import type { SourceEdit } from "../source-edit.ts";

/** Edits by name. */
export const REGISTRATION_WEAKENINGS = {
  "quota-uncounted": [
    {
      file: "server/store/commands/registry.ts",
      find: "if (count === undefined || count >= quotas[quota]) {",
      replace: "if (count === undefined) {",
    },
  ],
  "agents-outlive-owners": [
    {
      file: "server/store/commands/revoke.ts",
      find: "UPDATE instances SET revoked_epoch = ? WHERE revoked_epoch IS NULL AND owner_id = ? RETURNING expires_at",
      replace:
        "UPDATE instances SET revoked_epoch = ? WHERE revoked_epoch IS NULL AND owner_id = ? AND 0 = 1 RETURNING expires_at",
    },
    {
      file: "server/http/peer.ts",
      find: "if (reads.findOwner(ownerId)?.isRevoked === false) return;",
      replace: "if (reads.findOwner(ownerId) !== undefined) return;",
    },
  ],
} as const satisfies Readonly<Record<string, readonly SourceEdit[]>>;
