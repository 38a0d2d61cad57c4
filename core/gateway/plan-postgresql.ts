/**
 * Roles of a PostgreSQL database for the life of an agent's instance: `POST /roles/<template>` asks for one, and
 * `POST /roles/<template>/end` gives it back.
 *
 * A template is the operator's and names group roles of the database; an agent names the template and nothing else, so
 * there is no statement, role or duration of the agent's in what is done.
 *
 * @see docs/decisions/0026-roles-for-a-job.md
 */
import { parseActionName } from "../action.ts";
import { TrustWardenError } from "../error.ts";
import { Fields } from "../fields.ts";
import type { JsonObject } from "../json.ts";
import { type CallPlan, NO_EFFECTS, type PlanRequest } from "./plan.ts";
import type { UpstreamDescription } from "./upstream.ts";

const MAX_TEMPLATES = 64;
const MAX_GROUPS = 8;
/** A role for longer than this is a standing one. */
const MAX_TTL_SECONDS = 86_400;
const MAX_CONNECTIONS = 100;
/** With the prefix and the instance it fits into the 63 bytes of an identifier. */
const TEMPLATE = /^[a-z][a-z0-9_]{0,30}$/;
/** No quotes, and not PostgreSQL's own roles, which reach files and programs of its machine. */
const GROUP = /^(?!pg_)[a-z_][a-z0-9_]{0,62}$/;
/** A member that no body needs. */
const EMPTY_BODIES: readonly string[] = ["", "{}"];
const CODE = "upstream_malformed";

/** What a role of a template may do. */
export interface RoleTemplate {
  /** Group roles of the database, which hold the privileges. */
  readonly memberOf: readonly string[];
  /** A role ends after this long at the latest. */
  readonly ttlSeconds: number;
  /** At the same time. */
  readonly connections: number;
}

/** What an agent asks for. */
export interface RoleCall {
  readonly template: string;
  readonly operation: "create" | "end";
}

/** Parsed once for each settings object; settings are never changed in place. */
const parsed = new WeakMap<JsonObject, ReadonlyMap<string, RoleTemplate>>();

/** @throws TrustWardenError `upstream_malformed`. */
export function parsePostgresqlSettings(settings: JsonObject): ReadonlyMap<string, RoleTemplate> {
  const known = parsed.get(settings);
  if (known !== undefined) return known;
  const fields = new Fields(settings, CODE, "settings.");
  const roles = fields.json("roles");
  fields.end();
  const names = Object.keys(roles);
  if (names.length === 0 || names.length > MAX_TEMPLATES) fields.refuse("roles");
  const rows = new Fields(roles, CODE, "settings.roles.");
  const templates = new Map(
    names.map((name) => {
      if (!TEMPLATE.test(name)) rows.refuse(name);
      return [name, parseTemplate(rows.object(name))] as const;
    }),
  );
  parsed.set(settings, templates);
  return templates;
}

/** @throws TrustWardenError `route_unknown` for what is no template's, `request_malformed` for a body with anything in it. */
export function planPostgresql(upstream: UpstreamDescription, request: PlanRequest): CallPlan {
  const { template, operation } = parseRoleCall(upstream.settings, request);
  return {
    action: parseActionName(`issue:database:${upstream.name}/${template}`),
    resource: `${upstream.resource}/roles/${template}`,
    arguments: { template, operation },
    effects: NO_EFFECTS,
    estimate: null,
  };
}

/** The same call, for whoever performs what was planned. @throws TrustWardenError as `planPostgresql`. */
export function parseRoleCall(settings: JsonObject, { method, target, body }: PlanRequest): RoleCall {
  const [collection, template = "", end, ...more] = target.segments;
  const isServed =
    method === "POST" && collection === "roles" && (end === undefined || end === "end") && more.length === 0;
  if (!isServed || target.text !== target.path || !parsePostgresqlSettings(settings).has(template))
    throw new TrustWardenError("route_unknown", { method });
  if (body.length > 2 || !EMPTY_BODIES.includes(new TextDecoder().decode(body).trim()))
    throw new TrustWardenError("request_malformed", { reason: "body" });
  return { template, operation: end === undefined ? "create" : "end" };
}

function parseTemplate(fields: Fields): RoleTemplate {
  const memberOf = fields.texts("member_of");
  if (memberOf.length === 0 || memberOf.length > MAX_GROUPS || !memberOf.every((group) => GROUP.test(group)))
    fields.refuse("member_of");
  const ttlSeconds = fields.integer("ttl_seconds", MAX_TTL_SECONDS);
  const connections = fields.integer("connections", MAX_CONNECTIONS);
  if (ttlSeconds === 0) fields.refuse("ttl_seconds");
  if (connections === 0) fields.refuse("connections");
  fields.end();
  return { memberOf: [...new Set(memberOf)], ttlSeconds, connections };
}
