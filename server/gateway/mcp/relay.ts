/**
 * Passes what a server says on to the client of one call: only messages that belong to the call, only methods of the
 * closed list, ids put back.
 */
import { encodeUtf8 } from "@trustwarden/core/bytes.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { formatMemberName } from "@trustwarden/core/gateway/mcp/aggregate.ts";
import { featureOf } from "@trustwarden/core/gateway/mcp/capabilities.ts";
import {
  encodeRpcMessage,
  RPC_ERRORS,
  type RpcId,
  type RpcMessage,
  type RpcNotification,
  type RpcRequest,
} from "@trustwarden/core/gateway/mcp/json-rpc.ts";
import { type ClientFeature, SERVER_NOTIFICATIONS } from "@trustwarden/core/gateway/mcp/methods.ts";
import { encodeSseEvent } from "@trustwarden/core/gateway/mcp/sse.ts";
import { isJsonObject, type Json, type JsonObject } from "@trustwarden/core/json.ts";
import type { AllowedCall } from "../ports.ts";
import type { Dialogue, Dialogues } from "./dialogues.ts";
import type { Exchange, McpLink } from "./link.ts";
import type { Manner } from "./look.ts";

const SUBSCRIPTION_META = "io.modelcontextprotocol/subscriptionId";
const LIST_CHANGED = /^notifications\/(?:tools|resources|prompts)\/list_changed$/;
/** Of every stream of events. */
export const STREAM_HEADERS = {
  "content-type": "text/event-stream",
  "cache-control": "no-store",
  "x-accel-buffering": "no",
} as const;

/** One exchange on its way back. */
export interface Relay {
  readonly call: AllowedCall;
  readonly link: McpLink;
  readonly manner: Manner;
  readonly dialogue: Dialogue;
  readonly dialogues: Dialogues;
  readonly features: readonly ClientFeature[];
  /** Null for a stream of its own, which ends with no answer. */
  readonly request: {
    readonly clientId: RpcId;
    readonly ownId: string;
    readonly progressToken: RpcId | null;
  } | null;
  /** Headers of the answer beside those of its content. */
  readonly headers: Readonly<Record<string, string>>;
  /** What the client gets of a result. @throws TrustWardenError to refuse it. */
  readonly mapResult: (result: JsonObject) => Promise<JsonObject>;
  /** Whether the agent may know of a resource. */
  readonly mayRead: (uri: string) => boolean;
  readonly onListChanged: () => void;
  /** As `McpVisit.member`. */
  readonly member: string | null;
}

/** Passes one exchange on, to its end. */
export async function relay(exchange: Exchange, context: Relay): Promise<void> {
  if (exchange.isStream) return relayStream(exchange, context);
  const { call } = context;
  for await (const { message } of exchange.incoming) {
    if (message === null) continue;
    const answer = await answerOf(message, context);
    const body = encodeUtf8(encodeRpcMessage(answer));
    await call.begin(exchange.status, {
      ...context.headers,
      "content-type": "application/json",
      "content-length": String(body.length),
    });
    await call.write(body);
    return call.end();
  }
  if (context.request !== null) throw malformed("no answer");
  await call.begin(exchange.status, { ...context.headers, "content-length": "0" });
  return call.end();
}

async function relayStream({ incoming }: Exchange, context: Relay): Promise<void> {
  const { call } = context;
  await call.begin(200, { ...context.headers, ...STREAM_HEADERS });
  for await (const { message, eventId, retryMs } of incoming) {
    const passed = message === null ? null : await pass(message, context);
    if (passed === undefined) continue;
    const data = passed === null ? "" : encodeRpcMessage(passed);
    // An endpoint that stands for several has no stream to resume.
    const place = context.member === null ? { id: eventId, retryMs } : { id: null, retryMs: null };
    await call.write(encodeSseEvent({ data, ...place }));
    if (passed?.kind === "result" || passed?.kind === "failure") return call.end();
  }
  // A stream that ends without an answer may be resumed in the legacy era; the client asks again.
  return call.end();
}

/** Passes on what a member says unasked, on a stream of the client that is open already. */
export async function relayMember({ incoming }: Exchange, context: Relay): Promise<void> {
  for await (const { message } of incoming) {
    const passed = message === null ? undefined : await pass(message, context);
    if (passed === undefined) continue;
    await context.call.write(encodeSseEvent({ data: encodeRpcMessage(passed), id: null, retryMs: null }));
  }
}

/** The message as the client gets it; undefined for one that stays here. */
async function pass(message: RpcMessage, context: Relay): Promise<RpcMessage | undefined> {
  switch (message.kind) {
    case "result":
    case "failure":
      return context.request === null ? passEarlier(message, context) : answerOf(message, context);
    case "notification":
      return passNotification(message, context);
    case "request":
      return passRequest(message, context);
  }
}

