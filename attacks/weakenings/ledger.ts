/** Checks of the ledger's own work. */
import type { SourceEdit } from "../source-edit.ts";

/** Edits by name. */
export const LEDGER_WEAKENINGS = {
  "witness-takes-any-history": [
    {
      file: "core/agentledger/witness.ts",
      find: '  if (!isContinued(submission, last)) return refused(plain(422, "the proof does not show a continuation"));\n',
      replace: "",
    },
  ],
  "shard-behind-anything": [
    {
      file: "core/agentledger/shard-chain.ts",
      find: '    throw brokenChain(place.name, "its first entry is not the end of the shard before");\n',
      replace: "    return;\n",
    },
  ],
  "any-shard-behind-an-end": [
    {
      file: "core/agentledger/verify-bundle.ts",
      find: "  if (!isShardSuccessor(checkpoint.origin, name)) return false;\n",
      replace: '  if (name !== "") return true;\n',
    },
  ],
  "any-tree-was-seen": [
    {
      file: "server/ledger/published-checkpoints.ts",
      find: "    if (this.#known.has(key)) return null;\n",
      replace: '    if (key !== "") return null;\n',
    },
  ],
  "witness-follows-any-key": [
    {
      file: "core/agentledger/add-shard.ts",
      find: "    verifyInclusion({ index, size: head.size, leaf, proof, root: head.root });\n",
      replace:
        "    if (leaf.length === 0) verifyInclusion({ index, size: head.size, leaf, proof, root: head.root });\n",
    },
  ],
  "moved-without-a-fence": [
    {
      file: "core/agentledger/move-log.ts",
      find: "  if (!isFenced(stored)) await source.swapState(stored, fencedState(state));\n",
      replace: "",
    },
  ],
  "promise-before-durable": [
    {
      file: "core/agentledger/sequencer.ts",
      find: "      await durable;\n",
      replace: "      void durable.catch(() => undefined);\n",
    },
  ],
  "no-bound-on-what-waits": [
    {
      file: "server/intake/admission.ts",
      find: "      if (held + places > room) return false;\n",
      replace: "",
    },
  ],
  "spool-without-end": [
    {
      file: "sdk/outcome-spool.ts",
      find: "    if (this.#waiting.length + this.#reserved >= MAX_WAITING) {\n",
      replace: "    if (this.#reserved >= MAX_WAITING) {\n",
    },
  ],
} as const satisfies Readonly<Record<string, readonly SourceEdit[]>>;
