/** F22: names that lead elsewhere than they seem to. */
import { defineScenario, expectSame } from "../scenario.ts";
import { approveServer, callTool, MCP_WORLD, mcpCodeOf, openMcpServer, say } from "../support/mcp.ts";

const TOOL = { name: "open", inputSchema: { type: "object", properties: { path: { type: "string" } } } };
const SETTINGS = { resources: "scoped", tools: { open: { action: "read:file:{+path}" } } };
const URIS = [
  "file:///public/../etc/passwd",
  "file:///public/%2e%2e/etc",
  "file:///public%2f..",
  "file:///public\\etc",
  "file:///a/./b",
];
const PATHS = [
  "../etc/passwd",
  "public/../etc",
  "/etc/passwd",
  "public//x",
  "public/%2e%2e/x",
  "public/\u0000",
];

/** Played by the runner. */
export const scenario = defineScenario({
  id: "F22",
  title: "reads resources and passes paths that climb, hide their structure or begin at the root",
  expected: "refused before anybody decides; the server hears of none",
  weakening: "climbing-names",
  world: MCP_WORLD,
  prepare: async (world) => {
    const server = await openMcpServer([TOOL]);
    const upstream = world.name("mcp");
    await approveServer(world, { name: upstream, url: server.url, settings: SETTINGS });
    return {
      server,
      upstream,
      agent: await world.enrol(["list:mcp", "read:mcp", "read:file:public/**", "call:mcp"]),
    };
  },
  control: async (world, { upstream, agent }) => {
    const read = await say(world, agent, {
      upstream,
      message: { id: 1, method: "resources/read", params: { uri: "file:///public/note" } },
      action: `read:mcp:${upstream}/resources/file/-/public/note`,
      resource: `mcp://${upstream}/resources/file/-/public/note`,
    });
    expectSame(read.status, 200, "a plain resource");
    const opened = await say(world, agent, {
      upstream,
      message: { id: 1, method: "tools/call", params: { name: "open", arguments: { path: "public/note" } } },
      action: "read:file:public/note",
      resource: `mcp://${upstream}/tools/open`,
    });
    expectSame(opened.status, 200, "a plain path");
  },
  attack: async (world, { server, upstream, agent }) => {
    server.heard.length = 0;
    for (const uri of URIS) {
      const answer = await say(world, agent, {
        upstream,
        message: { id: 1, method: "resources/read", params: { uri } },
        action: `read:mcp:${upstream}/resources/file/-/public/note`,
        resource: `mcp://${upstream}/resources/file/-/public/note`,
      });
      expectSame([uri, mcpCodeOf(answer)], [uri, "mcp_name_refused"], "a resource that leads elsewhere");
    }
    for (const path of PATHS) {
      const answer = await callTool(world, agent, { upstream, tool: "open", values: { path } });
      expectSame([path, mcpCodeOf(answer)], [path, "mcp_arguments_refused"], "a path that leads elsewhere");
    }
    expectSame(server.heard, [], "what the server heard");
    server.close();
  },
  evidence: (ledger) => ledger.expectNothing(),
});