/** The answer to this call, under the id that its client gave it. */
async function answerOf(message: RpcMessage, { request, mapResult }: Relay): Promise<RpcMessage> {
  if (request === null) throw malformed("an answer to nothing");
  const { clientId, ownId } = request;
  if (message.kind === "result" && message.id === ownId)
    return { kind: "result", id: clientId, result: await mapResult(message.result) };
  if (message.kind === "failure" && (message.id === ownId || message.id === null))
    return { ...message, id: message.id === null ? null : clientId };
  throw malformed("another call's answer");
}

/** On a resumed stream of the legacy era the answer is to a request that was made before, by the same dialogue. */
async function passEarlier(
  message: Extract<RpcMessage, { readonly kind: "result" | "failure" }>,
  { dialogue, mapResult }: Relay,
): Promise<RpcMessage> {
  const found = [...dialogue.running].find(([, ownId]) => ownId === message.id);
  if (found === undefined) throw malformed("another call's answer");
  const [clientId] = found;
  dialogue.running.delete(clientId);
  if (message.kind === "failure") return { ...message, id: clientId };
  return { kind: "result", id: clientId, result: await mapResult(message.result) };
}

function passNotification(message: RpcNotification, context: Relay): RpcNotification | undefined {
  const { method, params } = message;
  const eras = Object.hasOwn(SERVER_NOTIFICATIONS, method) ? SERVER_NOTIFICATIONS[method] : undefined;
  if (eras?.includes(context.manner.era) !== true) return undefined;
  if (LIST_CHANGED.test(method)) context.onListChanged();
  if (method === "notifications/progress") return passProgress(message, context);
  if (method === "notifications/cancelled") return passCancelled(message, context);
  if (method === "notifications/resources/updated" && !isKnownResource(params.uri, context)) return undefined;
  return { ...message, params: withSubscription(params, context) };
}

/** Progress of another call stays here. */
function passProgress(message: RpcNotification, context: Relay): RpcNotification | undefined {
  const { request, dialogue } = context;
  const { progressToken } = message.params;
  if (request !== null && request.progressToken !== null && progressToken === request.ownId)
    return { ...message, params: { ...message.params, progressToken: request.progressToken } };
  const found = [...dialogue.running].find(([, ownId]) => ownId === progressToken);
  if (request !== null || found === undefined) return undefined;
  return { ...message, params: { ...message.params, progressToken: found[0] } };
}

/** The server gives up a question of its own. */
function passCancelled(message: RpcNotification, { dialogue, member }: Relay): RpcNotification | undefined {
  const { requestId } = message.params;
  const found = [...dialogue.asked].find(([, { id }]) => id === requestId);
  if (found === undefined) return undefined;
  dialogue.asked.delete(found[0]);
  return { ...message, params: { ...message.params, requestId: questionId(found[0], member) } };
}

/** A question of the server: to the client when the settings allow it, otherwise answered with a refusal here. */
async function passRequest(message: RpcRequest, context: Relay): Promise<RpcRequest | undefined> {
  const { manner, features, dialogue, dialogues, member } = context;
  if (manner.era === "modern") throw malformed("a request on a stream");
  if (message.method === "ping") {
    await reply({ kind: "result", id: message.id, result: {} }, context);
    return undefined;
  }
  const feature = featureOf(message.method);
  if (feature === undefined || !features.includes(feature)) {
    const error = { code: RPC_ERRORS.methodNotFound, message: "The gateway does not pass this on." };
    await reply({ kind: "failure", id: message.id, error }, context);
    return undefined;
  }
  return { ...message, id: questionId(dialogues.ask(dialogue, { id: message.id, feature }), member) };
}

/** The answer to a member's question has to find its way back to the member. */
function questionId(id: string, member: string | null): string {
  return member === null ? id : formatMemberName(member, id);
}

async function reply(message: RpcMessage, { link, manner }: Relay): Promise<void> {
  const exchange = await link.post({ message, ...manner, paramHeaders: {} });
  for await (const _ of exchange.incoming) {
    // Nothing is expected; reading to the end frees the connection.
  }
}

function isKnownResource(uri: Json | undefined, { mayRead }: Relay): boolean {
  return typeof uri === "string" && mayRead(uri);
}

/** Notifications of a subscription carry the id of the request that opened it. */
function withSubscription(params: JsonObject, { request }: Relay): JsonObject {
  const { _meta: meta } = params;
  if (request === null || !isJsonObject(meta) || meta[SUBSCRIPTION_META] !== request.ownId) return params;
  return { ...params, _meta: { ...meta, [SUBSCRIPTION_META]: request.clientId } };
}

function malformed(reason: string): TrustWardenError {
  return new TrustWardenError("upstream_answer_refused", { reason });
}
