/**
 * The route table of a service that agents visit: which action on which resource a request is.
 *
 * The service derives action and resource from its own table and never from what the caller says; the agent reads the
 * same table to sign the same words. Where two routes match, the one with the earlier literal segment wins, so that
 * the order of the table means nothing.
 */
import { parseActionName } from "./action.ts";
import { isLabel } from "./agentscope/policy-input.ts";
import { TrustWardenError } from "./error.ts";
import { isJsonObject, type Json, type JsonObject, parseJsonObject } from "./json.ts";
import { isPlainSegment, type RequestTarget } from "./request-target.ts";

const MAX_ROUTES = 512;
const MAX_TEXT_CHARS = 1024;
const READING_METHODS: readonly string[] = ["GET", "HEAD"];
const MAX_LABELS = 16;
const METHODS: readonly string[] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"];
const PARAMETER = /^\{([a-z][a-z0-9_]*)\}$/;
const PARAMETERS = /\{([^{}]*)\}/g;
/** Visible ASCII without quotes and backslash: a resource is shown in tables and logs. */
const RESOURCE = /^[a-z][a-z0-9+.-]*:\/\/[\x21\x23-\x5b\x5d-\x7e]*$/;

/** Where a service publishes its table. */
export const ROUTES_PATH = "/.well-known/trustwarden-routes";

/** One row, as the service writes it. `{name}` stands for one path segment and may be used in action and resource. */
export interface Route {
  readonly method: string;
  /** Such as `/transactions/{id}`. */
  readonly path: string;
  /** Such as `read:transactions`. */
  readonly action: string;
  /** Such as `postgres://finance-db/transactions/{id}`. */
  readonly resource: string;
  /** What an allowed answer holds, such as `untrusted` (strangers wrote it) or `private`; none unless given. */
  readonly labels?: readonly string[];
  /** Whether the request carries anything to where others read it; true for what is more than a read unless given. */
  readonly outside?: boolean;
}

/** What a request means by the table. */
export interface RouteMatch {
  readonly action: string;
  readonly resource: string;
  /** The path's parameters by name. */
  readonly params: Readonly<Record<string, string>>;
  /** Undefined where the row says nothing; the server then takes the stricter view. */
  readonly effects?: { readonly reads: readonly string[]; readonly outside: boolean };
}

/** A table whose rows are proven to be well formed. */
export interface RouteTable {
  readonly routes: readonly Route[];
  readonly rows: readonly Row[];
}

interface Row {
  readonly route: Route;
  readonly segments: readonly string[];
}

/** The table as the service publishes it. */
export interface RoutesDocument {
  /** SPIFFE ID of the service: the `aud` of intents for it. */
  readonly verifier: string;
  readonly table: RouteTable;
}

/**
 * A table of rows.
 *
 * @throws TrustWardenError `config_invalid` for a row that could never be decided, or two rows of one shape.
 */
export function createRouteTable(routes: readonly Route[]): RouteTable {
  if (routes.length > MAX_ROUTES) throw invalid("too many routes", "");
  const rows = routes.map(parseRow).sort((left, right) => (shapeOf(left) < shapeOf(right) ? -1 : 1));
  rows.forEach((row, index) => {
    const next = rows[index + 1];
    if (next && shapeOf(next) === shapeOf(row)) throw invalid("two routes of one shape", row.route.path);
  });
  return { routes: rows.map((row) => row.route), rows };
}

/**
 * What the request is by the table.
 *
 * @throws TrustWardenError `route_unknown`; `action_malformed` when a parameter does not fit into the action.
 */
export function matchRoute(table: RouteTable, method: string, target: RequestTarget): RouteMatch {
  for (const { route, segments } of table.rows) {
    if (route.method !== method) continue;
    const params = matchSegments(segments, target.segments);
    if (params === undefined) continue;
    const action = parseActionName(fill(route.action, params));
    const effects = effectsOf(route);
    return { action, resource: fill(route.resource, params), params, ...(effects && { effects }) };
  }
  throw new TrustWardenError("route_unknown", { method, path: target.path.slice(0, 256) });
}

/** The document that `ROUTES_PATH` serves. */
export function formatRoutesDocument(verifier: string, table: RouteTable): string {
  return JSON.stringify({ verifier, routes: table.routes });
}

/**
 * A peer's route document.
 *
 * @throws TrustWardenError `json_malformed` and the other JSON codes, `config_invalid`.
 */
