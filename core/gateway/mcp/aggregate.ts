/**
 * Several MCP upstreams behind one endpoint: whose each name is, and what of a message its owner gets.
 *
 * A tool or prompt is `<member>__<name>`, a resource or template `<member>:<uri>`, a question `<member>__<id>`. A member's
 * name has neither an underscore nor a colon, so each of these has one reading. A message for one member is that member's
 * call in every respect: the same action, the same settings, the same pins. The endpoint itself only answers for itself.
 */
import { encodeUtf8 } from "../../bytes.ts";
import { TrustWardenError } from "../../error.ts";
import { isJsonObject, type Json, type JsonObject } from "../../json.ts";
import type { PlanRequest } from "../plan.ts";
import type { DefinitionKind } from "./definition.ts";
import { encodeRpcMessage, type RpcMessage } from "./json-rpc.ts";
import { formatHeaderValue, parseMcpRequest } from "./request.ts";

const NAME_MARK = "__";
const URI_MARK = ":";
/** As a URI's scheme has room for. */
export const MAX_MEMBER_CHARS = 31;
/** As many servers as one model can be told of. */
const MAX_MEMBERS = 64;
const MEMBER = /^[a-z][a-z0-9-]{0,30}$/;
/** One member's news; the endpoint has none of its own, and does not offer them. */
const REFUSED: readonly string[] = [
  "subscriptions/listen",
  "resources/subscribe",
  "resources/unsubscribe",
  "logging/setLevel",
];

/** Settings of the members by their names. */
export type Members = ReadonlyMap<string, JsonObject>;

/** A message on its way to the one member that it is for. */
export interface MemberRequest {
  readonly member: string;
  readonly settings: JsonObject;
  /** As it would have come to the member itself. */
  readonly request: PlanRequest;
}

/** Whether an upstream of kind `mcp` stands for others. */
export function isAggregate({ members }: JsonObject): boolean {
  return members !== undefined;
}

/**
 * The names in an operator's settings; `*` for every MCP upstream that there is.
 *
 * @throws TrustWardenError `upstream_malformed`.
 */
export function parseMemberNames(settings: JsonObject): readonly string[] | "*" {
  const { members, ...others } = settings;
  if (Object.keys(others).length > 0) throw malformed("settings");
  if (members === "*") return members;
  if (!Array.isArray(members) || members.length === 0 || members.length > MAX_MEMBERS)
    throw malformed("settings.members");
  const names = members.map((name: Json) => (isMemberName(name) ? name : refuseMember()));
  if (new Set(names).size !== names.length) throw malformed("settings.members");
  return names;
}

/** Whether an upstream of this name can be a member. */
export function isMemberName(name: Json): name is string {
  return typeof name === "string" && MEMBER.test(name);
}

/** The members as agents and gateway know them, after the names were looked up. */
export function membersOf({ members }: JsonObject): Members {
  if (!isJsonObject(members)) return new Map();
  return new Map(
    Object.entries(members).flatMap(([name, settings]) => (isJsonObject(settings) ? [[name, settings]] : [])),
  );
}

/**
 * To whom a message goes; null for what the endpoint answers itself.
 *
 * @throws TrustWardenError `mcp_not_approved` for a name of nobody, `mcp_method_unknown`, and as `parseMcpRequest`.
 */
export function routeToMember(settings: JsonObject, request: PlanRequest): MemberRequest | null {
  if (request.method !== "POST") return null;
  const { message, era } = parseMcpRequest(request.headers, request.body);
  const routed = routeMessage(message);
  if (routed === null) return null;
  const { member, inner, named } = routed;
  const found = membersOf(settings).get(member);
  if (found === undefined) throw new TrustWardenError("mcp_not_approved", { member: member.slice(0, 64) });
  const isRepeated = era === "modern" && named !== null;
  return {
    member,
    settings: found,
    request: {
      ...request,
      headers: isRepeated ? { ...request.headers, "mcp-name": formatHeaderValue(named) } : request.headers,
      body: encodeUtf8(encodeRpcMessage(inner)),
    },
  };
}

interface RoutedMessage {
  readonly member: string;
  readonly inner: RpcMessage;
  /** What the header `Mcp-Name` repeats; null where there is none. */
  readonly named: string | null;
}

function routeMessage(message: RpcMessage): RoutedMessage | null {
  switch (message.kind) {
    case "notification":
      return null;
    case "result":
    case "failure": {
      const { member, rest } = split(message.id, NAME_MARK);
      return { member, inner: { ...message, id: rest }, named: null };
    }
    case "request":
      return routeRequest(message);
  }
}

