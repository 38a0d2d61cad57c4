/** Rows about the catalogues of MCP upstreams. Calls to them are no rows: see `server/gateway/gateway.ts`. */
import { upstreamPath } from "@trustwarden/core/api/gateway.ts";
import { approvalRequest, catalogueAnswer } from "@trustwarden/core/api/mcp.ts";
import { approveDefinitions, lookAtUpstream, readCatalogue } from "../acts/mcp.ts";
import { ADMIN_ONLY, defineGuarded, type Route } from "../route.ts";

/** Put on the table by `routes.ts`. */
export const MCP_ROUTES: readonly Route[] = [
  defineGuarded({
    method: "GET",
    path: "/v1/upstreams/:name/mcp",
    listeners: ADMIN_ONLY,
    summary: "What an MCP upstream offers, and what of it is approved",
    access: ["operator"],
    recording: "single",
    params: upstreamPath,
    answer: catalogueAnswer,
    action: () => "read:upstreams",
    subject: () => "none",
    act: readCatalogue,
  }),
  defineGuarded({
    method: "POST",
    path: "/v1/upstreams/:name/mcp/look",
    listeners: ADMIN_ONLY,
    summary: "Look at what an MCP upstream offers now",
    access: ["operator"],
    recording: "single",
    params: upstreamPath,
    answer: catalogueAnswer,
    action: () => "read:upstreams",
    subject: () => "none",
    act: lookAtUpstream,
  }),
  defineGuarded({
    method: "POST",
    path: "/v1/upstreams/:name/mcp/approvals",
    listeners: ADMIN_ONLY,
    summary: "Approve definitions of an MCP upstream as they were seen, or withdraw approvals",
    access: ["operator"],
    recording: "with_state",
    params: upstreamPath,
    body: approvalRequest,
    answer: catalogueAnswer,
    action: () => "approve:upstream",
    subject: () => "none",
    act: approveDefinitions,
  }),
];
