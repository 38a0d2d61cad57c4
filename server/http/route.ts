/**
 * What a route is: a row of data. Everything that Fastify serves, and every upgrade, is made from such a row, so that
 * nothing can be served that is not on the table.
 */
import type { Readable } from "node:stream";
import type { Subject } from "@trustwarden/core/agentscope/policy-input.ts";
import type { Decision } from "@trustwarden/core/decision.ts";
import type { ControlKind } from "@trustwarden/core/event.ts";
import type { Principal } from "@trustwarden/core/principal.ts";
import type { Role } from "@trustwarden/core/role.ts";
import type { z } from "zod";
import type { Arrival } from "./arrival.ts";
import type { Caller, Enrolments } from "./caller.ts";
import type { Services } from "./services.ts";

/** `main` serves agents and services, `stop` only what must work when everything else is busy, `admin` operators,
 * `web` strangers who know nothing but the web's certificates, `policy` enforcement points and engines of others, which
 * know us by the web's certificates and prove themselves by their SVID, `envoy` proxies, by gRPC, `metrics` collectors,
 * `console` the browsers of people. */
export type ListenerName = "main" | "stop" | "admin" | "web" | "policy" | "envoy" | "metrics" | "console";

export const EVERYWHERE: readonly ListenerName[] = ["main", "stop", "admin"];
export const MAIN_AND_ADMIN: readonly ListenerName[] = ["main", "admin"];
/** Public rows that other trust domains, clouds and model providers need. */
export const MAIN_ADMIN_AND_WEB: readonly ListenerName[] = ["main", "admin", "web"];
/** Rows for enforcement points and engines of others. */
export const MAIN_ADMIN_AND_POLICY: readonly ListenerName[] = ["main", "admin", "policy"];
export const ADMIN_ONLY: readonly ListenerName[] = ["admin"];
export const CONSOLE_ONLY: readonly ListenerName[] = ["console"];

/**
 * How an allowed visit enters the ledger.
 *
 * - `single`: one control record before the act.
 * - `with_state`: the act is a command; its event commits with the state.
 * - `answer`: the act finds out what its events say, and answers when they are durable.
 * - `decision`: the data plane; intent and decision side by side.
 * - `outcome`: the signed record in the body is the entry.
 */
type Recording = "single" | "with_state" | "answer" | "decision" | "outcome";

/** One guarded visit, after authentication and decision. */
export interface Visit<Body = unknown, Query = unknown, Params = unknown> {
  readonly arrival: Arrival;
  readonly caller: Caller;
  readonly decision: Decision;
  readonly body: Body;
  readonly query: Query;
  readonly params: Params;
}

/** A question that is asked before the decision: which action, on whom. */
export type Question<Body = unknown, Query = unknown, Params = unknown> = Pick<
  Visit<Body, Query, Params>,
  "arrival" | "caller" | "body" | "query" | "params"
>;

/** Text, bytes or a stream that go out as they are. */
export interface RawAnswer {
  readonly isRaw: true;
  readonly contentType: string;
  readonly cacheControl: string;
  /** A stream is ended when its listener closes. */
  readonly content: string | Uint8Array | Readable;
  /** 200 unless it is another. */
  readonly status?: 200 | 204 | 304;
  /** Further headers, such as `etag`. */
  readonly headers?: Readonly<Record<string, string>>;
}

/** JSON with headers of its own. */
export interface HeadedAnswer {
  readonly isHeaded: true;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: unknown;
}

/** `oauth`: the body is a form, failures are in the words of the RFCs, and each answer carries a DPoP nonce. */
export type Dialect = "json" | "oauth";

/** Says of one question whether it waits for a second admin. */
export type NeedsConfirmation = (services: Pick<Services, "reads">, question: Question) => boolean;

interface RouteBase {
  readonly method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  /** Fastify's spelling of the path. */
  readonly path: string;
  readonly listeners: readonly ListenerName[];
  readonly summary: string;
  /** Bodies up to this many bytes instead of `MAX_BODY_BYTES`. */
  readonly maxBodyBytes?: number;
  /** Whether a body may be compressed; its limits are the same after decompression. */
  readonly acceptsGzip?: true;
  /** Of an answer that is JSON, where it is not 200. */
  readonly status?: 201;
}

interface Schemas<Body extends z.ZodType, Query extends z.ZodType, Params extends z.ZodType> {
  readonly body?: Body;
  readonly query?: Query;
  readonly params?: Params;
  /** JSON answers are cut down to this schema; `raw` and upgraded routes have none. */
  readonly answer: z.ZodType | "raw" | "upgrade";
}

