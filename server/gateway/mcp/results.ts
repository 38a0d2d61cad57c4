/** What an agent gets to see of a server's answers, and what is listed for it. */
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { isVariable } from "@trustwarden/core/gateway/mcp/action-template.ts";
import { formatMemberResult } from "@trustwarden/core/gateway/mcp/aggregate.ts";
import {
  ownResultOf,
  requireAllowedQuestions,
  servedVersionsOf,
  serverCapabilitiesOf,
} from "@trustwarden/core/gateway/mcp/capabilities.ts";
import { type DefinitionKind, instructionsOf } from "@trustwarden/core/gateway/mcp/definition.ts";
import type { RpcRequest } from "@trustwarden/core/gateway/mcp/json-rpc.ts";
import { isResourceUri } from "@trustwarden/core/gateway/mcp/names.ts";
import { eraOf } from "@trustwarden/core/gateway/mcp/request.ts";
import { toolSettingsOf } from "@trustwarden/core/gateway/mcp/settings.ts";
import { matchesTemplate } from "@trustwarden/core/gateway/mcp/uri-template.ts";
import { findWitness } from "@trustwarden/core/gateway/mcp/witness.ts";
import type { CallPlan } from "@trustwarden/core/gateway/plan.ts";
import { planPrompt, planResource, planTemplate, planTool } from "@trustwarden/core/gateway/plan-mcp.ts";
import type { JsonObject } from "@trustwarden/core/json.ts";
import type { McpVisit } from "./perform.ts";

const MAX_INSTRUCTION_CHARS = 65_536;

/** What the client of a request gets of its result. @throws TrustWardenError `mcp_question_refused`, … */
export function resultMapOf(
  visit: McpVisit,
  request: RpcRequest | null,
): (result: JsonObject) => Promise<JsonObject> {
  const { clientFeatures: features } = visit.settings;
  // On a resumed stream the method is not known any more; none of the legacy era's results asks anything.
  const method = request?.method ?? "";
  const { member } = visit;
  return async (answered) => {
    requireAllowedQuestions(answered, { method, features });
    const result = ownResultOf(answered);
    if (member !== null) return formatMemberResult(member, result);
    if (method === "initialize") return describeServer(visit, requireSpoken(result));
    if (method === "server/discover")
      return describeServer(visit, {
        ...result,
        supportedVersions: servedVersionsOf(result.supportedVersions),
      });
    return result;
  };
}

/**
 * Whether a definition is listed: exactly when a call of it would be allowed, or would ask a human. For a tool whose
 * action depends on its arguments: when there are arguments with which it would.
 */
export function isListedOf({
  call,
  upstream,
  settings,
  parts,
}: Pick<McpVisit, "call" | "upstream" | "settings" | "parts">): (
  kind: DefinitionKind,
  name: string,
) => boolean {
  const { caller } = call;
  const question = { upstream, settings };
  const planOf = (kind: DefinitionKind, name: string): CallPlan | undefined => {
    switch (kind) {
      case "tool":
        return planListedTool(name);
      case "prompt":
        return planPrompt(question, name, {});
      case "resource":
        return planResource(question, name);
      case "template":
        return planTemplate(question, name);
      case "instructions":
        return undefined;
    }
  };
  const planListedTool = (name: string): CallPlan | undefined => {
    const { action, reads, writesOutside } = toolSettingsOf(settings, name);
    if (action === null || !isVariable(action)) return planTool(question, name, {});
    const witness = findWitness(
      action,
      caller.agent.chain.map(({ scope }) => scope),
    );
    if (witness === undefined) return undefined;
    return {
      action: witness,
      resource: `mcp://${upstream}/tools/${name}`,
      arguments: {},
      effects: { reads, writesOutside },
      estimate: null,
    };
  };
  return (kind, name) => {
    const plan = planOf(kind, name);
    return plan !== undefined && parts.mayCall(caller, plan);
  };
}

/**
 * Whether the agent may know of a resource: it is approved, or needs no approval, and reading it would be allowed. News of
 * a member's resources does not pass, since nobody can subscribe to them through an endpoint that stands for several.
 */
export function mayReadOf({ call, upstream, settings, member, parts }: McpVisit): (uri: string) => boolean {
  const isKnown = (uri: string): boolean =>
    settings.resources === "scoped" ||
    parts.catalogues.usable(upstream, "resource").some(({ name }) => name === uri) ||
    parts.catalogues.usable(upstream, "template").some(({ name }) => matchesTemplate(name, uri));
  return (uri) =>
    member === null &&
    isResourceUri(uri) &&
    isKnown(uri) &&
    parts.mayCall(call.caller, planResource({ upstream, settings }, uri));
}

/** A version that the gateway does not speak would be parsed by rules that are not its own. */
function requireSpoken(result: JsonObject): JsonObject {
  const { protocolVersion } = result;
  try {
    if (eraOf(typeof protocolVersion === "string" ? protocolVersion : undefined) === "legacy") return result;
  } catch (cause) {
    throw new TrustWardenError("upstream_answer_refused", { reason: "version" }, { cause });
  }
  throw new TrustWardenError("upstream_answer_refused", { reason: "version" });
}

/** Instructions are words that a model acts on: they pass when they are the approved ones. */
async function describeServer({ parts, upstream }: McpVisit, result: JsonObject): Promise<JsonObject> {
  const { instructions, ...rest } = result;
  const described = { ...rest, capabilities: serverCapabilitiesOf(result.capabilities) };
  if (typeof instructions !== "string" || instructions.length > MAX_INSTRUCTION_CHARS) return described;
  const definition = instructionsOf(instructions);
  await parts.catalogues.observe(upstream, "instructions", { definitions: [definition], refused: [] });
  const isApproved = parts.catalogues.usable(upstream, "instructions").length > 0;
  return isApproved ? { ...described, instructions } : described;
}
