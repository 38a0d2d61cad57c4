/** Calls to a plain HTTP service: what the rows of the operator's route table say they are. */
import { parseActionName } from "../action.ts";
import { isJsonObject, type Json } from "../json.ts";
import {
  createRouteTable,
  matchRoute,
  parseRoute,
  type RouteMatch,
  type RouteTable,
} from "../route-table.ts";
import { parseDisclosure } from "./disclosure.ts";
import { type CallEffects, type CallPlan, type PlanRequest, TAINT_LABELS } from "./plan.ts";
import type { UpstreamDescription } from "./upstream.ts";

const READING_METHODS: readonly string[] = ["GET", "HEAD", "OPTIONS"];

/** Tables by the settings that they were made of; settings are immutable once read. */
const tables = new WeakMap<object, RouteTable>();

/** @throws TrustWardenError `route_unknown`, `action_malformed`, `upstream_malformed`. */
export function planHttp({ settings }: UpstreamDescription, { method, target }: PlanRequest): CallPlan {
  const { action, resource, params, effects } = matchRoute(tableOf(settings), method, target);
  return {
    action: parseActionName(action),
    resource,
    arguments: { ...params },
    effects: effectsOf(method, effects),
    estimate: null,
  };
}

/** What the operator's table says of a row; where it says nothing, whatever is more than a read goes outside. */
function effectsOf(method: string, effects: RouteMatch["effects"]): CallEffects {
  const reads = TAINT_LABELS.filter((label) => effects?.reads.includes(label) === true);
  return { reads, writesOutside: effects?.outside ?? !READING_METHODS.includes(method) };
}

/** @throws TrustWardenError `upstream_malformed` unless the settings hold a sound route table and say soundly what is kept. */
export function requireHttpSettings(settings: UpstreamDescription["settings"]): void {
  tableOf(settings);
  parseDisclosure(settings.disclose);
}

function tableOf(settings: UpstreamDescription["settings"]): RouteTable {
  const known = tables.get(settings);
  if (known !== undefined) return known;
  const rows: readonly Json[] = Array.isArray(settings.routes) ? settings.routes : [];
  const table = createRouteTable(rows.filter(isJsonObject).map(parseRoute));
  tables.set(settings, table);
  return table;
}
