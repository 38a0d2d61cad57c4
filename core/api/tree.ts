/** HTTP API: the tree of owners and agents a page at a time, and what happens now. */
import { z } from "zod";

const status = z.enum(["live", "revoked", "expired"]);

/** `GET /v1/tree` (owner: its own; operator: all) */
export const treeQuery = z.strictObject({
  under: z
    .string()
    .max(64)
    .optional()
    .describe("own_…: agents without a parent; agt_…: its children; else owners"),
  prefix: z
    .string()
    .min(1)
    .max(256)
    .optional()
    .describe("searches instead: owners and agents whose name begins so, or <path>/<name> of agents"),
  cursor: z.string().max(400).optional().describe("next_cursor of the page before"),
  limit: z.coerce.number().int().min(1).max(200).default(100),
});
export type TreeQuery = z.output<typeof treeQuery>;

/** One line of the tree. */
export const treeRow = z.object({
  kind: z.enum(["owner", "agent"]),
  id: z.string(),
  path: z.string().describe("of an agent; empty for an owner"),
  name: z.string(),
  owner_id: z.string(),
  status,
  below: z.number().int().describe("agents directly below it, as far as they are counted"),
  is_more: z.boolean().describe("whether there are more below than were counted"),
});
export type TreeRow = z.infer<typeof treeRow>;

export const treeAnswer = z.object({
  rows: z.array(treeRow),
  next_cursor: z.string().nullable().describe("a page may be short, or empty, before the last one"),
});
export type TreeAnswer = z.infer<typeof treeAnswer>;

const liveDecision = z.object({
  event_id: z.string(),
  agent: z.string().describe("SPIFFE ID of the instance"),
  agent_id: z.string(),
  action: z.string(),
  resource: z.string(),
  allow: z.boolean(),
  reasons: z.array(z.string()),
  at_ms: z.number().int().describe("Unix milliseconds"),
});

/** `GET /v1/live` (owner: its own; operator: all), server-sent events */
export const liveQuery = z.strictObject({
  frames: z.coerce.number().int().min(1).max(120).default(120).describe("two a second; then the stream ends"),
});
export type LiveQuery = z.output<typeof liveQuery>;

const ratioPoint = z.object({
  at: z.number().int().describe("Unix seconds"),
  owners: z.number().int(),
  agents: z.number().int(),
});
export type RatioPoint = z.infer<typeof ratioPoint>;

/** One frame of `GET /v1/live`: what has happened since the frame before, however much it was. */
export const liveFrame = z.object({
  at_ms: z.number().int(),
  span_ms: z.number().int().describe("since the frame before"),
  allowed: z.number().int(),
  denied: z.number().int(),
  recent: z.array(liveDecision).describe("the latest of them, newest first"),
  counts: z
    .object({ owners: z.number().int(), agents: z.number().int(), live_instances: z.number().int() })
    .nullable()
    .describe("null for whoever sees its own agents only"),
  ratio: z
    .array(ratioPoint)
    .optional()
    .describe(
      "with the first frame, where there are counts: the last week in steps of ten minutes, oldest first",
    ),
  epoch: z.number().int(),
  verifiers: z.number().int().describe("live leases"),
  ledger: z.object({
    size: z.number().int(),
    witnessed_size: z.number().int().nullable().describe("null while no witness has cosigned"),
  }),
});
export type LiveFrame = z.infer<typeof liveFrame>;
