/**
 * Finding agents in the registry, by whatever a person has at hand: a name, a path and name, or an id.
 */
import { type AgentView, agentList, agentView } from "@trustwarden/core/api/ledger.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { type Client, readPages } from "./client.ts";

/** Rows a page; the API's maximum. */
const PAGE_ROWS = 500;
/** More than a person reads; past that, filters are asked for. */
const MAX_AGENTS = 20_000;

export type AgentInstance = AgentView["instances"][number];

/** What a person named: an agent, and one instance of it when the text was an instance's id. */
export interface FoundAgent {
  readonly agent: AgentView;
  readonly instance: AgentInstance | undefined;
}

/** Every agent of the filter, page by page. */
export async function fetchAgents(
  client: Client,
  filter: { readonly owner?: string | undefined; readonly name?: string | undefined } = {},
): Promise<readonly AgentView[]> {
  const agents: AgentView[] = [];
  const query = { ...filter, limit: PAGE_ROWS };
  for await (const page of readPages(client, { path: "/v1/agents", query, schema: agentList })) {
    agents.push(...page.agents);
    if (agents.length >= MAX_AGENTS) break;
  }
  return agents;
}

/**
 * The one agent that the text names: `agt_…`, `inst-…`, a SPIFFE ID, a name, or `path/name`.
 *
 * @throws TrustWardenError `not_found`, or `usage` when several agents have that name.
 */
export async function findAgent(client: Client, text: string): Promise<FoundAgent> {
  if (text.startsWith("agt_")) {
    const agent = await client.get(`/v1/agents/${encodeURIComponent(text)}`, agentView);
    return { agent, instance: undefined };
  }
  const instanceId = instanceIdIn(text);
  if (instanceId !== undefined) return findByInstance(client, instanceId);
  const name = text.slice(text.lastIndexOf("/") + 1);
  const named = (await fetchAgents(client, { name })).filter(
    (agent) => text === agent.name || text === `${agent.path}/${agent.name}`,
  );
  const live = named.filter((agent) => agent.status === "live");
  return { agent: requireOne(live.length > 0 ? live : named, text), instance: undefined };
}

/** `inst-…` itself, or the last segment of a SPIFFE ID. */
export function instanceIdIn(text: string): string | undefined {
  const last = text.slice(text.lastIndexOf("/") + 1);
  return last.startsWith("inst-") ? last : undefined;
}

async function findByInstance(client: Client, instanceId: string): Promise<FoundAgent> {
  for (const agent of await fetchAgents(client)) {
    const instance = agent.instances.find((candidate) => candidate.instance_id === instanceId);
    if (instance !== undefined) return { agent, instance };
  }
  throw new TrustWardenError("not_found", { why: `no agent has the instance ${instanceId}` });
}

function requireOne(agents: readonly AgentView[], text: string): AgentView {
  const [agent, ...others] = agents;
  if (agent === undefined) throw new TrustWardenError("not_found", { why: `no agent is called ${text}` });
  if (others.length === 0) return agent;
  throw new TrustWardenError("usage", {
    why: `${agents.length} agents are called ${text}: ${agents.map((each) => each.agent_id).join(", ")}`,
    next: "Name one of them by its id or as path/name; `warden agent tree` shows them.",
  });
}