function routeRequest(message: Extract<RpcMessage, { readonly kind: "request" }>): RoutedMessage | null {
  const { method, params } = message;
  if (REFUSED.includes(method)) throw new TrustWardenError("mcp_method_unknown", { method });
  const to = (
    { member, rest }: { readonly member: string; readonly rest: string },
    changed: JsonObject,
  ): RoutedMessage => ({ member, inner: { ...message, params: { ...params, ...changed } }, named: rest });
  switch (method) {
    case "tools/call":
    case "prompts/get": {
      const place = split(params.name, NAME_MARK);
      return to(place, { name: place.rest });
    }
    case "resources/read": {
      const place = split(params.uri, URI_MARK);
      return to(place, { uri: place.rest });
    }
    case "completion/complete":
      return { ...routeCompletion(params, to), named: null };
    default:
      return null;
  }
}

function routeCompletion(
  { ref }: JsonObject,
  to: (place: { readonly member: string; readonly rest: string }, changed: JsonObject) => RoutedMessage,
): RoutedMessage {
  if (!isJsonObject(ref)) throw new TrustWardenError("mcp_malformed", { reason: "ref" });
  const isPrompt = ref.type === "ref/prompt";
  const place = isPrompt ? split(ref.name, NAME_MARK) : split(ref.uri, URI_MARK);
  return to(place, { ref: { ...ref, ...(isPrompt ? { name: place.rest } : { uri: place.rest }) } });
}

/** @throws TrustWardenError `mcp_not_approved` for a name without a member. */
function split(text: unknown, mark: string): { readonly member: string; readonly rest: string } {
  const at = typeof text === "string" ? text.indexOf(mark) : -1;
  if (typeof text !== "string" || at <= 0) throw new TrustWardenError("mcp_not_approved", { member: "" });
  return { member: text.slice(0, at), rest: text.slice(at + mark.length) };
}

/** A tool, prompt or question of a member, as clients of the endpoint know it. */
export function formatMemberName(member: string, name: string): string {
  return `${member}${NAME_MARK}${name}`;
}

/** A URI or a template of a member, as clients of the endpoint know it. */
export function formatMemberUri(member: string, uri: string): string {
  return `${member}${URI_MARK}${uri}`;
}

/** A member's definition under the name that the endpoint's clients know. */
export function formatMemberDefinition(member: string, kind: DefinitionKind, document: Json): Json {
  if (!isJsonObject(document)) return document;
  const { name, uri, uriTemplate } = document;
  const named = typeof name === "string" ? { name: formatMemberName(member, name) } : {};
  switch (kind) {
    case "tool":
    case "prompt":
      return { ...document, ...named };
    case "resource":
      return typeof uri === "string"
        ? { ...document, ...named, uri: formatMemberUri(member, uri) }
        : document;
    case "template":
      return typeof uriTemplate === "string"
        ? { ...document, ...named, uriTemplate: formatMemberUri(member, uriTemplate) }
        : document;
    case "instructions":
      return document;
  }
}

/** A member's result with its resources under the URIs at which the endpoint's clients can read them. */
export function formatMemberResult(member: string, result: JsonObject): JsonObject {
  const { contents, content, messages } = result;
  const place = (item: Json): Json => withPlace(member, item);
  return {
    ...result,
    ...(Array.isArray(contents) && { contents: contents.map((item: Json) => withUri(member, item)) }),
    ...(Array.isArray(content) && { content: content.map(place) }),
    ...(Array.isArray(messages) && { messages: messages.map((item: Json) => withContent(item, place)) }),
  };
}

function withContent(message: Json, place: (item: Json) => Json): Json {
  if (!isJsonObject(message) || message.content === undefined) return message;
  const { content } = message;
  return { ...message, content: Array.isArray(content) ? content.map(place) : place(content) };
}

function withPlace(member: string, item: Json): Json {
  if (!isJsonObject(item)) return item;
  if (item.type === "resource_link") return withUri(member, item);
  if (item.type !== "resource" || item.resource === undefined) return item;
  return { ...item, resource: withUri(member, item.resource) };
}

function withUri(member: string, item: Json): Json {
  if (!isJsonObject(item) || typeof item.uri !== "string") return item;
  return { ...item, uri: formatMemberUri(member, item.uri) };
}

function refuseMember(): never {
  throw malformed("settings.members");
}

function malformed(field: string): TrustWardenError {
  return new TrustWardenError("upstream_malformed", { field });
}
