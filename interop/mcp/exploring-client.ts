/**
 * Clients of the official SDKs of both eras that use whatever a server offers: every list, every tool, every resource,
 * every prompt. What of it is right is for the suite's server to say.
 */
import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { Client as LegacyClient } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport as LegacyTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { ElicitRequestSchema } from "@modelcontextprotocol/sdk/types.js";

/** A call that the suite asks for by its arguments. */
export interface ToolCall {
  readonly name: string;
  readonly arguments: Readonly<Record<string, unknown>>;
}

interface Explored {
  readonly tools: readonly { readonly name: string; readonly inputSchema: object }[];
  readonly call: (call: ToolCall) => Promise<unknown>;
}

const ECHO = "json_schema_echo";
const INFO = { name: "judged", version: "1" } as const;

/** @param asked - calls instead of those that the schemas suggest. */
export async function exploreModern(url: string, asked: readonly ToolCall[]): Promise<void> {
  const client = new Client(INFO, {
    capabilities: { elicitation: {} },
    versionNegotiation: { mode: "auto" },
  } as never);
  client.setRequestHandler(
    "elicitation/create" as never,
    (async () => ({ action: "accept", content: {} })) as never,
  );
  await client.connect(new StreamableHTTPClientTransport(new URL(url)));
  const { resources, prompts } = client.getServerCapabilities() ?? {};
  const { tools } = await client.listTools();
  await callAll({ tools, call: (call) => client.callTool(call as never) }, asked);
  const offered = resources === undefined ? [] : (await client.listResources()).resources;
  for (const { uri } of offered) await client.readResource({ uri });
  const named = prompts === undefined ? [] : (await client.listPrompts()).prompts;
  for (const { name } of named) await client.getPrompt({ name });
  await client.close();
}

/** The same in the era of sessions. */
export async function exploreLegacy(url: string): Promise<void> {
  const capabilities = { elicitation: { form: { applyDefaults: true } } };
  const client = new LegacyClient(INFO, { capabilities: capabilities as never });
  client.setRequestHandler(ElicitRequestSchema, async () => ({ action: "accept" as const, content: {} }));
  await client.connect(new LegacyTransport(new URL(url)) as never);
  const { tools } = await client.listTools();
  await callAll({ tools, call: (call) => client.callTool(call as never) }, []);
  await client.close();
}

async function callAll({ tools, call }: Explored, asked: readonly ToolCall[]): Promise<void> {
  const calls = asked.length > 0 ? asked.map(withoutNull) : tools.map((tool) => suggestedCall(tool, tools));
  // What a client makes of one answer is for the suite to judge; the next call is made in any case.
  for (const one of calls) await call(one).catch(() => undefined);
}

/** No schema of the suite takes null, so a client leaves such a member out. */
function withoutNull({ name, arguments: values }: ToolCall): ToolCall {
  return {
    name,
    arguments: Object.fromEntries(Object.entries(values).filter(([, value]) => value !== null)),
  };
}

/** A value for each member that the schema requires; the suite's echo wants another tool's schema as it was listed. */
function suggestedCall({ name, inputSchema }: Explored["tools"][number], tools: Explored["tools"]): ToolCall {
  const other = tools.find((tool) => tool.name !== name)?.inputSchema;
  if (name === ECHO) return { name, arguments: { schema: other } };
  const { properties = {}, required = [] } = inputSchema as {
    readonly properties?: Readonly<Record<string, { readonly type?: string }>>;
    readonly required?: readonly string[];
  };
  return {
    name,
    arguments: Object.fromEntries(required.map((member) => [member, exampleOf(properties[member]?.type)])),
  };
}

function exampleOf(type: string | undefined): unknown {
  switch (type) {
    case "number":
    case "integer":
      return 5;
    case "boolean":
      return true;
    case "object":
      return {};
    case "array":
      return [];
    default:
      return "text";
  }
}
