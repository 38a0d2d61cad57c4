/**
 * MCP servers of OpenAI Agents: each call of their tools is decided and recorded, as the agent's.
 *
 * The SDK makes tools of what a server lists, and such a tool hides how it ends. So the guard stands in two places: the
 * tool says which call it is, by the name that the model knows and by the SDK's id, and puts it before a human; the
 * server, on its way to which nothing can go round, has it decided. What comes to the server by another way is refused.
 */
import { AsyncLocalStorage } from "node:async_hooks";
import type { Agent, FunctionTool, MCPServer, Tool } from "@openai/agents";
import { TrustWardenError } from "trustwarden";

/** What the SDK reads of a server besides its methods; a member that a later SDK adds is not passed on. */
const SETTINGS = [
  "name",
  "cacheToolsList",
  "toolFilter",
  "toolMetaResolver",
  "customDataExtractor",
  "toolInputGuardrails",
  "toolOutputGuardrails",
  "useStructuredContent",
  "errorFunction",
] as const;

// biome-ignore lint/suspicious/noExplicitAny: the SDK's own way of saying any agent.
type AnyAgent = Agent<any, any>;
type CallTool = MCPServer["callTool"];
type Content = Awaited<ReturnType<CallTool>>;
type Result = Awaited<ReturnType<NonNullable<MCPServer["callToolResult"]>>>;

/** One call of a server's tool. */
export interface McpCall {
  /** The name that the model knows, which has the server's before it where the agent is set so. */
  readonly tool: string;
  readonly id: string | undefined;
  readonly input: unknown;
  readonly signal?: AbortSignal | undefined;
}

/** What decides about calls, and records them. */
export interface McpGuard {
  readonly needsApproval: (call: McpCall) => Promise<boolean>;
  /** @param refused - makes the answer of a refusal's text. */
  readonly run: <T>(call: McpCall, work: () => Promise<T>, refused: (text: string) => T) => Promise<T>;
}

/** Which call the SDK's tool is at. */
const current = new AsyncLocalStorage<Pick<McpCall, "tool" | "id"> | undefined>();

/** Puts the guard around the servers of an agent that has not run yet, and around the tools that it makes of them. */
export function guardMcpServers(agent: AnyAgent, guard: McpGuard): void {
  const getTools = agent.getMcpTools.bind(agent);
  agent.mcpServers = agent.mcpServers.map((server) => guardServer(server, guard));
  agent.getMcpTools = async (...asked) => (await getTools(...asked)).map((tool) => nameCalls(tool, guard));
}

function nameCalls(tool: Tool, guard: McpGuard): Tool {
  if (tool.type !== "function") throw new TrustWardenError("tool_unguarded", { tool: tool.name });
  const { name, invoke } = tool;
  const named: Pick<FunctionTool, "invoke" | "needsApproval"> = {
    invoke: (context, input, details) =>
      current.run({ tool: name, id: details?.toolCall?.callId }, () => invoke(context, input, details)),
    needsApproval: (_, input, id) => guard.needsApproval({ tool: name, id, input }),
  };
  return Object.assign(tool, named);
}

function guardServer(server: MCPServer, guard: McpGuard): MCPServer {
  const { callToolResult } = server;
  const call = <T>(
    given: Parameters<CallTool>,
    work: () => Promise<T>,
    refused: (text: string) => T,
  ): Promise<T> => {
    const [name, input, , options] = given;
    const named = current.getStore();
    if (named === undefined) throw new TrustWardenError("tool_unguarded", { tool: name });
    const asked = { ...named, input, signal: options?.signal };
    return current.run(undefined, () => guard.run(asked, work, refused));
  };
  const refusedContent = (text: string): Content => [{ type: "text", text }];
  const refusedResult = (text: string): Result => ({ content: refusedContent(text), isError: true });
  const guarded: Omit<MCPServer, (typeof SETTINGS)[number]> = {
    connect: () => server.connect(),
    close: () => server.close(),
    listTools: () => server.listTools(),
    invalidateToolsCache: () => server.invalidateToolsCache(),
    callTool: async (...given) => call(given, () => server.callTool(...given), refusedContent),
    ...(callToolResult && {
      callToolResult: async (...given) =>
        call(given, () => callToolResult.apply(server, given), refusedResult),
    }),
  };
  return Object.assign(
    Object.fromEntries(SETTINGS.map((member) => [member, server[member]])),
    Object(guarded),
  );
}
