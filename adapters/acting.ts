/**
 * Which agent is acting, where several live in one process.
 *
 * A handle (`AgentIdentity`) is the only thing that acts; the context only says whose work is being done, so that a
 * sub-agent finds its parent, and a handle that strayed into another agent's work is refused instead of used. It keeps
 * apart what is honest: code of the same process can read the memory of all of them (docs/guides/one-process.md).
 */
import { AsyncLocalStorage } from "node:async_hooks";
import { type AgentIdentity, TrustWardenError } from "trustwarden";

const acting = new AsyncLocalStorage<AgentIdentity>();

/** Runs work as the agent's: what it awaits, calls back and spawns belongs to this agent too. */
export function actAs<T>(agent: AgentIdentity, work: () => T): T {
  return acting.run(agent, work);
}

/** The agent whose work this is; undefined outside of any. */
export function currentAgent(): AgentIdentity | undefined {
  return acting.getStore();
}

/**
 * The agent that this work has to be recorded for: the handle at hand, or else the one whose work it is.
 *
 * @param handle - the identity that a tool or connection was bound to.
 * @throws TrustWardenError `agent_missing` without either; `agent_mismatch` when a handle is used in the work of an
 *   agent that is neither itself nor one of its ancestors.
 */
export function requireActing(handle?: AgentIdentity): AgentIdentity {
  const current = acting.getStore();
  const agent = handle ?? current;
  if (agent === undefined) throw new TrustWardenError("agent_missing");
  // A parent may hold its child's handle: it made the child, and reads its streams.
  const isOwn = current === undefined || current === agent || isBelow(current, agent);
  if (!isOwn) throw new TrustWardenError("agent_mismatch", { handle: agent.id, acting: current.id });
  return agent;
}

function isBelow(ancestor: AgentIdentity, agent: AgentIdentity): boolean {
  const { chain } = ancestor;
  return agent.chain.length > chain.length && chain.every((link, index) => agent.chain[index] === link);
}
