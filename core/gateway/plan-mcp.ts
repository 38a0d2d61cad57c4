/**
 * What an MCP request means: one JSON-RPC message, one action.
 *
 * The action comes from the method table and the operator's settings; names that are not plain ASCII are refused before
 * anybody decides. Whether a tool is pinned and its arguments fit its schema is checked by the performer, which knows
 * the catalogue; the agent that plans the same bytes does not need it.
 */
import { type ActionName, parseActionName } from "../action.ts";
import { encodeBase64url } from "../bytes.ts";
import { sha256 } from "../crypto.ts";
import { TrustWardenError } from "../error.ts";
import { encodeCanonicalJson, isJsonObject, type Json, type JsonObject } from "../json.ts";
import { actionOfTemplate } from "./mcp/action-template.ts";
import { isAggregate, routeToMember } from "./mcp/aggregate.ts";
import { type Subject, subjectOf } from "./mcp/methods.ts";
import { parseName, parseResourceUri, resourcePathOf } from "./mcp/names.ts";
import { eraOf, type McpRequest, parseMcpRequest } from "./mcp/request.ts";
import { type McpSettings, parseMcpSettings, toolSettingsOf } from "./mcp/settings.ts";
import { type CallEffects, type CallPlan, NO_EFFECTS, type PlanRequest } from "./plan.ts";
import type { UpstreamDescription } from "./upstream.ts";

/** The MCP endpoint of an upstream, below its name. */
const ENDPOINTS: readonly string[] = ["/", "/mcp"];
/** Of an endpoint that stands for others and has nothing of its own. */
const OWN_SETTINGS: JsonObject = {};
/** As much of the arguments as policies see. */
const MAX_ARGUMENT_BYTES = 32_768;
/** A longer text is shown to policies by its digest when the whole is too large. */
const MAX_SHOWN_CHARS = 512;

/** An MCP request on its way: the message, or one of the two requests of the legacy era that have none. */
export type McpCall = McpRequest | McpStream;

/** `GET` for the stream of what the server says unasked, `DELETE` to end the session. */
export interface McpStream {
  readonly era: "legacy";
  readonly version: string;
  readonly message: null;
  readonly ends: boolean;
}

/**
 * The meaning of a request.
 *
 * @throws TrustWardenError `route_unknown`, `method_not_allowed`, `mcp_malformed`, `mcp_method_unknown`,
 *   `mcp_header_mismatch`, `mcp_version_unsupported`, `mcp_meta_missing`, `mcp_name_refused`, `mcp_arguments_refused`.
 */
export function planMcp(upstream: UpstreamDescription, request: PlanRequest): CallPlan {
  if (isAggregate(upstream.settings)) return planAggregate(upstream, request);
  const call = parseMcpCall(request);
  const settings = parseMcpSettings(upstream.settings);
  return planMessage({ upstream: upstream.name, settings, call });
}

/** What is for one member is that member's call; the rest is the endpoint's own. */
function planAggregate(upstream: UpstreamDescription, request: PlanRequest): CallPlan {
  if (!ENDPOINTS.includes(request.target.path)) throw new TrustWardenError("route_unknown");
  const routed = routeToMember(upstream.settings, request);
  if (routed === null)
    return planMessage({
      upstream: upstream.name,
      settings: parseMcpSettings(OWN_SETTINGS),
      call: parseMcpCall(request),
    });
  const settings = parseMcpSettings(routed.settings);
  return planMessage({ upstream: routed.member, settings, call: parseMcpCall(routed.request) });
}

/** The request as MCP reads it. @throws TrustWardenError as `planMcp`. */
export function parseMcpCall({ method, target, headers, body }: PlanRequest): McpCall {
  if (!ENDPOINTS.includes(target.path)) throw new TrustWardenError("route_unknown");
  if (method === "POST") return parseMcpRequest(headers, body);
  const ends = method === "DELETE";
  const version = headers["mcp-protocol-version"] ?? "";
  const isLegacy = (ends || method === "GET") && eraOf(version) === "legacy";
  if (!isLegacy) throw new TrustWardenError("method_not_allowed", { method });
  return { era: "legacy", version, message: null, ends };
}

/** Whose settings say what a call means. */
export interface McpQuestion {
  /** Name of the upstream. */
  readonly upstream: string;
  readonly settings: McpSettings;
}

/** @throws TrustWardenError as `planMcp`. */
function planMessage({ upstream, settings, call }: McpQuestion & { readonly call: McpCall }): CallPlan {
  const { message, era } = call;
  if (message === null) return plumbing(upstream, "server");
  if (message.kind === "result" || message.kind === "failure") return answerOf(upstream);
  const subject = subjectOf(message.kind, message.method, era);
  if (subject === undefined) throw new TrustWardenError("mcp_method_unknown", { method: message.method });
  return planSubject({ upstream, settings }, subject, message.params);
}

