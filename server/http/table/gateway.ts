/** Rows about what is behind the gateway. Calls through it are not rows: see `server/gateway/gateway.ts`. */
import {
  gatewayAnswer,
  upstreamAnswer,
  upstreamList,
  upstreamPath,
  upstreamRemoval,
  upstreamRequest,
} from "@trustwarden/core/api/gateway.ts";
import { listUpstreams, readGateway, removeUpstream, setUpstream } from "../acts/gateway.ts";
import { ADMIN_ONLY, defineGuarded, MAIN_AND_ADMIN, type Route } from "../route.ts";

/** Put on the table by `routes.ts`. */
export const GATEWAY_ROUTES: readonly Route[] = [
  defineGuarded({
    method: "POST",
    path: "/v1/upstreams",
    listeners: ADMIN_ONLY,
    summary: "Register an upstream behind the gateway, or replace it",
    access: ["operator"],
    recording: "with_state",
    body: upstreamRequest,
    answer: upstreamAnswer,
    action: () => "create:upstream",
    subject: () => "none",
    act: setUpstream,
  }),
  defineGuarded({
    method: "GET",
    path: "/v1/upstreams",
    listeners: ADMIN_ONLY,
    summary: "All upstreams",
    access: ["operator"],
    recording: "single",
    answer: upstreamList,
    action: () => "read:upstreams",
    subject: () => "none",
    act: listUpstreams,
  }),
  defineGuarded({
    method: "POST",
    path: "/v1/upstreams/:name/removal",
    listeners: ADMIN_ONLY,
    summary: "Take an upstream away; running calls to it are cut",
    access: ["operator"],
    recording: "with_state",
    params: upstreamPath,
    answer: upstreamRemoval,
    action: () => "revoke:upstream",
    subject: () => "none",
    act: removeUpstream,
  }),
  defineGuarded({
    method: "GET",
    path: "/v1/gateway",
    listeners: MAIN_AND_ADMIN,
    summary: "Where the gateway is, and what an agent needs to plan its calls",
    access: ["agent", "operator"],
    recording: "single",
    answer: gatewayAnswer,
    action: () => "read:gateway",
    subject: () => "self",
    act: readGateway,
  }),
];
