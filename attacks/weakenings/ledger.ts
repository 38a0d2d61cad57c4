/** Checks of the ledger's own work. */
import type { SourceEdit } from "../source-edit.ts";

/** Edits by name. */
export const LEDGER_WEAKENINGS = {
  "promise-before-durable": [
    {
      file: "core/agentledger/sequencer.ts",
      find: "      await durable;\n",
      replace: "      void durable.catch(() => undefined);\n",
    },
  ],
} as const satisfies Readonly<Record<string, readonly SourceEdit[]>>;
