/**
 * The delegation tree as text: owners, their agents, and below each agent the ones it created.
 */
import type { AgentView } from "@trustwarden/core/api/ledger.ts";
import { printable } from "./output.ts";

/**
 * Lines of the whole tree.
 *
 * @param ownerNames - display name by owner id; an unknown owner is shown by its id.
 */
export function formatTree(
  agents: readonly AgentView[],
  ownerNames: ReadonlyMap<string, string>,
): readonly string[] {
  const known = new Set(agents.map((agent) => agent.agent_id));
  const roots = agents.filter(({ parent_agent_id: parent }) => parent === null || !known.has(parent));
  const owners = [...new Set(roots.map((agent) => agent.owner_id))];
  return owners.flatMap((owner) => [
    `${printable(ownerNames.get(owner) ?? "owner")} (${owner})`,
    ...formatBranches(
      roots.filter((agent) => agent.owner_id === owner),
      agents,
      "",
    ),
  ]);
}

/** One line an agent: name, scope of its newest instance, and whether it lives. */
function formatAgent({ name, path, agent_id: id, status, instances }: AgentView): string {
  const newest = instances.at(-1);
  const scope = newest === undefined ? "" : `  [${newest.scope.join(", ")}]`;
  const place = path === "" ? "" : `${path}/`;
  return `${printable(`${place}${name}`)} (${id}) ${status}, ${instances.length} instance(s)${scope}`;
}

function formatBranches(
  siblings: readonly AgentView[],
  agents: readonly AgentView[],
  indent: string,
): readonly string[] {
  return siblings.flatMap((agent, index) => {
    const isLast = index === siblings.length - 1;
    const children = agents.filter((other) => other.parent_agent_id === agent.agent_id);
    return [
      `${indent}${isLast ? "└── " : "├── "}${formatAgent(agent)}`,
      ...formatBranches(children, agents, `${indent}${isLast ? "    " : "│   "}`),
    ];
  });
}
