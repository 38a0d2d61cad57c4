/**
 * What the thief sends with the strings that it found: each as a bearer token, an intent, an owner request and a
 * ticket, to every guarded route.
 */
import { randomBytes } from "node:crypto";
import type { Attempt } from "./thief-http.ts";

/** A header line of this size passes the server's own limit of 16 KiB, also in base64; nothing longer can be shown. */
const MAX_HEADER_CHARS = 8_000;
/** The largest enrolment document that the schema takes. */
const MAX_DOCUMENT_CHARS = 65_535;
/** Passes for a digest, a key and an envelope in a schema. */
const FILLER = "A".repeat(43);
const KINDS = ["bearer", "intent", "owner", "ticket"] as const;
type Kind = (typeof KINDS)[number];

/** A guarded route, with a target and a body that would do harm if they were let in. */
export type GuardedRoute = Pick<Attempt, "origin" | "method" | "target"> & { readonly body?: string };

/** Identifiers that the thief read, to aim with. */
export interface Aim {
  readonly owner: string;
  readonly agent: string;
  readonly instance: string;
}

/** Where the listeners are. */
export interface Origins {
  readonly main: string;
  readonly stop: string;
  readonly finance: string;
}

/** Every route of an OpenAPI document that is not public, and those of the finance API. */
export function readRoutes(document: unknown, origins: Origins, aim: Aim): readonly GuardedRoute[] {
  const routes = entriesOf(memberOf(document, "paths")).flatMap(([path, operations]) =>
    entriesOf(operations)
      .filter(([, operation]) => !String(memberOf(operation, "description")).startsWith("For: public"))
      .map(([method, operation]): GuardedRoute => {
        const tags = memberOf(operation, "tags");
        const isStopOnly = Array.isArray(tags) && !tags.includes("main") && tags.includes("stop");
        const body = bodyFor(path, aim);
        return {
          origin: isStopOnly ? origins.stop : origins.main,
          method: method.toUpperCase(),
          target: fillPath(path, aim),
          ...(method === "post" ? { body: JSON.stringify(body) } : {}),
        };
      }),
  );
  const row = JSON.stringify({ account: "thief", amountCents: 1_000_000, memo: "mine" });
  return [
    ...routes,
    { origin: origins.finance, method: "GET", target: "/transactions" },
    { origin: origins.finance, method: "POST", target: "/transactions", body: row },
    { origin: origins.finance, method: "DELETE", target: "/transactions/1" },
  ];
}

/** Those that fit into a request's head. */
export function headerSized(strings: readonly string[]): readonly string[] {
  return strings.filter((text) => text.length <= MAX_HEADER_CHARS);
}

/** Each string in each role once, the routes taken in turn: no role is left out. */
export function* formatEachRole(
  strings: readonly string[],
  routes: readonly GuardedRoute[],
): Generator<Attempt> {
  let turn = 0;
  for (const text of strings) {
    for (const kind of KINDS) {
      const route = routes[turn % routes.length];
      turn += 1;
      if (route !== undefined) yield toAttempt(route, headersOf(kind, text));
    }
  }
}

/** Each string as the enrolment document of a new identity: tickets and grants are read from the body. */
export function* formatEnrolments(strings: readonly string[], origin: string): Generator<Attempt> {
  for (const text of strings) {
    if (text.length > MAX_DOCUMENT_CHARS) continue;
    const body = JSON.stringify({ enrolment: text, possession: FILLER, spki: FILLER });
    yield toAttempt({ origin, method: "POST", target: "/v1/instances", body }, {});
  }
}

/**
 * Each string against every route: no route is left out. The roles are taken in turn, one at a time, since a server
 * that refuses the first credential it sees would never look at the others.
 */
export function* formatEachRoute(
  strings: readonly string[],
  routes: readonly GuardedRoute[],
): Generator<Attempt> {
  let turn = 0;
  for (const text of strings) {
    turn += 1;
    for (const [position, route] of routes.entries()) {
      const kind = KINDS[(turn + position) % KINDS.length];
      if (kind !== undefined) yield toAttempt(route, headersOf(kind, text));
    }
  }
}

/** Each route with no credential at all, for a caller that has only its TLS identity. */
export function formatBare(routes: readonly GuardedRoute[]): readonly Attempt[] {
  return routes.map((route) => toAttempt(route, {}));
}

function toAttempt(route: GuardedRoute, headers: Readonly<Record<string, string>>): Attempt {
  const isUpgrade = route.target === "/v1/lease";
  return {
    ...route,
    headers: {
      ...headers,
      ...(route.body === undefined ? {} : { "content-type": "application/json" }),
      ...(isUpgrade ? { connection: "upgrade", upgrade: "trustwarden-lease/1" } : {}),
    },
  };
}

function headersOf(kind: Kind, text: string): Readonly<Record<string, string>> {
  // Envelopes, and what no header can hold, travel as base64url; anything else is sent as it was found.
  const isPlain = /^[\x21-\x7e][\x20-\x7e]*$/.test(text) && !text.startsWith("{");
  const value = isPlain ? text : Buffer.from(text).toString("base64url");
  switch (kind) {
    case "bearer":
      return { authorization: `Bearer ${value}` };
    case "intent":
      return { "trustwarden-intent": value, "trustwarden-salt": randomBytes(32).toString("base64url") };
    case "owner":
      return { "trustwarden-owner": value };
    case "ticket":
      return { "trustwarden-ticket": value };
  }
}

/** A body that passes the schema, so that what refuses is the authentication. */
function bodyFor(path: string, { owner, instance }: Aim): object {
  const bodies: Readonly<Record<string, object>> = {
    "/v1/revocations": { target: { kind: "owner", id: owner }, reason: "thief" },
    "/v1/narrowings": { instance_id: instance, scope: [] },
    "/v1/owners": { name: "thief", spki: FILLER },
    "/v1/verifier-tickets": { name: "thief", ttl_seconds: 3600 },
    "/v1/jwt-svids": { audience: "thief" },
    "/v1/svids/renew": { possession: FILLER, spki: FILLER },
    "/v1/instances": { enrolment: FILLER, possession: FILLER, spki: FILLER },
    "/v1/decisions": { intent: FILLER, svid_chain: [FILLER] },
    "/v1/outcomes": { outcome: FILLER },
  };
  return bodies[path] ?? {};
}

function fillPath(path: string, { agent }: Aim): string {
  return path
    .replace("{id}", agent)
    .replace("{event_id}", "019a0000-0000-7000-8000-000000000000")
    .replace("{*}", "000")
    .replace(/consistency$/, "consistency?from=0");
}

function entriesOf(value: unknown): readonly (readonly [string, unknown])[] {
  return typeof value === "object" && value !== null ? Object.entries(value) : [];
}

function memberOf(value: unknown, name: string): unknown {
  return entriesOf(value).find(([key]) => key === name)?.[1];
}
