/** F23b: F23 over MCP: another agent's connection, and one's own after the rights have gone. */
import { sendAdmin } from "../../test/support/http.ts";
import { defineScenario, expectSame } from "../scenario.ts";
import { approveServer, callTool, MCP_WORLD, mcpCodeOf, openMcpServer, openSession } from "../support/mcp.ts";

const TOOL = { name: "find", inputSchema: { type: "object" } };

/** Played by the runner. */
export const scenario = defineScenario({
  id: "F23b",
  title: "calls over another agent's cached session, and over its own after it was revoked",
  expected: "a session of nobody; then refused",
  weakening: "sessions-for-everybody",
  world: MCP_WORLD,
  prepare: async (world) => {
    const server = await openMcpServer([TOOL]);
    const upstream = world.name("mcp");
    await approveServer(world, { name: upstream, url: server.url });
    const agent = await world.enrol(["list:mcp", "call:mcp"]);
    const thief = await world.enrol(["list:mcp", "call:mcp"]);
    return { server, upstream, agent, thief, sessionId: await openSession(world, agent, upstream) };
  },
  control: async (world, { upstream, agent, sessionId }) => {
    const answer = await callTool(world, agent, { upstream, tool: "find", values: {}, sessionId });
    expectSame(answer.status, 200, "a call over one's own session");
  },
  mayChange: ["epoch", "liveInstances", "registry"],
  attack: async (world, { server, upstream, agent, thief, sessionId }) => {
    server.heard.length = 0;
    const stolen = await callTool(world, thief, { upstream, tool: "find", values: {}, sessionId });
    expectSame(
      [stolen.status, mcpCodeOf(stolen)],
      [404, "mcp_session_unknown"],
      "a call over another's session",
    );
    const target = { kind: "instance", id: agent.answer.instance_id };
    const body = JSON.stringify({ target });
    await sendAdmin(world.server.adminSocket, { method: "POST", target: "/v1/revocations", body });
    const late = await callTool(world, agent, { upstream, tool: "find", values: {}, sessionId });
    expectSame(late.status, 401, "a call over one's own session after the revocation");
    expectSame(server.heard, [], "what the server heard");
    server.close();
  },
  evidence: async (ledger, { agent, thief }) => {
    await ledger.expect({ kind: "refuse", reason: "identity_revoked", principal: agent.answer.spiffe_id }, 1);
    await ledger.expect({ kind: "action", principal: thief.answer.spiffe_id, outcome: "failure" }, 1);
  },
});
