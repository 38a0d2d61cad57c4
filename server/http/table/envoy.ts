/** The row of Envoy's external authorization: gRPC, on a listener of its own. */
import { defineGuarded, type GuardedRoute, type Route } from "../route.ts";

/** Served by `server/envoy/listener.ts`. */
export const CHECK_ROUTE: GuardedRoute = defineGuarded({
  method: "POST",
  path: "/envoy.service.auth.v3.Authorization/Check",
  listeners: ["envoy"],
  summary: "Envoy ext_authz v3 (gRPC): may the proxy's peer do this?",
  access: ["verifier"],
  recording: "answer",
  answer: "raw",
  action: () => "ask:decision",
  subject: () => "none",
  act: () => Promise.reject(new Error("the listener of proxies acts by itself")),
});

/** Put on the table by `routes.ts`. */
export const ENVOY_ROUTES: readonly Route[] = [CHECK_ROUTE];
