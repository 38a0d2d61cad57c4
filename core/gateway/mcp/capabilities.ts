/**
 * What client and server tell one another of themselves, cut down to what passes the gateway: closed copies, so that an
 * extension or experiment that nobody decided about is never offered.
 *
 * @see MCP 2026-07-28 "Versioning, Extension negotiation"; MCP 2025-11-25 "Lifecycle, Capability negotiation".
 */
import { TrustWardenError } from "../../error.ts";
import { isJsonObject, type Json, type JsonObject } from "../../json.ts";
import { type ClientFeature, LEGACY_VERSIONS, MODERN_VERSION, SERVER_REQUESTS } from "./methods.ts";

const SERVER_CAPABILITIES: readonly string[] = ["completions", "logging", "prompts", "resources", "tools"];
const CLIENT_CAPABILITIES_META = "io.modelcontextprotocol/clientCapabilities";
/** Only these requests may be answered with a question. */
const ASKING: readonly string[] = ["tools/call", "prompts/get", "resources/read"];
const MAX_QUESTIONS = 32;
const TRACEPARENT = /^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$/;
const TRACE_TEXT = /^[\x20-\x7e]{1,2048}$/;

/** Capabilities of a server, as its client is told of them. */
export function serverCapabilitiesOf(capabilities: Json | undefined): JsonObject {
  return pick(capabilities, SERVER_CAPABILITIES);
}

/** Versions of a server that can be spoken through the gateway. @throws TrustWardenError `upstream_answer_refused`. */
export function servedVersionsOf(versions: Json | undefined): readonly string[] {
  const served: readonly string[] = [MODERN_VERSION, ...LEGACY_VERSIONS];
  if (!Array.isArray(versions)) throw new TrustWardenError("upstream_answer_refused", { reason: "versions" });
  return served.filter((version) => versions.includes(version));
}

/** A result as this agent may keep it: whether another may have it was not decided, whatever the server says of that. */
export function ownResultOf(result: JsonObject): JsonObject {
  return result.cacheScope === undefined ? result : { ...result, cacheScope: "private" };
}

/** The parameters of `initialize`, promising the server no more than its settings allow. */
export function initializeParamsOf(params: JsonObject, features: readonly ClientFeature[]): JsonObject {
  return { ...params, capabilities: pick(params.capabilities, features) };
}

/** The `_meta` of a modern request: the client's capabilities cut down, and trace context that is well formed. */
export function requestMetaOf(meta: JsonObject, features: readonly ClientFeature[]): JsonObject {
  const capabilities = meta[CLIENT_CAPABILITIES_META];
  const kept = Object.entries(meta).filter(([name, value]) => isTraceSound(name, value));
  const own = capabilities === undefined ? {} : { [CLIENT_CAPABILITIES_META]: pick(capabilities, features) };
  return { ...Object.fromEntries(kept), ...own };
}

/**
 * Refuses an `input_required` result that asks what the settings do not allow.
 *
 * @throws TrustWardenError `mcp_question_refused`.
 */
export function requireAllowedQuestions(
  result: JsonObject,
  { method, features }: { readonly method: string; readonly features: readonly ClientFeature[] },
): void {
  const { resultType = "complete", inputRequests = {} } = result;
  if (resultType === "complete") return;
  const isKnown = resultType === "input_required" && ASKING.includes(method);
  if (!isKnown || !isJsonObject(inputRequests))
    throw new TrustWardenError("mcp_question_refused", { method });
  const questions = Object.values(inputRequests);
  const isAllowed = questions.every((question) => isQuestionAllowed(question, features));
  if (!isAllowed || questions.length > MAX_QUESTIONS)
    throw new TrustWardenError("mcp_question_refused", { method });
}

/** The feature that a request of a server needs; undefined for one that is never passed on. */
export function featureOf(method: string): ClientFeature | undefined {
  return Object.hasOwn(SERVER_REQUESTS, method) ? SERVER_REQUESTS[method] : undefined;
}

function isQuestionAllowed(question: Json, features: readonly ClientFeature[]): boolean {
  if (!isJsonObject(question) || typeof question.method !== "string") return false;
  const feature = featureOf(question.method);
  return feature !== undefined && features.includes(feature);
}

function isTraceSound(name: string, value: Json): boolean {
  if (name === "traceparent") return typeof value === "string" && TRACEPARENT.test(value);
  if (name === "tracestate" || name === "baggage") return typeof value === "string" && TRACE_TEXT.test(value);
  return true;
}

function pick(value: Json | undefined, names: readonly string[]): JsonObject {
  if (!isJsonObject(value)) return {};
  return Object.fromEntries(Object.entries(value).filter(([name]) => names.includes(name)));
}
