/** Weakenings of nodes and registration entries: who joins, and whose instances a node may touch. */
import type { SourceEdit } from "../source-edit.ts";

/** Edits by name. */
export const NODES_WEAKENINGS = {
  "join-token-used-again": [
    {
      file: "server/store/commands/join-token.ts",
      find: 'if (row.integerOrNull("used_at") !== null) throw new TrustWardenError("join_token_used", { name });',
      replace: "",
    },
  ],
  "any-nodes-instance": [
    {
      file: "server/http/relation.ts",
      find: 'return reads.findInstance(target.id)?.nodeInstanceId === node.instanceId ? "descendant" : "other";',
      replace: 'return "descendant";',
    },
    {
      file: "server/store/commands/by-node.ts",
      find: "if (findInstance(database, instanceId)?.nodeInstanceId !== nodeInstanceId) throw notOwn();",
      replace: "void nodeInstanceId;",
    },
  ],
} as const satisfies Readonly<Record<string, readonly SourceEdit[]>>;
