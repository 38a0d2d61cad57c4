/** HTTP API: what MCP upstreams offer, and what of it operators approved. */
import { z } from "zod";
import { DEFINITION_KINDS } from "../gateway/mcp/definition.ts";

const kind = z.enum(DEFINITION_KINDS);
const name = z.string().max(2048);
const digest = z.string().regex(/^[A-Za-z0-9_-]{43}$/);

/** What was seen or approved, whole. */
const version = z.object({ sha256: z.string(), document: z.string().describe("canonical JSON") });

/** One thing that an upstream offers. */
export const pinAnswer = z.object({
  kind,
  name: z.string(),
  state: z.enum(["approved", "changed", "gone", "unapproved"]),
  approved: version.nullable(),
  seen: version.nullable(),
  changed_at: z.number().int(),
});
export type PinAnswer = z.infer<typeof pinAnswer>;

/** `GET /v1/upstreams/:name/mcp` (operator), and the answer of the two below. */
export const catalogueAnswer = z.object({ upstream: z.string(), pins: z.array(pinAnswer) });
export type CatalogueAnswer = z.infer<typeof catalogueAnswer>;

/** `POST /v1/upstreams/:name/mcp/approvals` (operator): by digest, so that nobody approves what he did not see. */
export const approvalRequest = z.strictObject({
  approve: z
    .array(z.strictObject({ kind, name, sha256: digest }))
    .max(1024)
    .default([]),
  withdraw: z.array(z.strictObject({ kind, name })).max(1024).default([]),
});
export type McpApprovalRequest = z.output<typeof approvalRequest>;
