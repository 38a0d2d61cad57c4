/** Rows for the operator of this server. */
import { statusAnswer } from "@trustwarden/core/api/ledger.ts";
import { readOpenApi, readStatus } from "../acts/status.ts";
import { ADMIN_ONLY, defineGuarded, definePublic, type Route } from "../route.ts";

/** Put on the table by `routes.ts`. */
export const OPERATION_ROUTES: readonly Route[] = [
  defineGuarded({
    method: "GET",
    path: "/v1/status",
    listeners: ADMIN_ONLY,
    summary: "Counts, versions and addresses",
    access: ["operator"],
    recording: "single",
    answer: statusAnswer,
    action: () => "read:status",
    subject: () => "none",
    act: readStatus,
  }),
  defineGuarded({
    method: "GET",
    path: "/v1/openapi.json",
    listeners: ADMIN_ONLY,
    summary: "This API as an OpenAPI document",
    access: ["operator"],
    recording: "single",
    answer: "raw",
    action: () => "read:status",
    subject: () => "none",
    act: readOpenApi,
  }),
  definePublic({
    method: "GET",
    path: "/metrics",
    listeners: ["metrics"],
    summary: "Counts, times and states for Prometheus; on a listener of its own, and nowhere else",
    answer: "raw",
    act: (services) => services.scrape.read(services),
  }),
];
