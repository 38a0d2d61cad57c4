/**
 * Which rows of the route table a person may ask, by role: the whole list. What is not on it is not served to browsers.
 *
 * The policy demands the same again by action (`policies/trustwarden/data.json`); rows of the session itself are anybody's
 * who is logged in and name no role.
 */
import type { Role } from "@trustwarden/core/role.ts";
import { formatRoute, type GuardedRoute, type Route } from "../http/route.ts";
import { confirmationOf } from "./confirmed-rows.ts";
import { countReads } from "./counted-reads.ts";

const READERS: readonly Role[] = ["auditor", "operator", "admin"];
const READERS_AND_OWNERS: readonly Role[] = ["owner", ...READERS];
const STOPPERS: readonly Role[] = ["owner", "operator", "admin"];
const OPERATORS: readonly Role[] = ["operator", "admin"];
const ADMINS: readonly Role[] = ["admin"];

/** Roles by row. */
const PERSON_ROWS: Readonly<Record<string, readonly Role[]>> = {
  "GET /v1/agents": READERS_AND_OWNERS,
  "GET /v1/offers": READERS_AND_OWNERS,
  "GET /v1/agents/:id": READERS_AND_OWNERS,
  "GET /v1/tree": READERS_AND_OWNERS,
  "GET /v1/live": READERS_AND_OWNERS,
  "GET /v1/owners": READERS,
  "GET /v1/events": READERS_AND_OWNERS,
  "GET /v1/events/:event_id": READERS_AND_OWNERS,
  "GET /v1/ledger/consistency": READERS_AND_OWNERS,
  "GET /v1/approvals": READERS_AND_OWNERS,
  "GET /v1/approvals/:id": READERS_AND_OWNERS,
  "POST /v1/approvals/:id/answer": ["owner"],
  "POST /v1/claims/search": ["owner"],
  "POST /v1/claims/acceptance": ["owner"],
  "POST /v1/transfers": ["owner"],
  "POST /v1/transfers/acceptance": ["owner"],
  "GET /v1/budgets": READERS_AND_OWNERS,
  "GET /v1/entries": READERS_AND_OWNERS,
  "GET /v1/status": READERS,
  "GET /v1/evidence": READERS_AND_OWNERS,
  "GET /v1/openapi.json": READERS,
  // A question about anybody's agent, recorded as a question; it permits nothing.
  "POST /access/v1/evaluation": READERS,
  "POST /access/v1/search/action": READERS,
  "POST /access/v1/search/resource": READERS,
  "GET /v1/policy": READERS,
  "GET /v1/policy/freeze": READERS,
  "GET /v1/federations": READERS,
  "GET /v1/upstreams": READERS,
  "GET /v1/upstreams/:name/mcp": READERS,
  "GET /v1/authority": READERS,
  "GET /v1/secrets": READERS,
  "GET /v1/secret-keys": READERS,
  "GET /v1/database-roles": READERS,
  "POST /v1/revocations": STOPPERS,
  "POST /v1/narrowings": STOPPERS,
  "POST /v1/policy/freeze": ADMINS,
  // Runs what was sent, in a thread that reaches nothing; auditors read what came of policies, and try none.
  "POST /v1/policy/replays": OPERATORS,
  "POST /v1/federations/:trust_domain/refresh": ADMINS,
  // A stop: nobody of that trust domain is believed any more, by one admin's word.
  "POST /v1/federations/:trust_domain/removal": ADMINS,
  "POST /v1/entries/:id/removal": STOPPERS,
  "POST /v1/join-tokens": OPERATORS,
  "POST /v1/verifier-tickets": OPERATORS,
  "POST /v1/budgets": OPERATORS,
  "POST /v1/upstreams": OPERATORS,
  "POST /v1/upstreams/:name/removal": OPERATORS,
  "POST /v1/upstreams/:name/mcp/look": OPERATORS,
  "POST /v1/upstreams/:name/mcp/approvals": OPERATORS,
  "POST /v1/secrets": ADMINS,
  "POST /v1/secrets/:name/versions": ADMINS,
  "POST /v1/secrets/:name/disabling": OPERATORS,
  "POST /v1/secrets/:name/enabling": ADMINS,
  "POST /v1/secrets/:name/removal": OPERATORS,
  "POST /v1/people/links": ADMINS,
  "GET /v1/people": READERS,
  "POST /v1/people/:id/roles": ADMINS,
  "POST /v1/people/:id/end": ADMINS,
  "POST /v1/organizations": ADMINS,
  "GET /v1/organizations": READERS,
  "GET /v1/organizations/:id": READERS_AND_OWNERS,
  "POST /v1/organizations/:id/name": ADMINS,
  "POST /v1/organizations/:id/members": ADMINS,
  "POST /v1/organizations/:id/members/removal": ADMINS,
  "POST /v1/organizations/:id/removal": ADMINS,
  "POST /v1/confirmations": READERS,
  "GET /v1/confirmations": READERS,
  "GET /v1/confirmations/:id": READERS,
  "GET /v1/restore": READERS,
  "GET /v1/backups": READERS,
  // With a second admin's word alone (`confirmed-rows.ts`).
  "POST /v1/restore/release": ADMINS,
  "POST /v1/backups": ADMINS,
  "POST /v1/authority/steps": ADMINS,
  "POST /v1/federations": ADMINS,
  "POST /v1/federations/:trust_domain/bundle": ADMINS,
  "POST /v1/policy": ADMINS,
  "POST /v1/ledger/turns": ADMINS,
  "POST /v1/secret-keys/rotation": ADMINS,
  "GET /v1/payloads/:event_id": ADMINS,
  "POST /v1/payloads/:event_id/erasure": ADMINS,
};

/** Public rows that a page needs to check proofs by itself. */
const CONSOLE_PUBLIC_ROWS: readonly string[] = [
  "GET /healthz",
  "GET /v1/bundle",
  "GET /.well-known/trustwarden",
  "GET /ledger/checkpoint",
  "GET /ledger/witnessed-checkpoint",
  "GET /ledger/witness-policy",
  "GET /ledger/tile/*",
  "GET /ledger/shards",
];

/** The same rows, with people let in where the list says so. */
export function admitPeople(routes: readonly Route[]): readonly Route[] {
  return routes.map((route) => {
    const name = formatRoute(route);
    if (route.access === "public") return CONSOLE_PUBLIC_ROWS.includes(name) ? onConsole(route) : route;
    const confirmed = countReads(withConfirmation(route));
    const roles = PERSON_ROWS[name];
    if (roles === undefined) return confirmed;
    return onConsole({ ...confirmed, access: [...new Set([...confirmed.access, "person" as const])], roles });
  });
}

/** Roles of a person that may ask a row; none for what people may not ask. @param row - as `formatRoute` names it. */
export function rolesOfRow(row: string): readonly Role[] {
  return PERSON_ROWS[row] ?? [];
}

function withConfirmation(route: GuardedRoute): GuardedRoute {
  const needsConfirmation = confirmationOf(route);
  return needsConfirmation === undefined ? route : { ...route, needsConfirmation };
}

function onConsole<R extends Route>(route: R): R {
  return { ...route, listeners: [...new Set([...route.listeners, "console" as const])] };
}
