/**
 * The endpoint that stands for several MCP upstreams, as far as it answers for itself: handshake, description, lists,
 * the end of a session. Whatever is for one member goes to that member like a call of its own.
 *
 * One member that cannot be reached, or does not answer in time, is left out of a list and named in its `_meta`; the
 * others are listed. A list is made of what each agent could call, so it is as true as each member's own.
 */
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { formatMemberDefinition, isMemberName } from "@trustwarden/core/gateway/mcp/aggregate.ts";
import { LIST_MEMBERS } from "@trustwarden/core/gateway/mcp/definition.ts";
import type { RpcId, RpcNotification, RpcRequest } from "@trustwarden/core/gateway/mcp/json-rpc.ts";
import { LEGACY_VERSIONS, MODERN_VERSION } from "@trustwarden/core/gateway/mcp/methods.ts";
import { parseMcpSettings } from "@trustwarden/core/gateway/mcp/settings.ts";
import type { McpCall } from "@trustwarden/core/gateway/plan-mcp.ts";
import type { Json, JsonObject } from "@trustwarden/core/json.ts";
import type { UpstreamState } from "../../store/gateway-ports.ts";
import type { AllowedCall } from "../ports.ts";
import { answerResult, listOf, look } from "./answer-list.ts";
import type { Dialogue } from "./dialogues.ts";
import { memberDialogueOf } from "./member-dialogue.ts";
import { listenToAll, requireOrdinary } from "./member-streams.ts";
import type { McpParts, McpVisit } from "./perform.ts";
import { isListedOf } from "./results.ts";

/** A member that takes longer is left out of the list. */
const MEMBER_LIST_MS = 5_000;
/** Ending a session waits no longer for one member. */
const MEMBER_END_MS = 2_000;
const CAPABILITIES = { tools: {}, resources: {}, prompts: {}, completions: {} } as const;
const UNAVAILABLE_META = "trustwarden/unavailable";

/** A call to the endpoint. */
export interface EndpointCall {
  readonly call: AllowedCall;
  readonly dialogue: Dialogue;
  readonly parts: McpParts;
  readonly parsed: McpCall;
}

/** What the endpoint answers itself. @throws TrustWardenError `mcp_malformed`, `mcp_session_unknown`, `mcp_slots_exhausted`. */
export async function answerAtEndpoint(at: EndpointCall): Promise<void> {
  const { message } = at.parsed;
  if (message === null) return at.parsed.ends ? endSession(at) : listenToAll(at);
  if (message.kind === "notification") return takeNotification(at, message);
  if (message.kind !== "request")
    throw new TrustWardenError("mcp_malformed", { reason: "an answer to nothing" });
  switch (message.method) {
    case "initialize":
      return openSession(at, message);
    case "server/discover":
      return answerResult(at.call, { id: message.id, result: describe(at) });
    case "ping":
      return answerResult(at.call, { id: message.id, result: {} });
    default:
      return answerList(at, message);
  }
}

/** One member as the upstream of a call; with its session, in the older era. */
export async function visitMember(
  at: EndpointCall,
  { upstream, signal }: { readonly upstream: UpstreamState; readonly signal: AbortSignal },
): Promise<McpVisit> {
  const { dialogue: outer, parts, parsed } = at;
  const { own, settings, link } = await linkTo(at, upstream, signal);
  const { era } = parsed;
  const talk = { outer, member: upstream.name, era, settings, link, nextId: parts.nextId };
  return visitWith(at, { own, settings, link, dialogue: await memberDialogueOf(talk) });
}

/** The same within a talk that is known. */
export async function visitOf(
  at: EndpointCall,
  {
    upstream,
    signal,
    talk,
  }: { readonly upstream: UpstreamState; readonly signal: AbortSignal; readonly talk: Dialogue },
): Promise<McpVisit> {
  return visitWith(at, { ...(await linkTo(at, upstream, signal)), dialogue: talk });
}

async function linkTo({ call, parts }: EndpointCall, upstream: UpstreamState, signal: AbortSignal) {
  const settings = parseMcpSettings(upstream.settings);
  const arrival = { ...call.arrival, upstream };
  const own: AllowedCall = { ...call, arrival, signal, client: call.clientOf(upstream, signal) };
  return { own, settings, link: await parts.linkOf(own, settings) };
}

function visitWith(
  { parts, parsed }: EndpointCall,
  { own, dialogue, ...to }: Pick<McpVisit, "settings" | "link" | "dialogue"> & { readonly own: AllowedCall },
): McpVisit {
  const manner = {
    era: parsed.era,
    version: dialogue.version ?? parsed.version,
    sessionId: dialogue.upstreamSessionId,
  };
  const { name } = own.arrival.upstream;
  return { ...to, call: own, upstream: name, dialogue, manner, member: name, parts };
}

async function openSession(at: EndpointCall, { id, params }: RpcRequest): Promise<void> {
  const { call, parts } = at;
  const { protocolVersion: asked } = params;
  const version = LEGACY_VERSIONS.find((known) => known === asked) ?? LEGACY_VERSIONS[0];
  const to = { upstream: call.arrival.upstream.name, holder: call.caller.agent };
  const opened = parts.dialogues.open(to, {
    sessionId: null,
    version,
    hello: { ...params, protocolVersion: version },
  });
  const headers = { "mcp-session-id": opened.sessionId ?? "" };
  const { name } = call.arrival.upstream;
  const result = { protocolVersion: version, capabilities: CAPABILITIES, serverInfo: { name, version: "1" } };
  await answerResult(call, { id, result, headers });
}

