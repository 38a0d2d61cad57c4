/**
 * One way to an MCP server: messages out, messages back. Over HTTP each message is an exchange of its own; over stdio
 * all share a process. What may pass is decided elsewhere.
 */
import type { RpcMessage } from "@trustwarden/core/gateway/mcp/json-rpc.ts";
import type { Era } from "@trustwarden/core/gateway/mcp/methods.ts";

/** A message to the server, and what its transport says beside it. */
export interface Outgoing {
  readonly message: RpcMessage;
  readonly era: Era;
  readonly version: string;
  /** Upstream's own session; null before `initialize` and in the modern era. */
  readonly sessionId: string | null;
  /** `mcp-param-…` headers, proven to repeat arguments of the call. */
  readonly paramHeaders: Readonly<Record<string, string>>;
}

/** A part of an answer: a message, or only the mark of a stream that can be resumed there. */
export interface Incoming {
  readonly message: RpcMessage | null;
  readonly eventId: string | null;
  readonly retryMs: number | null;
}

export interface Exchange {
  /** HTTP status; 200 and 202 on transports without one. */
  readonly status: number;
  /** Session that the server assigned with this answer. */
  readonly sessionId: string | null;
  /** Whether several messages may come. */
  readonly isStream: boolean;
  readonly incoming: AsyncIterable<Incoming>;
}

export interface McpLink {
  /** @throws TrustWardenError `upstream_answer_refused`, `mcp_session_unknown`, and those of the transport. */
  post(outgoing: Outgoing): Promise<Exchange>;
  /** The legacy era's stream of what the server says unasked. */
  listen(stream: {
    readonly version: string;
    readonly sessionId: string | null;
    readonly lastEventId: string | null;
  }): Promise<Exchange>;
  /** Ends a session of the legacy era. */
  end(session: { readonly version: string; readonly sessionId: string }): Promise<void>;
}
