/**
 * What a tool call means in the words of the policy: action, resource, parameters.
 *
 * Every tool has a meaning: the one that the rules name, or `use:tool:<name>`. A tool is never without one.
 */
import type { AgentIdentity } from "trustwarden";

/** Parameters of an act: a JSON object, of which only a salted commitment leaves the process. */
export type Parameters = NonNullable<globalThis.Parameters<AgentIdentity["act"]>[2]>;

/** What one tool means. */
export interface ToolRule {
  /** `verb:type[:path]`, or what makes it of the call's arguments. */
  readonly action: string | ((input: Parameters) => string);
  /** A URI, or what makes it of the call's arguments; `tool:<name>` when absent. */
  readonly resource?: string | ((input: Parameters) => string);
}

/** Meanings by the tool's name; a text is an action. */
export type ToolRules = Readonly<Record<string, string | ToolRule>>;

/** One call of a tool, in the words of the policy. */
export interface ToolCall {
  readonly tool: string;
  readonly action: string;
  readonly resource: string;
  readonly params: Parameters;
}

/** The meaning of a call. Throws what a rule's own function throws; arguments that are no JSON throw `TypeError`. */
export function planToolCall(tool: string, input: unknown, rules: ToolRules = {}): ToolCall {
  const params = parametersOf(input);
  const named = Object.hasOwn(rules, tool) ? rules[tool] : undefined;
  const rule = typeof named === "string" ? { action: named } : named;
  const { action = `use:tool:${tool}`, resource = `tool:${encodeURIComponent(tool)}` } = rule ?? {};
  return {
    tool,
    action: typeof action === "string" ? action : action(params),
    resource: typeof resource === "string" ? resource : resource(params),
    params,
  };
}

/** The arguments as they would cross a wire, which is what the commitment and a human's question are about. */
function parametersOf(input: unknown): Parameters {
  if (input === undefined || input === null) return {};
  const plain: unknown = JSON.parse(JSON.stringify(input) ?? "null");
  return isObject(plain) ? plain : { input: JSON.parse(JSON.stringify(plain)) };
}

function isObject(value: unknown): value is Parameters {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
