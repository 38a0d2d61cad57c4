/** Rows of OPA's management services. */
import { MAX_LOGS_BYTES, opaBundleParams, opaLogs, opaStatus, opaTaken } from "@trustwarden/core/api/opa.ts";
import { readOpaBundle, takeOpaLogs, takeOpaStatus } from "../acts/opa.ts";
import { defineGuarded, MAIN_ADMIN_AND_POLICY, type Route } from "../route.ts";

/** What the rows share: an OPA is a service like any other. */
const OPA = {
  listeners: MAIN_ADMIN_AND_POLICY,
  access: ["verifier"],
  subject: () => "self" as const,
} as const;

/** Put on the table by `routes.ts`. */
export const OPA_ROUTES: readonly Route[] = [
  defineGuarded({
    ...OPA,
    method: "GET",
    path: "/v1/opa/bundles/:name",
    summary: "OPA: a signed bundle, or the discovery document as one",
    recording: "single",
    params: opaBundleParams,
    answer: "raw",
    action: () => "ask:decision",
    act: readOpaBundle,
  }),
  defineGuarded({
    ...OPA,
    method: "POST",
    path: "/v1/opa/logs",
    summary: "OPA: decision logs",
    recording: "answer",
    body: opaLogs,
    answer: opaTaken,
    maxBodyBytes: MAX_LOGS_BYTES,
    acceptsGzip: true,
    action: () => "record:outcome",
    act: takeOpaLogs,
  }),
  defineGuarded({
    ...OPA,
    method: "POST",
    path: "/v1/opa/status",
    summary: "OPA: status",
    recording: "answer",
    body: opaStatus,
    answer: opaTaken,
    acceptsGzip: true,
    action: () => "record:outcome",
    act: takeOpaStatus,
  }),
];
