/**
 * The orchestrator: enrols with its owner's ticket before it does anything, and permits its children to exist. It
 * signs a grant for whatever a child asks; the server, not this program, refuses what is more than it has itself.
 */
import { AgentIdentity } from "trustwarden";
import { play } from "./conversation.ts";
import { readRows } from "./finance-client.ts";

const orchestrator = await AgentIdentity.create({ name: "orchestrator" });

play({
  introduce: async () => ({ id: orchestrator.id, agent_id: orchestrator.agentId, scope: orchestrator.scope }),
  grant: async ({ request }) => ({ grant: await orchestrator.grant(String(request)) }),
  read: async ({ url }) => ({ ...(await readRows(orchestrator, String(url))) }),
});