/** A row of the closed public list: no identity, no record, nothing secret. */
export interface PublicRoute<Params extends z.ZodType = z.ZodType>
  extends RouteBase,
    Schemas<z.ZodType, z.ZodType, Params> {
  readonly access: "public";
  /** Whether other servers that share the store change what it says, as steps of the authority do: cut off from them it says nothing. */
  readonly isShared?: boolean;
  // A method, because methods are compared bivariantly: a row typed by its own schemas fits the table of all rows.
  act(services: Services, params: z.output<Params>, headers: Arrival["headers"]): Promise<unknown>;
}

/**
 * How one request may bring several bodies of a row, and how it is answered: each under this member, in order. `several.ts` has
 * each of them walk the path.
 */
export interface Several {
  readonly member: string;
  readonly body: z.ZodType;
  readonly answer: z.ZodType;
}

/** A guarded row. */
export interface GuardedRoute<
  Body extends z.ZodType = z.ZodType,
  Query extends z.ZodType = z.ZodType,
  Params extends z.ZodType = z.ZodType,
> extends RouteBase,
    Schemas<Body, Query, Params> {
  /** Kinds of principal that may come; everybody else is refused before any policy is asked. */
  readonly access: readonly Principal["kind"][];
  readonly recording: Recording;
  readonly dialect: Dialect;
  /** Kind of the control record of a `single` recording. */
  readonly kind: ControlKind;
  /** What the enrollees of this route prove themselves with. */
  readonly enrolment: keyof Enrolments;
  /** Roles of a person of which one is enough; without them whoever is logged in may come. */
  readonly roles?: readonly Role[];
  /** Whether somebody who may ask this may not do it alone (`server/console/confirmed-rows.ts`). */
  readonly needsConfirmation?: NeedsConfirmation;
  /** What proves a person here instead of a session. */
  readonly opens?: "passkey" | "provider";
  /** Pages ask it by themselves as long as they are open: it is no use of a session, which ends as if nobody asked. */
  readonly isBackground?: true;
  /** Absent for rows of which a request brings one. */
  readonly several?: Several;
  /** Stopping goes on when the ledger cannot record. */
  readonly isStopLane: boolean;
  /** Control action, such as `revoke:instance`. */
  action(question: Question<z.output<Body>, z.output<Query>, z.output<Params>>): string;
  /** Who is acted on, seen from the caller. */
  subject(services: Services, question: Question<z.output<Body>, z.output<Query>, z.output<Params>>): Subject;
  act(services: Services, visit: Visit<z.output<Body>, z.output<Query>, z.output<Params>>): Promise<unknown>;
}

export type Route = PublicRoute | GuardedRoute;

/** A public row, typed by its own schemas. */
export function definePublic<Params extends z.ZodType>(
  route: Omit<PublicRoute<Params>, "access">,
): PublicRoute {
  return { ...route, access: "public" };
}

/** A guarded row, typed by its own schemas; most are not of the stop lane and leave a `read` or `admin` record. */
export function defineGuarded<
  Body extends z.ZodType = z.ZodType,
  Query extends z.ZodType = z.ZodType,
  Params extends z.ZodType = z.ZodType,
>(
  route: Omit<GuardedRoute<Body, Query, Params>, "kind" | "isStopLane" | "enrolment" | "dialect"> &
    Partial<Pick<GuardedRoute, "kind" | "isStopLane" | "enrolment" | "dialect">>,
): GuardedRoute {
  return { kind: "read", isStopLane: false, enrolment: "document", dialect: "json", ...route };
}

/** What a route speaks; public rows have no body and only the table's failures. */
export function dialectOf(route: Route): Dialect {
  return route.access === "public" ? "json" : route.dialect;
}

/** Whether an act's answer goes out as it is. */
export function isRawAnswer(value: unknown): value is RawAnswer {
  return typeof value === "object" && value !== null && "isRaw" in value && value.isRaw === true;
}

/** Whether an act's answer has headers of its own. */
export function isHeadedAnswer(value: unknown): value is HeadedAnswer {
  return typeof value === "object" && value !== null && "isHeaded" in value && value.isHeaded === true;
}

/** How a route is named in records, logs and tests. */
export function formatRoute({ method, path }: Pick<RouteBase, "method" | "path">): string {
  return `${method} ${path}`;
}