function planSubject(question: McpQuestion, subject: Subject, params: JsonObject): CallPlan {
  switch (subject) {
    case "server":
    case "tools":
    case "resources":
    case "prompts":
      return plumbing(question.upstream, subject);
    case "tool":
      return planTool(question, parseName(params.name), argumentsOf(params));
    case "resource":
      return planResource(question, parseResourceUri(params.uri));
    case "prompt":
      return planPrompt(question, parseName(params.name), argumentsOf(params));
    case "completion":
      return planCompletion(question, params);
  }
}

/** A call of a tool. @throws TrustWardenError `mcp_arguments_refused` where the action needs an argument. */
export function planTool({ upstream, settings }: McpQuestion, tool: string, values: JsonObject): CallPlan {
  const { action, readOnly, reads, writesOutside } = toolSettingsOf(settings, tool);
  return {
    action: action === null ? toolAction(upstream, tool, readOnly) : actionOfTemplate(action, values),
    resource: `mcp://${upstream}/tools/${tool}`,
    arguments: showArguments(values),
    effects: { reads, writesOutside },
    estimate: null,
  };
}

/** The action of a tool without a template. */
export function toolAction(upstream: string, tool: string, readOnly: boolean): ActionName {
  return parseActionName(readOnly ? `read:mcp:${upstream}/tools/${tool}` : `call:mcp:${upstream}/${tool}`);
}

/** Reading a resource. */
export function planResource({ upstream, settings }: McpQuestion, uri: string): CallPlan {
  const path = resourcePathOf(uri);
  return {
    action: parseActionName(`read:mcp:${upstream}/resources/${path}`),
    resource: `mcp://${upstream}/resources/${path}`,
    arguments: { uri },
    effects: readsOf(settings),
    estimate: null,
  };
}

/** Getting a prompt. */
export function planPrompt({ upstream, settings }: McpQuestion, name: string, values: JsonObject): CallPlan {
  return {
    action: parseActionName(`get:mcp:${upstream}/prompts/${name}`),
    resource: `mcp://${upstream}/prompts/${name}`,
    arguments: showArguments(values),
    effects: readsOf(settings),
    estimate: null,
  };
}

/** A completion tells as much as the prompt or the resource that it is for. */
function planCompletion(question: McpQuestion, params: JsonObject): CallPlan {
  const { ref } = params;
  if (!isJsonObject(ref)) throw new TrustWardenError("mcp_malformed", { reason: "ref" });
  if (ref.type === "ref/prompt") return planPrompt(question, parseName(ref.name), {});
  if (ref.type === "ref/resource" && typeof ref.uri === "string") return planTemplate(question, ref.uri);
  throw new TrustWardenError("mcp_malformed", { reason: "ref" });
}

/** A template is no URI: its braces are no characters of one. It is named by its digest. */
export function planTemplate(question: McpQuestion, template: string): CallPlan {
  return {
    ...planResource(question, `template:${encodeURIComponent(template)}`),
    arguments: { uri: template },
  };
}

/** The client's answer to what the server asked it: it carries something of the client out. */
function answerOf(upstream: string): CallPlan {
  return {
    action: parseActionName(`reply:mcp:${upstream}/server`),
    resource: `mcp://${upstream}/server`,
    arguments: {},
    effects: { reads: [], writesOutside: true },
    estimate: null,
  };
}

/** What a client needs before it can call anything: handshake, lists, the notification stream. */
function plumbing(upstream: string, part: "server" | "tools" | "resources" | "prompts"): CallPlan {
  return {
    action: parseActionName(`list:mcp:${upstream}/${part}`),
    resource: `mcp://${upstream}/${part}`,
    arguments: {},
    effects: NO_EFFECTS,
    estimate: null,
  };
}

function readsOf({ resourceReads }: McpSettings): CallEffects {
  return { reads: resourceReads, writesOutside: false };
}

function argumentsOf(params: JsonObject): JsonObject {
  const { arguments: values } = params;
  if (values === undefined) return {};
  if (!isJsonObject(values)) throw new TrustWardenError("mcp_malformed", { reason: "arguments" });
  return values;
}

/** Arguments as policies see them: whole when they are small; otherwise with each long text by its digest. */
function showArguments(values: JsonObject): JsonObject {
  if (encodeCanonicalJson(values).length <= MAX_ARGUMENT_BYTES) return values;
  const shown = shorten(values);
  if (!isJsonObject(shown) || encodeCanonicalJson(shown).length > MAX_ARGUMENT_BYTES)
    throw new TrustWardenError("request_too_large", { maxBytes: MAX_ARGUMENT_BYTES });
  return shown;
}

function shorten(value: Json): Json {
  if (typeof value === "string" && value.length > MAX_SHOWN_CHARS) {
    return { chars: value.length, sha256: encodeBase64url(sha256(encodeCanonicalJson(value))) };
  }
  if (Array.isArray(value)) return value.map(shorten);
  if (!isJsonObject(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, shorten(member)]));
}