function describe({ call }: EndpointCall): JsonObject {
  return {
    resultType: "complete",
    supportedVersions: [MODERN_VERSION, ...LEGACY_VERSIONS],
    capabilities: CAPABILITIES,
    serverInfo: { name: call.arrival.upstream.name, version: "1" },
    ttlMs: 0,
    cacheScope: "private",
  };
}

async function answerList(at: EndpointCall, { id, method, params }: RpcRequest): Promise<void> {
  if (params.cursor !== undefined) throw new TrustWardenError("mcp_malformed", { reason: "cursor" });
  const entry = LIST_MEMBERS[method];
  if (entry === undefined) throw new TrustWardenError("mcp_method_unknown", { method });
  const { members = [] } = at.call.arrival.upstream;
  const lists = await Promise.all(members.map((upstream) => listMember(at, upstream, method)));
  const unavailable = lists.flatMap(({ name, items }) => (items === null ? [name] : []));
  const result: JsonObject = {
    // One agent's list is nobody else's, and looked at anew each time.
    ...(at.parsed.era === "modern" && { resultType: "complete", ttlMs: 0, cacheScope: "private" }),
    ...(unavailable.length > 0 && { _meta: { [UNAVAILABLE_META]: unavailable } }),
    [entry.member]: lists.flatMap(({ items }) => items ?? []),
  };
  await answerResult(at.call, { id, result });
}

/** What of a member would be allowed; null for one that could not be looked at. */
async function listMember(
  at: EndpointCall,
  upstream: UpstreamState,
  method: string,
): Promise<{ readonly name: string; readonly items: readonly Json[] | null }> {
  const { name } = upstream;
  const kind = LIST_MEMBERS[method]?.kind;
  if (kind === undefined || !isMemberName(name)) return { name, items: [] };
  if (!mayUseAny(at, upstream, kind)) return { name, items: [] };
  const signal = AbortSignal.any([at.call.signal, AbortSignal.timeout(MEMBER_LIST_MS)]);
  try {
    const visit = await visitMember(at, { upstream, signal });
    await look(visit, method);
    const items = listOf(visit, kind).map((document) => formatMemberDefinition(name, kind, document));
    return { name, items };
  } catch (error) {
    // One member that is down takes nothing with it; the list says whose part is missing.
    if (!(error instanceof TrustWardenError) || at.call.signal.aborted) throw error;
    at.dialogue.members.delete(name);
    return { name, items: null };
  }
}

/** A member of which the agent may use nothing is not asked, and is not named either. */
function mayUseAny(
  { call, parts }: EndpointCall,
  upstream: UpstreamState,
  kind: Parameters<ReturnType<typeof isListedOf>>[0],
): boolean {
  const { name } = upstream;
  if (!parts.mayUseSecret(call.caller, upstream)) return false;
  const settings = parseMcpSettings(upstream.settings);
  const isListed = isListedOf({ call, upstream: name, settings, parts });
  const approved = parts.catalogues.list(name).filter((pin) => pin.kind === kind && pin.approved !== null);
  return approved.some((pin) => isListed(kind, pin.name));
}

/** What of a client's notifications is for one member goes there; the others mean nothing to anybody. */
async function takeNotification(at: EndpointCall, { method, params }: RpcNotification): Promise<void> {
  const { requestId } = params;
  if (
    method === "notifications/cancelled" &&
    (typeof requestId === "string" || typeof requestId === "number")
  )
    await cancel(at, requestId);
  await at.call.begin(202, { "content-length": "0" });
  await at.call.end();
}

async function cancel(at: EndpointCall, clientId: RpcId): Promise<void> {
  for (const { upstream, talk } of await openTalks(at)) {
    const requestId = talk.running.get(clientId);
    if (requestId === undefined) continue;
    const { link, manner } = await visitOf(at, { upstream, signal: at.call.signal, talk });
    const message = {
      kind: "notification",
      method: "notifications/cancelled",
      params: { requestId },
    } as const;
    const exchange = await link.post({ message, ...manner, paramHeaders: {} });
    for await (const _ of exchange.incoming) {
      // Nothing is expected; reading to the end frees the connection.
    }
  }
}

async function endSession(at: EndpointCall): Promise<void> {
  const { dialogue, call, parts } = at;
  if (dialogue.sessionId === null) throw new TrustWardenError("mcp_session_unknown");
  const talks = await openTalks(at);
  parts.dialogues.close(dialogue);
  await Promise.all(
    talks.map(async ({ upstream, talk }) => {
      const signal = AbortSignal.any([call.signal, AbortSignal.timeout(MEMBER_END_MS)]);
      const { link, manner } = await visitOf(at, { upstream, signal, talk });
      if (talk.upstreamSessionId === null) return;
      const ended = link.end({ version: manner.version, sessionId: talk.upstreamSessionId });
      // A member that does not hear of the end forgets the session by itself; ours is over.
      await ended.catch((error: unknown) => requireOrdinary(error));
    }),
  );
  await call.begin(204, {});
  await call.end();
}

/** The members with whom the client has talked. */
async function openTalks({ dialogue, call }: EndpointCall) {
  const { members = [] } = call.arrival.upstream;
  const talks = await Promise.all(
    members.map(async (upstream) => {
      const opening = dialogue.members.get(upstream.name);
      const talk = await opening?.catch((error: unknown) => requireOrdinary(error));
      return talk === undefined ? [] : [{ upstream, talk }];
    }),
  );
  return talks.flat();
}
