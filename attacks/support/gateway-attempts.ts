/** Calls of the routes about the gateway, policies, approvals, budgets and OAuth: each with the one event that it must leave. */
import { type RawRequest, sendAdmin } from "../../test/support/http.ts";
import { call } from "./client.ts";
import type { Attempt } from "./registry-attempts.ts";
import type { World } from "./world.ts";

const JSON_TYPE = { "content-type": "application/json" };
const FORM_TYPE = { "content-type": "application/x-www-form-urlencoded" };
const AUTHZEN = {
  subject: { type: "agent", id: "agt_none" },
  action: { name: "read" },
  resource: { type: "x", id: "y" },
};
const APPROVAL = {
  event_id: "018f0000-0000-7000-8000-000000000001",
  decision_index: 1,
  parameters: { kind: "params", params: null },
  salt: "",
  body: null,
  expires_in: 1,
};

/** What operators set. */
export function settingAttempts(world: World, agentId: string): readonly Attempt[] {
  const name = world.name("shop");
  const ask = (target: string, body: object) => () =>
    sendAdmin(world.server.adminSocket, { method: "POST", target, body: JSON.stringify(body) });
  const upstream = {
    name,
    kind: "http",
    url: "http://127.0.0.1:1",
    allow_private: true,
    settings: { routes: [] },
  };
  const limits = { calls: 1_000_000, tokens: null, micro_usd: null };
  const of = (rest: string) => `/v1/upstreams/${name}/${rest}`;
  return [
    {
      route: "/v1/upstreams",
      what: "an upstream",
      status: 200,
      kind: "upstream",
      ask: ask("/v1/upstreams", upstream),
    },
    {
      route: "/v1/upstreams",
      what: "no upstream",
      status: 400,
      kind: "refuse",
      ask: ask("/v1/upstreams", { ...upstream, url: "none" }),
    },
    {
      route: "/v1/upstreams/{name}/mcp/look",
      what: "no tools",
      status: 404,
      kind: "",
      ask: ask(of("mcp/look"), {}),
    },
    {
      route: "/v1/upstreams/{name}/mcp/approvals",
      what: "no tools",
      status: 404,
      kind: "refuse",
      ask: ask(of("mcp/approvals"), {}),
    },
    {
      route: "/v1/upstreams/{name}/removal",
      what: "an end",
      status: 200,
      kind: "upstream",
      ask: ask(of("removal"), {}),
    },
    {
      route: "/v1/upstreams/{name}/removal",
      what: "its second end",
      status: 404,
      kind: "refuse",
      ask: ask(of("removal"), {}),
    },
    {
      route: "/v1/budgets",
      what: "a budget",
      status: 200,
      kind: "budget",
      ask: ask("/v1/budgets", { subject: agentId, window: "day", limits }),
    },
    ...policyAttempts(ask),
  ];
}

/** Attempts at the policies. */
function policyAttempts(ask: (target: string, body: object) => Attempt["ask"]): readonly Attempt[] {
  return [
    {
      route: "/v1/policy/freeze",
      what: "no freeze",
      status: 200,
      kind: "policy",
      ask: ask("/v1/policy/freeze", { freeze: null }),
    },
    {
      route: "/v1/policy",
      what: "no bundle",
      status: 400,
      kind: "refuse",
      ask: ask("/v1/policy", { bundle: "AA==" }),
    },
    {
      route: "/v1/policy/replays",
      what: "no draft",
      status: 400,
      kind: "",
      ask: ask("/v1/policy/replays", { bundle: "AA==" }),
    },
  ];
}

/** Strangers at the routes of agents, services and owners. */
export function strangersAttempts(world: World): readonly Attempt[] {
  const ask =
    (target: string, body: string, headers: RawRequest["headers"] = JSON_TYPE) =>
    () =>
      call(world.server.url, { method: "POST", target, body, headers: headers ?? {} });
  const json = (route: string, body: object, target = route): Attempt => ({
    route,
    what: "a stranger",
    status: 401,
    kind: "refuse",
    ask: ask(target, JSON.stringify(body)),
  });
  const form = (route: string, body: string): Attempt => ({
    route,
    what: "a stranger",
    status: 401,
    kind: "refuse",
    ask: ask(route, body, FORM_TYPE),
  });
  return [
    json("/v1/approvals", APPROVAL),
    json("/v1/claims/search", { code: "x" }),
    json("/v1/claims/acceptance", { code: "x", ticket: "x" }),
    json("/v1/transfers", { transfer: "x" }),
    json("/v1/transfers/acceptance", { offer: "x", acceptance: "x" }),
    json("/v1/approvals/{id}/answer", { approval: "x" }, `/v1/approvals/${APPROVAL.event_id}/answer`),
    json("/access/v1/evaluation", AUTHZEN),
    json("/access/v1/evaluations", AUTHZEN),
    json("/access/v1/search/subject", AUTHZEN),
    json("/access/v1/search/resource", AUTHZEN),
    json("/access/v1/search/action", AUTHZEN),
    json("/v1/opa/status", {}),
    json("/v1/opa/logs", []),
    form("/oauth/token", "grant_type=client_credentials"),
    form("/oauth/introspect", "token=x"),
    form("/oauth/revoke", "token=x"),
  ];
}
