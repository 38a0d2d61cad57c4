/**
 * Does one allowed call to an MCP server: what was decided goes out under ids of our own, what comes back passes only
 * as far as the catalogue, the settings and the agent's own permissions reach.
 */
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { isAggregate } from "@trustwarden/core/gateway/mcp/aggregate.ts";
import { initializeParamsOf, requestMetaOf } from "@trustwarden/core/gateway/mcp/capabilities.ts";
import type { RpcMessage, RpcNotification, RpcRequest } from "@trustwarden/core/gateway/mcp/json-rpc.ts";
import { metaOf } from "@trustwarden/core/gateway/mcp/request.ts";
import { type McpSettings, parseMcpSettings } from "@trustwarden/core/gateway/mcp/settings.ts";
import type { CallPlan } from "@trustwarden/core/gateway/plan.ts";
import { type McpCall, parseMcpCall } from "@trustwarden/core/gateway/plan-mcp.ts";
import type { JsonObject } from "@trustwarden/core/json.ts";
import type { UpstreamState } from "../../store/gateway-ports.ts";
import type { AllowedCall, GatewayCaller, Performer } from "../ports.ts";
import { admitCall } from "./admit-call.ts";
import { answerAtEndpoint, type EndpointCall, visitMember } from "./aggregate.ts";
import { answerList, isList } from "./answer-list.ts";
import type { Catalogues } from "./catalogues.ts";
import type { Dialogue, Dialogues } from "./dialogues.ts";
import type { Exchange, McpLink } from "./link.ts";
import type { Manner } from "./look.ts";
import { memberCallOf } from "./member-call.ts";
import { forgetMember } from "./member-dialogue.ts";
import { type Relay, relay } from "./relay.ts";
import { mayReadOf, resultMapOf } from "./results.ts";

/** What performing needs of the server. */
export interface McpParts {
  readonly catalogues: Catalogues;
  readonly dialogues: Dialogues;
  /** Whether a call would be allowed, or would ask a human, on the state of now. */
  readonly mayCall: (caller: GatewayCaller, plan: CallPlan) => boolean;
  readonly sweep: () => void;
  /** Whether the broker gives this agent the secret of an upstream. */
  readonly mayUseSecret: (caller: GatewayCaller, upstream: UpstreamState) => boolean;
  /** The way to the upstream of a call. */
  readonly linkOf: (call: AllowedCall, settings: McpSettings) => Promise<McpLink>;
  readonly nextId: () => string;
}

/** One call, with everything that its parts look at. */
export interface McpVisit {
  readonly call: AllowedCall;
  readonly upstream: string;
  readonly settings: McpSettings;
  readonly dialogue: Dialogue;
  readonly link: McpLink;
  readonly manner: Manner;
  /** Name of the upstream, when it was called as a member of an endpoint that stands for several. */
  readonly member: string | null;
  readonly parts: McpParts;
}

/** @see `Performer` */
export function createMcpPerformer(parts: McpParts): Performer {
  return async (call) => {
    const { arrival, caller } = call;
    const parsed = parseMcpCall(arrival.request);
    const upstream = arrival.upstream.name;
    // The modern era has no sessions: whatever a client sends of one is left behind.
    const sessionId = parsed.era === "legacy" ? arrival.request.headers["mcp-session-id"] : undefined;
    if (parts.dialogues.isSweepDue()) parts.sweep();
    const dialogue = parts.dialogues.find(upstream, caller.agent, sessionId);
    if (isAggregate(arrival.upstream.settings)) return performAtEndpoint({ call, dialogue, parts, parsed });
    const settings = parseMcpSettings(arrival.upstream.settings);
    const link = await parts.linkOf(call, settings);
    const manner = { era: parsed.era, version: parsed.version, sessionId: dialogue.upstreamSessionId };
    await perform({ call, upstream, settings, dialogue, link, manner, member: null, parts }, parsed);
  };
}

/** A call to an endpoint that stands for several: to the member that it is for, or to the endpoint itself. */
async function performAtEndpoint(at: EndpointCall): Promise<void> {
  const routed = memberCallOf(at.call.arrival);
  if (routed === null) return answerAtEndpoint(at);
  const visit = await visitMember(at, { upstream: routed.upstream, signal: at.call.signal });
  const call = { ...visit.call, arrival: { ...visit.call.arrival, request: routed.request } };
  try {
    await perform({ ...visit, call }, parseMcpCall(routed.request));
  } catch (error) {
    const isLost = error instanceof TrustWardenError && error.code === "mcp_session_unknown";
    if (isLost) forgetMember(at.dialogue, visit.upstream);
    throw error;
  }
}

async function perform(visit: McpVisit, parsed: McpCall): Promise<void> {
  const { message } = parsed;
  if (message === null) return parsed.ends ? endSession(visit) : listen(visit);
  switch (message.kind) {
    case "request":
      return isList(message.method) ? answerList(visit, message) : passRequest(visit, message);
    case "notification":
      return passNotification(visit, message);
    case "result":
    case "failure":
      return passAnswer(visit, message);
  }
}

/** A request that the server answers itself, once the catalogue admits it. */
async function passRequest(visit: McpVisit, message: RpcRequest): Promise<void> {
  const { call, parts, dialogue, link, manner, settings } = visit;
  const { paramHeaders } = await admitCall(visit, message);
  const ownId = call.caller.intent.intent.event_id;
  const { params, progressToken } = outgoingParams(message, { ownId, manner, settings });
  parts.dialogues.begin(dialogue, message.id, ownId);
  let isAnswered = false;
  try {
    const exchange = await link.post({ message: { ...message, id: ownId, params }, ...manner, paramHeaders });
    const mapResult = resultMapOf(visit, message);
    await relay(exchange, {
      ...relayOf(visit, openSession(visit, message, exchange)),
      request: { clientId: message.id, ownId, progressToken },
      mapResult: (result) => {
        isAnswered = true;
        return mapResult(result);
      },
    });
  } finally {
    // A legacy stream that broke off may be resumed, and its answer still belongs to this id.
    if (isAnswered || manner.era === "modern" || dialogue.sessionId === null)
      dialogue.running.delete(message.id);
  }
}