export function parseRoutesDocument(text: string): RoutesDocument {
  const { verifier, routes } = parseJsonObject(text, 262_144);
  if (typeof verifier !== "string" || !Array.isArray(routes)) throw malformedDocument();
  return { verifier, table: createRouteTable(routes.map(parseRoute)) };
}

/** One row of a table, as JSON. @throws TrustWardenError `json_malformed`. */
export function parseRoute(json: Json): Route {
  if (!isJsonObject(json)) throw malformedDocument();
  return {
    method: textOf(json, "method"),
    path: textOf(json, "path"),
    action: textOf(json, "action"),
    resource: textOf(json, "resource"),
    ...labelsIn(json),
    ...(typeof json.outside === "boolean" ? { outside: json.outside } : {}),
  };
}

function labelsIn({ labels }: JsonObject): Pick<Route, "labels"> {
  if (labels === undefined) return {};
  if (!Array.isArray(labels)) throw malformedDocument();
  return { labels: labels.map((label: Json) => (typeof label === "string" ? label : "")) };
}

/** Whoever labels a row and says nothing of where it goes means a read; a read may go outside all the same. */
function effectsOf({ method, labels, outside }: Route): RouteMatch["effects"] {
  if (labels === undefined && outside === undefined) return undefined;
  return { reads: labels ?? [], outside: outside ?? !READING_METHODS.includes(method) };
}

function textOf(json: JsonObject, name: string): string {
  const value = Object.hasOwn(json, name) ? json[name] : undefined;
  if (typeof value !== "string") throw malformedDocument();
  return value;
}

function parseRow(route: Route): Row {
  const { method, path, action, resource } = route;
  if (!METHODS.includes(method)) throw invalid("method", path);
  if ([path, action, resource].some((text) => text.length > MAX_TEXT_CHARS)) throw invalid("too long", path);
  const names = new Set<string>();
  const segments = path === "/" ? [] : path.slice(1).split("/");
  for (const segment of segments) {
    const name = PARAMETER.exec(segment)?.[1];
    if (name === undefined && !isPlainSegment(segment)) throw invalid("path", path);
    if (name !== undefined && names.has(name)) throw invalid("parameter named twice", path);
    if (name !== undefined) names.add(name);
  }
  if (!path.startsWith("/") || path === ROUTES_PATH) throw invalid("path", path);
  requireTemplates(route, names);
  requireLabels(route);
  return { route: { ...route }, segments };
}

function requireLabels({ labels = [], path }: Route): void {
  if (labels.length > MAX_LABELS || !labels.every(isLabel)) throw invalid("labels", path);
}

/** Tries each template with a harmless value, so that a bad row fails at start and not at the first visit. */
function requireTemplates({ action, resource, path }: Route, names: ReadonlySet<string>): void {
  const sample = Object.fromEntries([...names].map((name) => [name, "x"]));
  for (const [, name = ""] of `${action} ${resource}`.matchAll(PARAMETERS)) {
    if (!names.has(name)) throw invalid(`unknown parameter ${name}`, path);
  }
  try {
    parseActionName(fill(action, sample));
  } catch (cause) {
    throw new TrustWardenError("config_invalid", { reason: "route: action", path }, { cause });
  }
  if (!RESOURCE.test(fill(resource, sample))) throw invalid("resource", path);
}

/** Sorts literals before parameters, segment by segment, and is equal for rows that match the same paths. */
function shapeOf({ route, segments }: Row): string {
  const marks = segments.map((segment) => (PARAMETER.test(segment) ? "\x7f" : segment));
  return `${route.method} ${segments.length} ${marks.join("/")}`;
}

function matchSegments(
  pattern: readonly string[],
  segments: readonly string[],
): Readonly<Record<string, string>> | undefined {
  if (pattern.length !== segments.length) return undefined;
  const params: Record<string, string> = {};
  for (const [index, expected] of pattern.entries()) {
    const segment = segments[index] ?? "";
    const name = PARAMETER.exec(expected)?.[1];
    if (name !== undefined) params[name] = segment;
    else if (segment !== expected) return undefined;
  }
  return params;
}

function fill(template: string, params: Readonly<Record<string, string>>): string {
  return template.replace(PARAMETERS, (_, name: string) => params[name] ?? "");
}

function invalid(reason: string, path: string): TrustWardenError {
  return new TrustWardenError("config_invalid", { reason: `route: ${reason}`, path: path.slice(0, 256) });
}

function malformedDocument(): TrustWardenError {
  return new TrustWardenError("json_malformed", { reason: "not a route document" });
}
