/** Weakenings of the A2A gateway. */
import type { SourceEdit } from "../source-edit.ts";

/** Edits by name. */
export const A2A_WEAKENINGS = {
  "changed-cards-usable": [
    {
      file: "server/gateway/a2a/card.ts",
      find: 'const { approved } = parts.catalogues.require(upstream, KIND, "");',
      replace: "const approved = parts.catalogues.list(upstream)[0]?.approved ?? null;",
    },
  ],
  "tasks-of-everybody": [
    {
      file: "server/gateway/a2a/perform-a2a.ts",
      find: "agentId: caller.agent.agentId,",
      replace: 'agentId: "",',
    },
  ],
  "pushes-passed-on": [
    {
      file: "core/gateway/plan-a2a.ts",
      find: "if (!isJsonObject(configuration)) return false;",
      replace: "if (isJsonObject(configuration)) return false; else return false;",
    },
  ],
} as const satisfies Readonly<Record<string, readonly SourceEdit[]>>;
