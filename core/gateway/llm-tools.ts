/**
 * Which tools a request to a model API offers, and which of them the provider itself would run.
 *
 * A tool that the provider runs (a web search, code, somebody's MCP server) acts outside without passing the gateway, so an
 * operator names those that may be used. What is not known to run at the caller counts as run by the provider.
 */
import { isJsonObject, type Json, type JsonObject } from "../json.ts";
import type { LlmDialect } from "./llm-call.ts";

/** What policies see of names that a caller chose. */
const MAX_SHOWN_TOOLS = 64;
const MAX_NAME_CHARS = 64;
const NAME = /^[A-Za-z0-9_.:-]+$/;

/** Tools that the caller runs, by their type. */
const CALLER_RUN: Readonly<Record<LlmDialect, readonly RegExp[]>> = {
  openai: [/^function$/, /^custom$/, /^local_shell$/, /^apply_patch$/, /^computer(?:_use_preview)?$/],
  anthropic: [/^custom$/, /^bash_\d+$/, /^text_editor_\d+$/, /^computer_\d+$/, /^memory_\d+$/],
};

/** Members that switch a provider's own tool on without listing it among the tools. */
const IMPLIED: Readonly<Record<string, string>> = {
  web_search_options: "web_search",
  mcp_servers: "mcp",
  container: "container",
};

/** Names of the offered tools, as far as they are names; at most 64. */
export function listToolNames(body: JsonObject): readonly string[] {
  return entriesOf(body.tools).map(nameOf).filter(isShown).slice(0, MAX_SHOWN_TOOLS);
}

/** Types of the offered tools that the provider runs, sorted; `unknown` for one without a readable type. */
export function findHostedTools(dialect: LlmDialect, body: JsonObject): readonly string[] {
  const listed = entriesOf(body.tools)
    .map((tool) => typeOf(dialect, tool))
    .filter((type) => !CALLER_RUN[dialect].some((pattern) => pattern.test(type)));
  const implied = Object.entries(IMPLIED).flatMap(([member, type]) =>
    body[member] === undefined || body[member] === null ? [] : [type],
  );
  return [...new Set([...listed, ...implied])].sort().slice(0, MAX_SHOWN_TOOLS);
}

function entriesOf(tools: Json | undefined): readonly Json[] {
  if (tools === undefined || tools === null) return [];
  return Array.isArray(tools) ? tools : [tools];
}

function nameOf(tool: Json): Json | undefined {
  if (!isJsonObject(tool)) return undefined;
  return isJsonObject(tool.function) ? tool.function.name : tool.name;
}

function isShown(name: Json | undefined): name is string {
  return typeof name === "string" && name.length <= MAX_NAME_CHARS && NAME.test(name);
}

/** Anthropic's own tools need no type when the caller describes them. */
function typeOf(dialect: LlmDialect, tool: Json): string {
  if (!isJsonObject(tool)) return "unknown";
  const { type } = tool;
  if ((type === undefined || type === null) && dialect === "anthropic") return "custom";
  return isShown(type) ? type : "unknown";
}