/** The parameters as the server gets them: our ids, the client's promises cut down. */
function outgoingParams(
  { method, params }: RpcRequest,
  {
    ownId,
    manner,
    settings,
  }: { readonly ownId: string; readonly manner: Manner; readonly settings: McpSettings },
): { readonly params: JsonObject; readonly progressToken: string | number | null } {
  if (method === "initialize")
    return { params: initializeParamsOf(params, settings.clientFeatures), progressToken: null };
  if (params._meta === undefined) return { params, progressToken: null };
  const meta = metaOf(params);
  const sent = manner.era === "modern" ? requestMetaOf(meta, settings.clientFeatures) : meta;
  const { progressToken } = meta;
  const isToken = typeof progressToken === "string" || typeof progressToken === "number";
  if (!isToken) return { params: { ...params, _meta: sent }, progressToken: null };
  return { params: { ...params, _meta: { ...sent, progressToken: ownId } }, progressToken };
}

/** The session that the server assigned is kept here; the client gets one of ours. */
function openSession(
  visit: McpVisit,
  { method }: RpcRequest,
  exchange: Exchange,
): Readonly<Record<string, string>> {
  const { parts, upstream, call, manner } = visit;
  if (method !== "initialize" || exchange.sessionId === null) return {};
  const holder = call.caller.agent;
  const { sessionId } = exchange;
  const opened = parts.dialogues.open({ upstream, holder }, { sessionId, version: manner.version });
  return { "mcp-session-id": opened.sessionId ?? "" };
}

/** What of a client's notifications means something goes on, with the ids of the server's side. */
async function passNotification(visit: McpVisit, message: RpcNotification): Promise<void> {
  const sent = outgoingNotification(visit, message);
  const { call, link, manner } = visit;
  if (sent !== null) {
    const exchange = await link.post({ message: sent, ...manner, paramHeaders: {} });
    for await (const _ of exchange.incoming) {
      // Nothing is expected; reading to the end frees the connection.
    }
  }
  await call.begin(202, { "content-length": "0" });
  await call.end();
}

function outgoingNotification(
  { dialogue, manner }: McpVisit,
  message: RpcNotification,
): RpcNotification | null {
  const { params } = message;
  switch (message.method) {
    case "notifications/cancelled": {
      const { requestId } = params;
      const isId = typeof requestId === "string" || typeof requestId === "number";
      const ownId = isId ? dialogue.running.get(requestId) : undefined;
      // A call that is not this dialogue's, or is over, is not for it to cancel (F9).
      return ownId === undefined ? null : { ...message, params: { ...params, requestId: ownId } };
    }
    case "notifications/progress": {
      const question =
        typeof params.progressToken === "string" ? dialogue.asked.get(params.progressToken) : undefined;
      return question === undefined
        ? null
        : { ...message, params: { ...params, progressToken: question.id } };
    }
    default:
      return manner.era === "legacy" ? message : null;
  }
}

/** The client's answer to a question of the server, which must have been asked in this dialogue. */
async function passAnswer(
  { call, link, manner, dialogue }: McpVisit,
  message: Extract<RpcMessage, { readonly kind: "result" | "failure" }>,
): Promise<void> {
  const question = typeof message.id === "string" ? dialogue.asked.get(message.id) : undefined;
  if (question === undefined || typeof message.id !== "string")
    throw new TrustWardenError("mcp_malformed", { reason: "an answer to nothing" });
  dialogue.asked.delete(message.id);
  const exchange = await link.post({ message: { ...message, id: question.id }, ...manner, paramHeaders: {} });
  for await (const _ of exchange.incoming) {
    // Nothing is expected; reading to the end frees the connection.
  }
  await call.begin(202, { "content-length": "0" });
  await call.end();
}

/** The stream of what the server says unasked, or the rest of one that broke. */
async function listen(visit: McpVisit): Promise<void> {
  const { call, link, manner } = visit;
  const lastEventId = call.arrival.request.headers["last-event-id"] ?? null;
  const exchange = await link.listen({ version: manner.version, sessionId: manner.sessionId, lastEventId });
  await relay(exchange, { ...relayOf(visit, {}), request: null, mapResult: resultMapOf(visit, null) });
}

async function endSession({ call, link, manner, dialogue, parts }: McpVisit): Promise<void> {
  const { sessionId } = manner;
  if (dialogue.sessionId === null || sessionId === null) throw new TrustWardenError("mcp_session_unknown");
  parts.dialogues.close(dialogue);
  await link.end({ version: manner.version, sessionId });
  await call.begin(204, {});
  await call.end();
}

/** What passing something on to the client of a visit needs. */
export function relayOf(
  visit: McpVisit,
  headers: Readonly<Record<string, string>>,
): Omit<Relay, "request" | "mapResult"> {
  const { call, link, manner, dialogue, parts, settings, upstream } = visit;
  return {
    call,
    link,
    manner,
    dialogue,
    dialogues: parts.dialogues,
    features: settings.clientFeatures,
    headers,
    mayRead: mayReadOf(visit),
    member: visit.member,
    onListChanged: () => parts.catalogues.expire(upstream),
  };
}
