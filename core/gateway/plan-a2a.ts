/**
 * What an A2A request means: one JSON-RPC message, one action. What the agents say to one another is not among the
 * arguments: policies get counts, the ledger a commitment.
 *
 * @see A2A 1.0.1 §9; docs/decisions/0028
 */
import { parseActionName } from "../action.ts";
import { parseUtf8 } from "../bytes.ts";
import { TrustWardenError } from "../error.ts";
import { isJsonObject, type Json, type JsonObject } from "../json.ts";
import { A2A_REFUSED, type A2aSubject, isStreamed, subjectOfA2a } from "./a2a/methods.ts";
import { parseA2aSettings } from "./a2a/settings.ts";
import { parseRpcMessage, type RpcRequest } from "./mcp/json-rpc.ts";
import { type CallPlan, NO_EFFECTS, type PlanRequest } from "./plan.ts";
import type { UpstreamDescription } from "./upstream.ts";

/** Of the card, below the upstream's name. */
export const CARD_PATH = "/.well-known/agent-card.json";
const ENDPOINTS: readonly string[] = ["/", "/a2a"];
/**
 * Members in their one spelling. Readers of the protocol's schema take `task_id` for `taskId` as well, so a member that is not
 * on a list would reach the other agent without having been looked at.
 */
const PARAMS: readonly string[] = ["message", "configuration", "metadata", "id", "historyLength", "tenant"];
const MESSAGE: readonly string[] = [
  "messageId",
  "contextId",
  "taskId",
  "role",
  "parts",
  "metadata",
  "extensions",
  "referenceTaskIds",
  "kind",
];
const CONFIGURATION: readonly string[] = [
  "acceptedOutputModes",
  "historyLength",
  "returnImmediately",
  "blocking",
  "taskPushNotificationConfig",
  "pushNotificationConfig",
];
const PUSH = /push/i;

/** A request on its way: a message, or a look at the card. */
export type A2aCall =
  | { readonly subject: "card"; readonly message: null }
  | { readonly subject: A2aSubject; readonly message: RpcRequest };

/**
 * @throws TrustWardenError `route_unknown`, `method_not_allowed`, `a2a_malformed`, `a2a_method_refused`,
 *   `a2a_push_refused`, and the JSON codes.
 */
export function planA2a(upstream: UpstreamDescription, request: PlanRequest): CallPlan {
  const { name } = upstream;
  const { reads, writesOutside } = parseA2aSettings(upstream.settings);
  const call = parseA2aCall(request);
  switch (call.subject) {
    case "card":
      return planOf(name, { action: "read:a2a", place: "card", effects: NO_EFFECTS });
    case "send":
    case "stream":
      return planOf(name, {
        action: "send:a2a",
        place: "messages",
        effects: { reads, writesOutside },
        values: describe(call.message, call.subject),
      });
    case "get":
    case "subscribe":
      return planOf(name, { action: "read:a2a", place: "tasks", effects: { reads, writesOutside: false } });
    case "cancel":
      return planOf(name, { action: "cancel:a2a", place: "tasks", effects: { reads, writesOutside } });
  }
}

/** The request as A2A reads it. @throws TrustWardenError as `planA2a`. */
export function parseA2aCall({ method, target, body }: PlanRequest): A2aCall {
  if (target.path === CARD_PATH) {
    if (method !== "GET") throw new TrustWardenError("method_not_allowed", { method });
    return { subject: "card", message: null };
  }
  if (!ENDPOINTS.includes(target.path)) throw new TrustWardenError("route_unknown");
  if (method !== "POST") throw new TrustWardenError("method_not_allowed", { method });
  const message = parseMessage(body);
  const subject = subjectOfA2a(message.method);
  if (subject === undefined) throw refusalOf(message.method);
  const { tenant } = message.params;
  // The other agent's tenants are its operator's business, and none that ours may choose.
  if (tenant !== undefined && tenant !== "")
    throw new TrustWardenError("a2a_malformed", { reason: "tenant" });
  if (asksForPush(message.params)) throw new TrustWardenError("a2a_push_refused");
  requireMembers(message.params, PARAMS);
  requireMembers(message.params.message, MESSAGE);
  requireMembers(message.params.configuration, CONFIGURATION);
  return { subject, message };
}

function parseMessage(body: Uint8Array): RpcRequest {
  let message: ReturnType<typeof parseRpcMessage>;
  try {
    message = parseRpcMessage(parseUtf8(body));
  } catch (cause) {
    if (!(cause instanceof TrustWardenError) || cause.code !== "mcp_malformed") throw cause;
    throw new TrustWardenError("a2a_malformed", { reason: "not one request" }, { cause });
  }
  if (message.kind !== "request") throw new TrustWardenError("a2a_malformed", { reason: message.kind });
  return message;
}

function refusalOf(method: string): TrustWardenError {
  const refusal = Object.hasOwn(A2A_REFUSED, method) ? A2A_REFUSED[method] : undefined;
  return refusal === "push"
    ? new TrustWardenError("a2a_push_refused")
    : new TrustWardenError("a2a_method_refused", { method: method.slice(0, 64) });
}

/** In whatever spelling, and whatever it holds but null. */
function asksForPush({ configuration }: JsonObject): boolean {
  if (!isJsonObject(configuration)) return false;
  return Object.entries(configuration).some(([name, asked]) => PUSH.test(name) && asked !== null);
}

function requireMembers(value: Json | undefined, known: readonly string[]): void {
  if (value === undefined || value === null) return;
  // What is no object was not looked into, and whoever is lenient takes the one in a list for it.
  if (!isJsonObject(value)) throw new TrustWardenError("a2a_malformed", { reason: "not an object" });
  const unknown = Object.keys(value).find((name) => !known.includes(name));
  if (unknown !== undefined) throw new TrustWardenError("a2a_malformed", { member: unknown.slice(0, 64) });
}

function describe({ params }: RpcRequest, subject: A2aSubject): JsonObject {
  const { message } = params;
  const { parts, taskId } = isJsonObject(message) ? message : {};
  return {
    stream: isStreamed(subject),
    parts: Array.isArray(parts) ? parts.length : 0,
    continues: typeof taskId === "string" && taskId !== "",
  };
}

function planOf(
  upstream: string,
  planned: {
    readonly action: string;
    readonly place: string;
    readonly effects: CallPlan["effects"];
    readonly values?: JsonObject;
  },
): CallPlan {
  const { action, place, effects, values = {} } = planned;
  return {
    action: parseActionName(`${action}:${upstream}/${place}`),
    resource: `a2a://${upstream}/${place}`,
    arguments: values,
    effects,
    estimate: null,
  };
}
