/**
 * One HTTP request of an MCP client as one message: which era it speaks, and that its headers say what its body says.
 *
 * In the modern era every request repeats method and name in headers, so that boxes on the way can route without
 * reading the body; a box that believed a header which the body contradicts would decide about another call (SEP-2243).
 *
 * @see MCP 2026-07-28, "Streamable HTTP"; MCP 2025-11-25, "Transports, Streamable HTTP".
 */
import { encodeBase64, encodeUtf8, parseBase64, parseUtf8 } from "../../bytes.ts";
import { TrustWardenError } from "../../error.ts";
import { isJsonObject, type JsonObject } from "../../json.ts";
import { parseRpcMessage, type RpcMessage } from "./json-rpc.ts";
import { type Era, LEGACY_VERSIONS, MODERN_VERSION, nameMemberOf } from "./methods.ts";

export const VERSION_META = "io.modelcontextprotocol/protocolVersion";
const CAPABILITIES_META = "io.modelcontextprotocol/clientCapabilities";
const ENCODED = /^=\?base64\?([A-Za-z0-9+/]*={0,2})\?=$/;
/** What HTTP lets stand in a field's value. */
const FIELD_VALUE = /^[\t\x20-\x7e]*$/;

/** Headers of a request; lower-case names. */
export type McpHeaders = Readonly<Record<string, string | undefined>>;

export interface McpRequest {
  readonly era: Era;
  /** Protocol version of the request. */
  readonly version: string;
  readonly message: RpcMessage;
}

/**
 * The message of a POST.
 *
 * @throws TrustWardenError `mcp_malformed`, `mcp_version_unsupported`, `mcp_header_mismatch` and the JSON codes.
 */
export function parseMcpRequest(headers: McpHeaders, body: Uint8Array): McpRequest {
  const message = parseRpcMessage(parseUtf8(body));
  const { version, era } = versionOf(headers, message);
  if (era === "modern") requireModern(headers, message);
  return { era, version, message };
}

/** The era of a version. @throws TrustWardenError `mcp_version_unsupported`. */
export function eraOf(version: string | undefined): Era {
  if (version === MODERN_VERSION) return "modern";
  if (LEGACY_VERSIONS.some((known) => known === version)) return "legacy";
  throw new TrustWardenError("mcp_version_unsupported", { version: (version ?? "").slice(0, 32) });
}

/** `_meta` of a message's parameters; empty when there is none. @throws TrustWardenError `mcp_malformed`. */
export function metaOf(params: JsonObject): JsonObject {
  const { _meta: meta } = params;
  if (meta === undefined) return {};
  if (!isJsonObject(meta)) throw new TrustWardenError("mcp_malformed", { reason: "_meta" });
  return meta;
}

/**
 * A header's value as the client meant it: plain, or UTF-8 in the sentinel form.
 *
 * @throws TrustWardenError `mcp_header_mismatch`.
 */
export function parseHeaderValue(text: string): string {
  if (!FIELD_VALUE.test(text)) throw mismatch("characters");
  const encoded = ENCODED.exec(text);
  if (encoded === null) return text;
  try {
    return parseUtf8(parseBase64(encoded[1] ?? ""));
  } catch (cause) {
    throw new TrustWardenError("mcp_header_mismatch", { reason: "encoding" }, { cause });
  }
}

/** A value as a header may carry it: plain where it can be, otherwise in the sentinel form. */
export function formatHeaderValue(value: string): string {
  const isPlain = FIELD_VALUE.test(value) && value.trim() === value && !ENCODED.test(value);
  return isPlain ? value : `=?base64?${encodeBase64(encodeUtf8(value))}?=`;
}

/** The body says the version; a header alone names that of a legacy session, and `initialize` needs none. */
function versionOf(
  headers: McpHeaders,
  message: RpcMessage,
): { readonly version: string; readonly era: Era } {
  const header = headers["mcp-protocol-version"];
  const isCall = message.kind === "request" || message.kind === "notification";
  const claimed = isCall ? metaOf(message.params)[VERSION_META] : undefined;
  if (typeof claimed === "string" && header !== claimed) throw mismatch("mcp-protocol-version");
  // A client that offers a version we do not serve is answered by the upstream with one that it has.
  const isFirst = message.kind === "request" && message.method === "initialize";
  const version = header ?? (isFirst ? LEGACY_VERSIONS[0] : "");
  return { version, era: eraOf(version) };
}

function requireModern(headers: McpHeaders, message: RpcMessage): void {
  if (message.kind === "result" || message.kind === "failure")
    throw new TrustWardenError("mcp_malformed", { reason: "an answer from a client" });
  const method = headers["mcp-method"];
  if (method !== undefined && method !== message.method) throw mismatch("mcp-method");
  if (message.kind === "notification") return;
  if (method === undefined) throw mismatch("mcp-method");
  requireSameName(headers, message.method, message.params);
  const meta = metaOf(message.params);
  if (typeof meta[VERSION_META] !== "string" || !isJsonObject(meta[CAPABILITIES_META]))
    throw new TrustWardenError("mcp_meta_missing");
}

function requireSameName(headers: McpHeaders, method: string, params: JsonObject): void {
  const member = nameMemberOf(method);
  if (member === undefined) return;
  const header = headers["mcp-name"];
  if (header === undefined || parseHeaderValue(header) !== params[member]) throw mismatch("mcp-name");
}

function mismatch(reason: string): TrustWardenError {
  return new TrustWardenError("mcp_header_mismatch", { reason });
}
