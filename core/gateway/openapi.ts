/**
 * From an OpenAPI document to a route table: each operation becomes an action on a resource.
 *
 * `x-trustwarden-action` and `x-trustwarden-resource` of an operation say it outright. Without them the verb comes from the
 * method, the type from the first fixed segment of the path, and the rest of the path is the path of the action:
 * `GET /orders/{id}/items` is `read:orders:{id}/items`. What the table does not hold is not served, so a document
 * that cannot be mapped whole is refused whole.
 *
 * @see OpenAPI Specification 3.1 §4.8.8 (Paths Object)
 */
import { SEGMENT_PATTERN, WORD_PATTERN } from "../action.ts";
import { TrustWardenError } from "../error.ts";
import { isJsonObject, type JsonObject } from "../json.ts";
import { createRouteTable, type Route } from "../route-table.ts";

const METHODS = {
  get: "read",
  head: "read",
  post: "create",
  put: "update",
  patch: "update",
  delete: "delete",
} as const;
const MAX_PATHS = 512;
const WORD = new RegExp(`^${WORD_PATTERN}$`);
const SEGMENT = new RegExp(`^${SEGMENT_PATTERN}$`);
const PARAMETER = /^\{([^{}]+)\}$/;
/** Of a path item, beside its operations. */
const NO_OPERATIONS: ReadonlySet<string> = new Set([
  "summary",
  "description",
  "servers",
  "parameters",
  "$ref",
]);

/**
 * The rows of a document.
 *
 * @param service - what resources begin with, such as `https://orders.internal`.
 * @throws TrustWardenError `config_invalid` with the path that cannot be mapped, and why.
 */
export function routesOfOpenapi(document: JsonObject, service: string): readonly Route[] {
  const { openapi, paths } = document;
  if (typeof openapi !== "string" || !/^3\.[0-2]\./.test(openapi)) throw invalid("not OpenAPI 3", "");
  if (!isJsonObject(paths)) throw invalid("no paths", "");
  const entries = Object.entries(paths).filter(([path]) => !path.startsWith("x-"));
  if (entries.length === 0 || entries.length > MAX_PATHS) throw invalid("no paths, or too many", "");
  const base = basePathOf(document);
  const routes = entries.flatMap(([path, item]) => {
    if (!isJsonObject(item) || item.$ref !== undefined) throw invalid("a path item by reference", path);
    return operationsOf(path, item).map(({ method, operation }) =>
      routeOf({ method, operation, path: `${base}${path}`, own: path, service }),
    );
  });
  // The table's own rules, so that what is shown is what will be served.
  createRouteTable(routes);
  return routes;
}

interface Operation {
  readonly method: keyof typeof METHODS;
  readonly operation: JsonObject;
}

function operationsOf(path: string, item: JsonObject): readonly Operation[] {
  return Object.entries(item).flatMap(([name, operation]) => {
    if (NO_OPERATIONS.has(name) || name.startsWith("x-")) return [];
    // `options` and `trace` ask about the service, not about its things; nobody who is let in needs them.
    if (name === "options" || name === "trace") return [];
    if (!isMethod(name) || !isJsonObject(operation)) throw invalid(`an unknown method ${name}`, path);
    return [{ method: name, operation }];
  });
}

function isMethod(name: string): name is keyof typeof METHODS {
  return Object.hasOwn(METHODS, name);
}

function routeOf(of: {
  readonly method: keyof typeof METHODS;
  readonly operation: JsonObject;
  /** With the server's base path. */
  readonly path: string;
  /** As the document writes it. */
  readonly own: string;
  readonly service: string;
}): Route {
  const { method, operation, path, own, service } = of;
  const segments = renamed(path === "/" ? [] : path.slice(1).split("/"), own);
  const template = `/${segments.join("/")}`;
  const below = segments.slice(path.slice(1).split("/").length - own.slice(1).split("/").length);
  return {
    method: method.toUpperCase(),
    path: template,
    action: textOf(operation, "x-trustwarden-action", own) ?? actionOf(method, below, own),
    resource: textOf(operation, "x-trustwarden-resource", own) ?? `${service}${template}`,
  };
}

/** Parameters under names of the route table's alphabet; each stays one whole segment. */
function renamed(segments: readonly string[], path: string): readonly string[] {
  const names = new Set<string>();
  return segments.map((segment) => {
    const name = PARAMETER.exec(segment)?.[1];
    if (name === undefined) {
      if (segment.includes("{") || segment === "")
        throw invalid("a segment that is neither fixed nor one parameter", path);
      return segment;
    }
    const plain = name
      .replace(/([a-z0-9])([A-Z])/g, "$1_$2")
      .toLowerCase()
      .replace(/[^a-z0-9_]/g, "_")
      .replace(/^([^a-z])/, "p$1");
    if (names.has(plain)) throw invalid("two parameters of one name", path);
    names.add(plain);
    return `{${plain}}`;
  });
}

function actionOf(method: keyof typeof METHODS, segments: readonly string[], path: string): string {
  const at = segments.findIndex((segment) => !PARAMETER.test(segment));
  const type = segments[at]?.toLowerCase().replaceAll(".", "-");
  if (type === undefined || !WORD.test(type))
    throw invalid("no segment that could be the action's type: set x-trustwarden-action", path);
  const rest = segments.filter((_, index) => index !== at);
  if (rest.some((segment) => !PARAMETER.test(segment) && !SEGMENT.test(segment)))
    throw invalid("a segment that no action may hold: set x-trustwarden-action", path);
  return [METHODS[method], type, ...(rest.length === 0 ? [] : [rest.join("/")])].join(":");
}

/** Path of the first server; a document without one is about the root. */
function basePathOf({ servers }: JsonObject): string {
  const [server] = Array.isArray(servers) ? servers : [];
  const url = isJsonObject(server) && typeof server.url === "string" ? server.url : "/";
  if (url.includes("{")) throw invalid("a server with variables", "");
  const path = url.replace(/^[a-z][a-z0-9+.-]*:\/\/[^/]*/i, "").replace(/\/$/, "");
  return path;
}

function textOf(operation: JsonObject, name: string, path: string): string | undefined {
  const value = Object.hasOwn(operation, name) ? operation[name] : undefined;
  if (value === undefined) return undefined;
  if (typeof value !== "string") throw invalid(name, path);
  return value;
}

function invalid(reason: string, path: string): TrustWardenError {
  return new TrustWardenError("config_invalid", { reason: `openapi: ${reason}`, path: path.slice(0, 256) });
}
