/**
 * Calls to model APIs: what they are called, what policies see of them, and what they may cost.
 *
 * The prompt itself is never among the arguments: policies get names and counts, the ledger a commitment.
 *
 * @see docs/decisions/0022-model-calls.md
 */
import { TrustWardenError } from "../error.ts";
import type { JsonObject } from "../json.ts";
import { countOf, type LlmCall, type LlmDialect, parseLlmCall } from "./llm-call.ts";
import { boundCost } from "./llm-cost.ts";
import { type LlmSettings, parseLlmSettings } from "./llm-settings.ts";
import type { CallEffects, CallPlan, PlanRequest } from "./plan.ts";
import type { UpstreamDescription } from "./upstream.ts";

/** Calls by the bytes of their body, which are read once for the plan and once for the performer. */
const read = new WeakMap<Uint8Array, { readonly of: UpstreamDescription; readonly call: LlmCall }>();

/**
 * @throws TrustWardenError `route_unknown`, `request_malformed`, `request_too_large`, `model_feature_refused`,
 *   `upstream_malformed` and the codes of `parseJson`.
 */
export function planLlm(dialect: LlmDialect, upstream: UpstreamDescription, request: PlanRequest): CallPlan {
  const settings = parseLlmSettings(upstream.settings);
  const call = readLlmCall(dialect, upstream, request);
  requireFeatures(call, settings);
  return {
    action: call.action,
    resource: `${upstream.resource}${request.target.path}`,
    arguments: describeCall(call),
    effects: effectsOf(call),
    estimate: call.body === null ? null : boundCost(call, request.body.length, settings),
  };
}

/** The same call, for whoever performs what was planned. @throws TrustWardenError as `parseLlmCall`. */
export function readLlmCall(
  dialect: LlmDialect,
  upstream: UpstreamDescription,
  { method, target, body }: Pick<PlanRequest, "method" | "target" | "body">,
): LlmCall {
  const known = read.get(body);
  if (known?.of === upstream) return known.call;
  const call = parseLlmCall(dialect, { upstream: upstream.name, method, rest: target.path.slice(1), body });
  // An empty body is shared by calls that have nothing in common.
  if (body.length > 0) read.set(body, { of: upstream, call });
  return call;
}

function requireFeatures(call: LlmCall, settings: LlmSettings): void {
  const hosted = call.hostedTools.find((tool) => !settings.hostedTools.includes(tool));
  if (hosted !== undefined) throw refused("hosted_tools", hosted);
  if (call.hasRemoteContent && !settings.remoteContent) throw refused("remote_content");
  if (call.usesStoredState && !settings.storedState) throw refused("stored_state");
}

function describeCall(call: LlmCall): JsonObject {
  const { operation, model, body } = call;
  return {
    operation: operation.name,
    model,
    stream: call.isStreamed,
    max_output_tokens: call.maxOutputTokens,
    messages: countOf(body?.messages ?? body?.input ?? body?.prompt),
    tools: [...call.tools],
    hosted_tools: [...call.hostedTools],
    remote_content: call.hasRemoteContent,
    stored_state: call.usesStoredState,
  };
}

/** A provider's own tools bring in what strangers wrote; an address that it fetches carries data to whoever is there. */
function effectsOf({ hostedTools, hasRemoteContent }: LlmCall): CallEffects {
  const reachesOut = hostedTools.length > 0 || hasRemoteContent;
  return { reads: reachesOut ? ["untrusted"] : [], writesOutside: reachesOut };
}

function refused(setting: string, tool?: string): TrustWardenError {
  return new TrustWardenError("model_feature_refused", { setting, ...(tool !== undefined && { tool }) });
}
