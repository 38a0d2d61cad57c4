/**
 * Tunnels to places outside: `CONNECT host:port`, for what speaks TLS end to end and is no upstream of its own.
 *
 * Two locks: the operator names the places, and the agent's scope must cover `connect:net:<host>/<port>`. What flows
 * through a tunnel is not seen, so the place is all that is decided about.
 *
 * @see RFC 9110 §9.3.6; ATTACKS.md F19
 */
import { parseActionName } from "../action.ts";
import { TrustWardenError } from "../error.ts";
import type { Json, JsonObject } from "../json.ts";
import { parseRequestTarget, type RequestTarget } from "../request-target.ts";
import { type CallPlan, NO_EFFECTS, type PlanRequest } from "./plan.ts";
import type { UpstreamDescription } from "./upstream.ts";

const MAX_PLACES = 1000;
const MAX_PORT = 65_535;
const HOST = "[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?){0,8}";
/** A name or an IPv4 address in its one spelling; lower case, since names mean the same in any. */
const AUTHORITY = new RegExp(`^(?<host>${HOST}):(?<port>[1-9][0-9]{0,4})$`);
/** A place, or every name below one. */
const PLACE = new RegExp(`^(?:\\*\\.)?${HOST}:[1-9][0-9]{0,4}$`);

/** Where a tunnel leads. */
export interface Place {
  readonly host: string;
  readonly port: number;
}

/**
 * The target of a CONNECT.
 *
 * @throws TrustWardenError `request_malformed` unless it is `host:port`, lower case, a name or an IPv4 address.
 */
export function parseAuthority(text: string): Place {
  const { host, port } = AUTHORITY.exec(text)?.groups ?? {};
  if (host === undefined || Number(port) > MAX_PORT)
    throw new TrustWardenError("request_malformed", { reason: "target: authority" });
  return { host, port: Number(port) };
}

/** The same as planners read it: `/<host>/<port>`. */
export function targetOfPlace({ host, port }: Place): RequestTarget {
  return parseRequestTarget(`/${host}/${port}`);
}

/** What a tunnel to a place is, whether or not anybody may open one there. */
export function meaningOfPlace({ host, port }: Place): Pick<CallPlan, "action" | "resource"> {
  return { action: parseActionName(`connect:net:${host}/${port}`), resource: `tcp://${host}:${port}` };
}

/** @throws TrustWardenError `route_unknown` for any place that the operator did not name. */
export function planEgress({ settings }: UpstreamDescription, { method, target }: PlanRequest): CallPlan {
  const [host = "", port = ""] = target.segments;
  if (method !== "CONNECT" || target.segments.length !== 2)
    throw new TrustWardenError("route_unknown", { method });
  const place = parseAuthority(`${host}:${port}`);
  if (!placesOf(settings).some((pattern) => isNamed(pattern, place)))
    throw new TrustWardenError("route_unknown", { place: `${host}:${port}` });
  return {
    ...meaningOfPlace(place),
    arguments: { host, port: place.port },
    effects: { ...NO_EFFECTS, reads: ["untrusted"], writesOutside: true },
    estimate: null,
  };
}

/** @throws TrustWardenError `upstream_malformed` unless `places` is a list of `host:port` or `*.host:port`. */
export function requireEgressSettings(settings: JsonObject): void {
  const { places, ...others } = settings;
  const isList = Array.isArray(places) && places.length <= MAX_PLACES && places.every(isPlace);
  if (!isList || Object.keys(others).length > 0)
    throw new TrustWardenError("upstream_malformed", { field: "settings.places" });
}

function placesOf({ places }: JsonObject): readonly string[] {
  return Array.isArray(places) ? places.filter(isPlace) : [];
}

function isPlace(value: Json): value is string {
  return typeof value === "string" && PLACE.test(value);
}

function isNamed(pattern: string, { host, port }: Place): boolean {
  const place = `${host}:${port}`;
  return pattern.startsWith("*.") ? place.endsWith(pattern.slice(1)) : place === pattern;
}
