/**
 * The catalogue's word on a call that policy allowed: the thing must be pinned, unchanged since, and the arguments must
 * be what its pinned schema takes.
 */
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { type Definition, inputSchemaOf } from "@trustwarden/core/gateway/mcp/definition.ts";
import type { RpcRequest } from "@trustwarden/core/gateway/mcp/json-rpc.ts";
import { parseName, parseResourceUri } from "@trustwarden/core/gateway/mcp/names.ts";
import { paramHeadersOf } from "@trustwarden/core/gateway/mcp/param-headers.ts";
import { matchesTemplate } from "@trustwarden/core/gateway/mcp/uri-template.ts";
import { isJsonObject, type JsonObject } from "@trustwarden/core/json.ts";
import type { PinState } from "../../store/mcp-ports.ts";
import { refreshKinds } from "./answer-list.ts";
import type { McpVisit } from "./perform.ts";
import { mayReadOf } from "./results.ts";
import { prepareSchema, requireValid } from "./schema-check.ts";

/** Schemas made ready, by the digest of their definition. */
const prepared = new Map<string, ReturnType<typeof prepareSchema>>();
/** Beyond this the oldest goes; it is made again when it is needed. */
const MAX_PREPARED = 2048;

const NOTHING = { paramHeaders: {} } as const;

/**
 * Refuses what the catalogue does not hold.
 *
 * @throws TrustWardenError `mcp_not_approved`, `mcp_definition_changed`, `mcp_arguments_refused`, `mcp_header_mismatch`.
 */
export async function admitCall(
  visit: McpVisit,
  { method, params }: RpcRequest,
): Promise<{ readonly paramHeaders: Readonly<Record<string, string>> }> {
  switch (method) {
    case "tools/call":
      return admitTool(visit, params);
    case "prompts/get":
      await refreshKinds(visit, ["prompts/list"]);
      visit.parts.catalogues.require(visit.upstream, "prompt", parseName(params.name));
      return NOTHING;
    case "resources/read":
    case "resources/subscribe":
    case "resources/unsubscribe":
      await admitResource(visit, parseResourceUri(params.uri));
      return NOTHING;
    case "completion/complete":
      return admitCompletion(visit, params);
    case "subscriptions/listen":
      admitSubscription(visit, params);
      return NOTHING;
    default:
      return NOTHING;
  }
}

async function admitTool(
  visit: McpVisit,
  params: JsonObject,
): Promise<{ readonly paramHeaders: Readonly<Record<string, string>> }> {
  const { parts, upstream, call, manner, settings } = visit;
  if (params.task !== undefined) throw new TrustWardenError("mcp_method_unknown", { method: "tasks" });
  const answers = params.inputResponses !== undefined || params.requestState !== undefined;
  if (answers && settings.clientFeatures.length === 0) throw new TrustWardenError("mcp_question_refused");
  await refreshKinds(visit, ["tools/list"]);
  const pin = parts.catalogues.require(upstream, "tool", parseName(params.name));
  const values = isJsonObject(params.arguments) ? params.arguments : {};
  requireValid(schemaOf(pin), values);
  if (manner.era === "legacy") return NOTHING;
  const schema = inputSchemaOf(definitionOf(pin));
  return { paramHeaders: paramHeadersOf(schema, values, call.arrival.request.headers) };
}

/** @throws TrustWardenError `mcp_not_approved`, `mcp_definition_changed`. */
async function admitResource(visit: McpVisit, uri: string): Promise<void> {
  const { parts, upstream, settings } = visit;
  if (settings.resources === "scoped") return;
  await refreshKinds(visit, ["resources/list", "resources/templates/list"]);
  const templates = parts.catalogues.usable(upstream, "template");
  if (templates.some(({ name }) => matchesTemplate(name, uri))) return;
  parts.catalogues.require(upstream, "resource", uri);
}

async function admitCompletion(visit: McpVisit, { ref }: JsonObject): Promise<typeof NOTHING> {
  const { parts, upstream, settings } = visit;
  if (!isJsonObject(ref)) throw new TrustWardenError("mcp_malformed", { reason: "ref" });
  if (ref.type === "ref/prompt") {
    await refreshKinds(visit, ["prompts/list"]);
    parts.catalogues.require(upstream, "prompt", parseName(ref.name));
  } else if (settings.resources === "pinned") {
    await refreshKinds(visit, ["resources/templates/list", "resources/list"]);
    const name = typeof ref.uri === "string" ? ref.uri : "";
    const isResource = parts.catalogues.usable(upstream, "resource").some((pin) => pin.name === name);
    if (!isResource) parts.catalogues.require(upstream, "template", name);
  }
  return NOTHING;
}

/** A subscription is told of resources that the agent could read, and of no others. */
function admitSubscription(visit: McpVisit, { notifications }: JsonObject): void {
  const asked = isJsonObject(notifications) ? notifications.resourceSubscriptions : undefined;
  if (asked === undefined) return;
  const mayRead = mayReadOf(visit);
  const isAllowed = Array.isArray(asked) && asked.every((uri) => typeof uri === "string" && mayRead(uri));
  if (!isAllowed) throw new TrustWardenError("mcp_not_approved", { kind: "resource" });
}

function schemaOf(pin: PinState): ReturnType<typeof prepareSchema> {
  const definition = definitionOf(pin);
  const known = prepared.get(definition.sha256);
  if (known !== undefined) return known;
  const made = prepareSchema(inputSchemaOf(definition));
  const oldest = prepared.keys().next();
  if (prepared.size >= MAX_PREPARED && oldest.done !== true) prepared.delete(oldest.value);
  prepared.set(definition.sha256, made);
  return made;
}

/** The definition as it was approved. */
function definitionOf({ kind, name, approved }: PinState): Definition {
  if (approved === null) throw new Error("a usable pin is approved");
  return { kind, name, ...approved };
}
