/**
 * A refusal as clients of MCP and A2A read one: a JSON-RPC error with our code in its data, and with the id of the request where that
 * can be read.
 */
import { parseUtf8 } from "../../bytes.ts";
import { type ErrorCode, type PublicError, TrustWardenError } from "../../error.ts";
import { isJsonObject, type JsonObject } from "../../json.ts";
import { parseRpcMessage, RPC_ERRORS, type RpcId, type RpcMessage } from "./json-rpc.ts";
import { MODERN_VERSION } from "./methods.ts";
import { VERSION_META } from "./request.ts";

/** @see A2A 1.0.1 §9.5 */
const A2A_TASK_NOT_FOUND = -32_001;
const A2A_PUSH_NOT_SUPPORTED = -32_003;
/** Enough to say which version was meant. */
const MAX_VERSION_CHARS = 32;

/** The body of the answer; its HTTP status is the error's. */
export function formatMcpRefusal({ error: { code, message } }: PublicError, body: Uint8Array): JsonObject {
  const id = idOf(body);
  const supported =
    code === "mcp_version_unsupported" ? { supported: [MODERN_VERSION], requested: requestedOf(body) } : {};
  return {
    jsonrpc: "2.0",
    ...(id === null ? {} : { id }),
    error: { code: rpcCodeOf(code), message, data: { code, ...supported } },
  };
}

/** The version that a request asked for; empty when it cannot be read. */
function requestedOf(body: Uint8Array): string {
  const message = messageOf(body);
  const meta = message?.kind === "request" ? message.params._meta : undefined;
  const version = isJsonObject(meta) ? meta[VERSION_META] : undefined;
  return typeof version === "string" ? version.slice(0, MAX_VERSION_CHARS) : "";
}

/** The id of the request in a body; null when there is none to read. */
function idOf(body: Uint8Array): RpcId | null {
  const message = messageOf(body);
  return message?.kind === "request" ? message.id : null;
}

function messageOf(body: Uint8Array): RpcMessage | undefined {
  try {
    return parseRpcMessage(parseUtf8(body));
  } catch (error) {
    // Safe: the body is refused anyway, and a refusal that tells less is one too.
    if (error instanceof TrustWardenError) return undefined;
    throw error;
  }
}

function rpcCodeOf(code: ErrorCode): number {
  switch (code) {
    case "mcp_header_mismatch":
      return RPC_ERRORS.headerMismatch;
    case "mcp_version_unsupported":
      return RPC_ERRORS.unsupportedVersion;
    case "mcp_method_unknown":
    case "a2a_method_refused":
      return RPC_ERRORS.methodNotFound;
    case "a2a_task_unknown":
      return A2A_TASK_NOT_FOUND;
    case "a2a_push_refused":
      return A2A_PUSH_NOT_SUPPORTED;
    case "mcp_meta_missing":
    case "mcp_name_refused":
    case "mcp_arguments_refused":
      return RPC_ERRORS.invalidParams;
    case "mcp_malformed":
    case "a2a_malformed":
      return RPC_ERRORS.invalidRequest;
    case "json_malformed":
    case "json_duplicate_key":
    case "json_too_deep":
      return RPC_ERRORS.parse;
    default:
      return RPC_ERRORS.internal;
  }
}
