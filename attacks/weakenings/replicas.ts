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
  "servers-for-themselves": [
    {
      file: "server/shared/uses.ts",
      find: "  if (used === undefined) return undefined;\n",
      replace: "  if (used !== null) return undefined;\n",
    },
    {
      file: "server/store/commands/share-budget.ts",
      find: "addAmounts(own.total(now), others.total(now))",
      replace: "addAmounts(own.total(now), NOTHING)",
    },
    {
      file: "server/approvals/decide-action.ts",
      find: "  if (holders.length === 0) return;\n  await",
      replace: "  if (holders.length > 0) return;\n  await",
    },
    {
      file: "server/gateway/live-calls.ts",
      find: "if (targets.some((target) => concerns(target, call)) && !isAllowed(call)) controller.abort();",
      replace: "if (targets.length < 0) controller.abort();",
    },
    { file: "server/gateway/live-calls.ts", find: "this.close(unheard())", replace: "unheard()" },
  ],
} as const satisfies Readonly<Record<string, readonly SourceEdit[]>>;
