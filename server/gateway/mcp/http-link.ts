/**
 * MCP over streamable HTTP, towards the upstream. Headers are written anew from the message: what the client sent beside
 * it does not reach the upstream, least of all its credentials (F11).
 *
 * @see MCP 2026-07-28 and 2025-11-25, "Streamable HTTP".
 */
import { encodeUtf8, parseUtf8 } from "@trustwarden/core/bytes.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import {
  encodeRpcMessage,
  parseRpcMessage,
  type RpcMessage,
} from "@trustwarden/core/gateway/mcp/json-rpc.ts";
import { nameMemberOf } from "@trustwarden/core/gateway/mcp/methods.ts";
import { formatHeaderValue } from "@trustwarden/core/gateway/mcp/request.ts";
import { SseReader } from "@trustwarden/core/gateway/mcp/sse.ts";
import type { UpstreamAnswer, UpstreamClient } from "../ports.ts";
import { readWhole } from "../whole-answer.ts";
import type { Exchange, Incoming, McpLink, Outgoing } from "./link.ts";

/** Larger answers are no tool's result; files belong elsewhere. */
const MAX_ANSWER_BYTES = 8_388_608;
const SESSION_ID = /^[\x21-\x7e]{1,512}$/;
const ACCEPT = "application/json, text/event-stream";

/** The link to one upstream for one call. */
export function createHttpLink(client: UpstreamClient, endpoint: string): McpLink {
  return {
    post: async (outgoing) => {
      const answer = await client.request({
        method: "POST",
        path: endpoint,
        headers: headersOf(outgoing),
        body: encodeUtf8(encodeRpcMessage(outgoing.message)),
      });
      return exchangeOf(answer, outgoing.message.kind === "request");
    },
    listen: async ({ version, sessionId, lastEventId }) => {
      const headers = {
        accept: "text/event-stream",
        ...sessionHeaders(version, sessionId),
        ...(lastEventId === null ? {} : { "last-event-id": lastEventId }),
      };
      return exchangeOf(await client.request({ method: "GET", path: endpoint, headers, body: null }), true);
    },
    end: async ({ version, sessionId }) => {
      const headers = { accept: ACCEPT, ...sessionHeaders(version, sessionId) };
      const answer = await client.request({ method: "DELETE", path: endpoint, headers, body: null });
      // Whatever it says: the session is not used any more.
      await readWhole(answer, MAX_ANSWER_BYTES);
    },
  };
}

function headersOf({ message, era, version, sessionId, paramHeaders }: Outgoing): Record<string, string> {
  const headers = {
    "content-type": "application/json",
    accept: ACCEPT,
    ...sessionHeaders(version, sessionId),
  };
  if (era === "legacy" || (message.kind !== "request" && message.kind !== "notification")) return headers;
  return { ...headers, "mcp-method": message.method, ...nameHeader(message), ...paramHeaders };
}

function nameHeader(message: Extract<RpcMessage, { readonly method: string }>): Record<string, string> {
  const member = nameMemberOf(message.method);
  const name = member === undefined ? undefined : message.params[member];
  return typeof name === "string" ? { "mcp-name": formatHeaderValue(name) } : {};
}

function sessionHeaders(version: string, sessionId: string | null): Record<string, string> {
  return {
    "mcp-protocol-version": version,
    ...(sessionId === null ? {} : { "mcp-session-id": sessionId }),
  };
}

function exchangeOf(answer: UpstreamAnswer, isAwaited: boolean): Exchange | Promise<Exchange> {
  const { status, headers, body } = answer;
  const sessionId = sessionIdOf(headers["mcp-session-id"]);
  const contentType = (headers["content-type"] ?? "").split(";")[0]?.trim().toLowerCase() ?? "";
  if (status === 200 && contentType === "text/event-stream") {
    return { status, sessionId, isStream: true, incoming: readEvents(body) };
  }
  return readOne({ status, sessionId, contentType, body, isAwaited });
}

async function readOne(answer: {
  readonly status: number;
  readonly sessionId: string | null;
  readonly contentType: string;
  readonly body: AsyncIterable<Uint8Array>;
  readonly isAwaited: boolean;
}): Promise<Exchange> {
  const { status, sessionId, contentType, isAwaited } = answer;
  const bytes = await readWhole(answer, MAX_ANSWER_BYTES);
  const isMessage = contentType === "application/json" && bytes.length > 0 && (isAwaited || status >= 400);
  const message = isMessage ? messageOf(bytes, status) : undefined;
  const isSuccess = status === 200 || status === 202;
  // A refusal that is not said in JSON-RPC is the transport's own: its words stay here.
  if (message === undefined && (!isSuccess || isAwaited)) throw refusalOf(status);
  if (message !== undefined && !isSuccess && message.kind !== "failure") throw refusalOf(status);
  return { status, sessionId, isStream: false, incoming: one(message) };
}

function messageOf(bytes: Uint8Array, status: number): RpcMessage | undefined {
  try {
    return parseRpcMessage(parseUtf8(bytes), MAX_ANSWER_BYTES);
  } catch (cause) {
    if (status >= 400) return undefined;
    throw new TrustWardenError("upstream_answer_refused", { reason: "not one message" }, { cause });
  }
}

function refusalOf(status: number): TrustWardenError {
  if (status === 404) return new TrustWardenError("mcp_session_unknown", { reason: "at the upstream" });
  return new TrustWardenError("upstream_answer_refused", { status });
}

async function* one(message: RpcMessage | undefined): AsyncIterable<Incoming> {
  if (message !== undefined) yield { message, eventId: null, retryMs: null };
}

async function* readEvents(body: AsyncIterable<Uint8Array>): AsyncIterable<Incoming> {
  const reader = new SseReader();
  for await (const bytes of body) {
    for (const { data, id, retryMs } of reader.push(bytes)) {
      yield { message: data === "" ? null : parseEvent(data), eventId: id, retryMs };
    }
  }
}

function parseEvent(data: string): RpcMessage {
  try {
    return parseRpcMessage(data, MAX_ANSWER_BYTES);
  } catch (cause) {
    throw new TrustWardenError("upstream_answer_refused", { reason: "not a message" }, { cause });
  }
}

function sessionIdOf(header: string | undefined): string | null {
  if (header === undefined) return null;
  if (!SESSION_ID.test(header))
    throw new TrustWardenError("upstream_answer_refused", { reason: "session id" });
  return header;
}
