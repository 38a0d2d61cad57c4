/**
 * JSON-RPC 2.0 messages as MCP uses them, parsed strictly: one message a body, no batches, closed members.
 *
 * Batches were part of one revision only (2025-03-26), which is not served: a list of messages would have to be decided
 * one by one, and none of the revisions here has it. What a message means is the business of `methods.ts`.
 *
 * @see MCP 2026-07-28 and 2025-11-25, "Base protocol, Messages"; JSON-RPC 2.0 §4, §5.
 */
import { TrustWardenError } from "../../error.ts";
import { isJsonObject, type Json, type JsonObject, parseJson } from "../../json.ts";

/** As large as a request body of the gateway may be for this protocol. */
export const MAX_MESSAGE_CHARS = 4_194_304;
/** Longer ids are somebody's attempt to make us carry data in them. */
const MAX_ID_CHARS = 256;
/** Longest method of any revision of MCP is 40 characters; those of A2A begin with a capital. */
const MAX_METHOD_CHARS = 64;
const METHOD = /^[a-zA-Z]+(?:\/[a-zA-Z_]+)*$/;
const MEMBERS: readonly string[] = ["jsonrpc", "id", "method", "params", "result", "error"];

/** MCP has no `null` ids. */
export type RpcId = string | number;

export interface RpcRequest {
  readonly kind: "request";
  readonly id: RpcId;
  readonly method: string;
  readonly params: JsonObject;
}

export interface RpcNotification {
  readonly kind: "notification";
  readonly method: string;
  readonly params: JsonObject;
}

export interface RpcResult {
  readonly kind: "result";
  readonly id: RpcId;
  readonly result: JsonObject;
}

export interface RpcFailure {
  readonly kind: "failure";
  /** Null where the peer could not read the id. */
  readonly id: RpcId | null;
  readonly error: JsonObject;
}

export type RpcMessage = RpcRequest | RpcNotification | RpcResult | RpcFailure;

/** The error codes that the gateway itself answers with. */
export const RPC_ERRORS = {
  parse: -32700,
  invalidRequest: -32600,
  methodNotFound: -32601,
  invalidParams: -32602,
  internal: -32603,
  headerMismatch: -32020,
  unsupportedVersion: -32022,
} as const;

/**
 * One message from untrusted text.
 *
 * @throws TrustWardenError `mcp_malformed`, and the codes of `parseJson`.
 */
export function parseRpcMessage(text: string, maxChars: number = MAX_MESSAGE_CHARS): RpcMessage {
  const value = parseJson(text, maxChars);
  if (Array.isArray(value)) return refuse("batch");
  if (!isJsonObject(value)) return refuse("not an object");
  return messageOf(value);
}

/** The message as its peer reads it. */
export function formatRpcMessage(message: RpcMessage): JsonObject {
  const { kind } = message;
  switch (kind) {
    case "request":
      return { jsonrpc: "2.0", id: message.id, method: message.method, ...paramsOf(message.params) };
    case "notification":
      return { jsonrpc: "2.0", method: message.method, ...paramsOf(message.params) };
    case "result":
      return { jsonrpc: "2.0", id: message.id, result: message.result };
    case "failure":
      // JSON-RPC has `null` for an unknown id, MCP leaves it out; both readers take the latter.
      return { jsonrpc: "2.0", ...(message.id === null ? {} : { id: message.id }), error: message.error };
  }
}

/** The text of a message. */
export function encodeRpcMessage(message: RpcMessage): string {
  return JSON.stringify(formatRpcMessage(message));
}

function messageOf(value: JsonObject): RpcMessage {
  if (value.jsonrpc !== "2.0") return refuse("jsonrpc");
  const unknown = Object.keys(value).find((name) => !MEMBERS.includes(name));
  if (unknown !== undefined) return refuse("unknown member");
  if (value.method !== undefined) return callOf(value);
  if ((value.result === undefined) === (value.error === undefined)) return refuse("neither call nor answer");
  if (value.params !== undefined) return refuse("params of an answer");
  if (value.result !== undefined) {
    return { kind: "result", id: idOf(value.id), result: objectOf(value.result, "result") };
  }
  return { kind: "failure", id: failureIdOf(value.id), error: errorOf(value.error) };
}

function callOf(value: JsonObject): RpcRequest | RpcNotification {
  if (value.result !== undefined || value.error !== undefined) return refuse("both call and answer");
  const { method } = value;
  if (typeof method !== "string" || method.length > MAX_METHOD_CHARS || !METHOD.test(method))
    return refuse("method");
  const params = value.params === undefined ? {} : objectOf(value.params, "params");
  if (value.id === undefined) return { kind: "notification", method, params };
  return { kind: "request", id: idOf(value.id), method, params };
}

function idOf(value: Json | undefined): RpcId {
  if (typeof value === "string" && value.length <= MAX_ID_CHARS) return value;
  if (typeof value === "number" && Number.isSafeInteger(value)) return value;
  return refuse("id");
}

function failureIdOf(value: Json | undefined): RpcId | null {
  return value === undefined || value === null ? null : idOf(value);
}

function errorOf(value: Json | undefined): JsonObject {
  const error = objectOf(value, "error");
  const { code, message } = error;
  if (typeof code !== "number" || !Number.isSafeInteger(code) || typeof message !== "string")
    return refuse("error");
  return error;
}

function objectOf(value: Json | undefined, field: string): JsonObject {
  return isJsonObject(value) ? value : refuse(field);
}

function paramsOf(params: JsonObject): JsonObject {
  return Object.keys(params).length === 0 ? {} : { params };
}

function refuse(reason: string): never {
  throw new TrustWardenError("mcp_malformed", { reason });
}
