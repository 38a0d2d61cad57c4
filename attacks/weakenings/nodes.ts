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
      find: "if (line.at(-1)?.nodeInstanceId !== nodeInstanceId) throw notOwn();",
      replace: "void nodeInstanceId;",
    },
  ],
  "a-number-is-a-process": [
    {
      file: "node/attest/peer-process.ts",
      find: "const isAlive = () => holders > 0 && kernel.ended([pidfd]).length === 0;",
      replace: "const isAlive = () => holders > 0;",
    },
    {
      file: "node/attest/peer-process.ts",
      find: 'return now !== undefined && now.startTime === first.startTime && now.state !== "Z" && now.state !== "X";',
      replace: "return now !== undefined || first.state !== undefined;",
    },
  ],
  "renewed-without-a-look": [
    {
      file: "node/workload.ts",
      find: "attestAgain: () => this.#attestAgain(),",
      replace: "attestAgain: async () => {},",
    },
  ],
  "anybodys-parent": [
    {
      file: "node/attested-source.ts",
      find: "return (await this.#provide(peer)).issueGrant(asked);",
      replace:
        "const named = [...this.#workloads.values()].find((one) => one.describe().some(({ instanceId }) => instanceId === asked.parent)); return (named ?? (await this.#provide(peer))).issueGrant(asked);",
    },
  ],
  "deaf-and-glad": [
    {
      file: "node/daemon.ts",
      find: "source.onTargets(targets);",
      replace: "",
    },
    {
      file: "node/daemon.ts",
      find: "refresher.soonThen(() => source.renewAll(() => true));",
      replace: "refresher.soon();",
    },
  ],
  "anybody-belongs": [
    {
      file: "node/launcher/binding.ts",
      find: "return namespace !== undefined && namespaceOf(peer.pid) === namespace && peer.isAlive();",
      replace: "return peer.isAlive();",
    },
    {
      file: "node/launcher/binding.ts",
      find: "return (peer) => peer.uid === uid && peer.isAlive();",
      replace: "return (peer) => uid >= 0 && peer.isAlive();",
    },
  ],
} as const satisfies Readonly<Record<string, readonly SourceEdit[]>>;
