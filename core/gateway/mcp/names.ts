/**
 * Names of tools and prompts and URIs of resources, from untrusted text, and their spelling in actions.
 *
 * ASCII only and nothing is decoded, folded or normalised: a look-alike, a control character or an invisible one makes
 * a name that does not parse, and what policy sees is what the server gets. Different things never share an action:
 * a URI that has no plain spelling is named by its digest.
 */
import { SEGMENT_PATTERN } from "../../action.ts";
import { encodeBase64url, encodeUtf8 } from "../../bytes.ts";
import { sha256 } from "../../crypto.ts";
import { TrustWardenError } from "../../error.ts";

/** As MCP recommends for tools; also what fits into an action beside everything else. */
const MAX_NAME_CHARS = 128;
const MAX_URI_CHARS = 2048;

const UPSTREAM = /^[a-z][a-z0-9-]{0,62}$/;
const NAME = new RegExp(`^${SEGMENT_PATTERN}(?:/${SEGMENT_PATTERN})*$`);
const PLAIN_SEGMENT = new RegExp(`^${SEGMENT_PATTERN}$`);
/** Printable ASCII without space, quotes, backslash and the other characters that RFC 3986 leaves out. */
const URI = /^[a-z][a-z0-9+.-]{0,30}:[A-Za-z0-9\-._~:/?#[\]@!$&'()*+,;=%]+$/;
const PLAIN_URI = new RegExp(`^([a-z][a-z0-9.-]{0,30})://([A-Za-z0-9_.-]*)((?:/${SEGMENT_PATTERN})*)$`);
/** Escapes of what structures a path; a server that decodes them would be led elsewhere than policy saw. */
const HIDDEN_STRUCTURE = /%(?:2e|2f|5c|25|0[0-9a-f]|1[0-9a-f]|7f)/i;
/** Stands where a URI has no authority, and before a digest; no scheme and no plain authority is spelled so. */
const NOTHING = "-";

/**
 * The name of a registered upstream.
 *
 * @throws TrustWardenError `mcp_name_refused`.
 */
export function parseUpstreamName(text: unknown): string {
  return typeof text === "string" && UPSTREAM.test(text) ? text : refuse("upstream");
}

/**
 * The name of a tool or a prompt: plain segments, joined by slashes.
 *
 * @throws TrustWardenError `mcp_name_refused`.
 */
export function parseName(text: unknown): string {
  return typeof text === "string" && text.length <= MAX_NAME_CHARS && NAME.test(text) ? text : refuse("name");
}

/** Whether a name would be taken by `parseName`. */
export function isName(text: unknown): text is string {
  return typeof text === "string" && text.length <= MAX_NAME_CHARS && NAME.test(text);
}

/** Whether text is one plain segment of an action's path. */
export function isPlainSegment(text: string): boolean {
  return text.length <= MAX_NAME_CHARS && PLAIN_SEGMENT.test(text);
}

/**
 * The URI of a resource; refused when a reader could be led upwards by it (F22).
 *
 * @throws TrustWardenError `mcp_name_refused`.
 */
export function parseResourceUri(text: unknown): string {
  return isResourceUri(text) ? text : refuse("uri");
}

/** Whether a URI would be taken by `parseResourceUri`. */
export function isResourceUri(text: unknown): text is string {
  if (typeof text !== "string" || text.length > MAX_URI_CHARS || !URI.test(text)) return false;
  if (HIDDEN_STRUCTURE.test(text)) return false;
  return !text.split(/[:/?#]/).some((part) => part === "." || part === "..");
}

/** The path of a resource in an action: readable for a plain URI, otherwise its digest. Different for different URIs. */
export function resourcePathOf(uri: string): string {
  const plain = PLAIN_URI.exec(uri);
  const [, scheme = "", authority = "", path = ""] = plain ?? [];
  const isReadable =
    plain !== null && (authority === "" || (authority !== NOTHING && isPlainSegment(authority)));
  if (!isReadable) return `${NOTHING}/${encodeBase64url(sha256(encodeUtf8(uri)))}`;
  return `${scheme}/${authority === "" ? NOTHING : authority}${path}`;
}

function refuse(field: string): never {
  throw new TrustWardenError("mcp_name_refused", { field });
}
