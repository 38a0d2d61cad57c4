/**
 * Arguments that a tool's schema wants repeated in headers (`x-mcp-header`): a box between client and server routes by
 * them, so they must say what the body says.
 *
 * @see MCP 2026-07-28, "Streamable HTTP, Custom Headers from Tool Parameters".
 */
import { TrustWardenError } from "../../error.ts";
import { isJsonObject, type Json, type JsonObject } from "../../json.ts";
import { formatHeaderValue, type McpHeaders, parseHeaderValue } from "./request.ts";

const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}$/;
const PREFIX = "mcp-param-";
const MAX_DEPTH = 16;

interface Mirrored {
  readonly header: string;
  readonly path: readonly string[];
}

/**
 * The headers of a call, written anew from its arguments, after those that came were found to agree.
 *
 * @throws TrustWardenError `mcp_header_mismatch`, or `mcp_not_approved` for a schema whose annotations are not sound.
 */
export function paramHeadersOf(
  schema: JsonObject,
  values: JsonObject,
  headers: McpHeaders,
): Readonly<Record<string, string>> {
  const mirrored = findMirrored(schema);
  const sent: Record<string, string> = {};
  for (const { header, path } of mirrored) {
    const expected = textOf(valueAt(values, path));
    const given = headers[header];
    if (
      expected === undefined
        ? given !== undefined
        : given === undefined || !isSame(parseHeaderValue(given), expected)
    )
      throw new TrustWardenError("mcp_header_mismatch", { header });
    if (expected !== undefined) sent[header] = formatHeaderValue(expected);
  }
  return sent;
}

/** @throws TrustWardenError `mcp_not_approved`. */
function findMirrored(schema: JsonObject): readonly Mirrored[] {
  const found: Mirrored[] = [];
  walk(schema, [], found);
  if (new Set(found.map(({ header }) => header)).size !== found.length)
    throw new TrustWardenError("mcp_not_approved", { reason: "x-mcp-header" });
  return found;
}

/** Only along `properties`: anywhere else an annotation has no single value. */
function walk(schema: JsonObject, path: readonly string[], found: Mirrored[]): void {
  if (path.length > MAX_DEPTH || !isJsonObject(schema.properties)) return;
  for (const [name, property] of Object.entries(schema.properties)) {
    if (!isJsonObject(property)) continue;
    const header = property["x-mcp-header"];
    if (header !== undefined) {
      if (typeof header !== "string" || !TOKEN.test(header))
        throw new TrustWardenError("mcp_not_approved", { reason: "x-mcp-header" });
      found.push({ header: `${PREFIX}${header.toLowerCase()}`, path: [...path, name] });
    }
    walk(property, [...path, name], found);
  }
}

function valueAt(values: JsonObject, path: readonly string[]): Json | undefined {
  let value: Json | undefined = values;
  for (const name of path)
    value = isJsonObject(value) && Object.hasOwn(value, name) ? value[name] : undefined;
  return value;
}

function textOf(value: Json | undefined): string | undefined {
  if (typeof value === "string") return value;
  if (typeof value === "number" && Number.isSafeInteger(value)) return String(value);
  return typeof value === "boolean" ? String(value) : undefined;
}

/** `42.0` and `42` are one integer. */
function isSame(given: string, expected: string): boolean {
  if (given === expected) return true;
  return /^-?\d+$/.test(expected) && /^-?\d+(?:\.0+)?$/.test(given) && Number(given) === Number(expected);
}
