/** Route tables from files: our own JSON, or an OpenAPI document in JSON or YAML. */
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { routesOfOpenapi } from "@trustwarden/core/gateway/openapi.ts";
import { isJsonObject, type JsonObject, parseJsonObject } from "@trustwarden/core/json.ts";
import { createRouteTable, parseRoute, type Route } from "@trustwarden/core/route-table.ts";
import { parse } from "yaml";
import { readTextFile } from "./text-file.ts";

/** Documents of large services; aliases are few, since each may stand for a lot. */
const MAX_CHARS = 4_000_000;
const MAX_ALIASES = 100;

/** Where a table comes from: one of the two. */
export interface RouteFiles {
  readonly routes?: string;
  readonly openapi?: string;
}

/**
 * The rows that a file names.
 *
 * @param service - what resources of an OpenAPI document begin with.
 * @throws TrustWardenError `usage` without exactly one file, `not_found`, `config_invalid`.
 */
export function readRoutes({ routes, openapi }: RouteFiles, service: string): readonly Route[] {
  if ((routes === undefined) === (openapi === undefined))
    throw new TrustWardenError("usage", { why: "give either --routes or --openapi" });
  if (openapi !== undefined) return routesOfOpenapi(readDocument(openapi), service);
  const rows = readDocument(routes ?? "").routes;
  if (!Array.isArray(rows))
    throw new TrustWardenError("config_invalid", { reason: "no routes", path: routes ?? "" });
  return createRouteTable(rows.filter(isJsonObject).map(parseRoute)).routes;
}

function readDocument(path: string): JsonObject {
  const text = readText(path);
  if (!/\.ya?ml$/i.test(path)) return parseJsonObject(text, MAX_CHARS);
  return parseJsonObject(JSON.stringify(parseYaml(text, path)), MAX_CHARS);
}

function parseYaml(text: string, path: string): unknown {
  try {
    return parse(text, { maxAliasCount: MAX_ALIASES, uniqueKeys: true });
  } catch (cause) {
    throw new TrustWardenError("config_invalid", { reason: "not YAML", path }, { cause });
  }
}

function readText(path: string): string {
  const text = readTextFile(path);
  if (text.length > MAX_CHARS) throw new TrustWardenError("config_invalid", { reason: "too large", path });
  return text;
}
