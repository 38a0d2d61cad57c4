/** HTTP API: questions to the ledger and to the registry. */
import { z } from "zod";
import { STRENGTHS } from "../attestation.ts";

/** `GET /v1/events` (owner and agent: their own subtree; operator: all) */
export const eventQuery = z.strictObject({
  agent: z
    .string()
    .max(2048)
    .optional()
    .describe("agt_…, inst-… or a SPIFFE ID: its events and those below it"),
  actor: z.string().max(64).optional().describe("agt_…: its own events only"),
  subtree: z.string().max(64).optional().describe("own_… or agt_…: it and everything below it"),
  owner: z.string().max(64).optional(),
  job: z.string().min(1).max(256).optional().describe("as the intents name it"),
  policy: z
    .string()
    .max(256)
    .optional()
    .describe("name, bundle digest, or <name>@<digest>, under which it was decided"),
  decision: z.enum(["allow", "deny"]).optional(),
  action: z.string().max(256).optional(),
  resource: z.string().max(2048).optional(),
  since: z.string().max(32).optional().describe("RFC 3339"),
  until: z.string().max(32).optional().describe("RFC 3339"),
  outcome: z.enum(["success", "failure", "aborted", "denied", "pending"]).optional(),
  kind: z.string().max(32).optional().describe("action, or a control kind such as issue or revoke"),
  cursor: z.string().max(128).optional().describe("next_cursor or previous_cursor of a page"),
  order: z.enum(["newest", "oldest"]).optional().describe("by place in the log; newest first unless given"),
  limit: z.coerce.number().int().min(1).max(500).default(50),
  proofs: z
    .enum(["true", "false"])
    .optional()
    .describe("with each record and its inclusion proof; limit at most 100"),
});
export type EventQuery = z.input<typeof eventQuery>;

/** The founding essay's event: the export view of intent, decision and outcome (or of one control record). */
export const eventView = z.object({
  event_id: z.string(),
  kind: z.string().describe("action, or the control kind"),
  agent_id: z.string().nullable(),
  agent_identity: z.string().nullable(),
  parent_agent_id: z.string().nullable(),
  owner_id: z.string().nullable(),
  chain: z.array(z.string()),
  action: z.string().nullable(),
  resource: z.string().nullable(),
  timestamp: z.string(),
  outcome: z.enum(["success", "failure", "aborted", "denied", "pending"]),
  reasons: z.array(z.string()),
  class: z.enum(["A", "B", "C"]).nullable(),
  enforcement: z.string().nullable(),
  authorized_by: z.string().describe("policy:<name>@<digest>, or the principal of a control event"),
  signature: z.string().describe("base64 signature of the agent's intent, or of the control record"),
  indexes: z.array(z.number().int()).describe("ledger indexes of its records, in order"),
});
export type EventView = z.infer<typeof eventView>;

/** A checkpoint with the lines of many witnesses, as base64url in a request target. */
const MAX_EARLIER_CHARS = 8192;

const provenRecord = z.object({
  index: z.number().int(),
  entry: z.string().describe("the DSSE envelope exactly as logged"),
  inclusion_proof: z.array(z.string()).describe("base64 hashes"),
});

/** A shard whose signed head proofs lead to; a record's place in its tree is its index less `first`. */
const shardHead = z.object({
  origin: z.string(),
  first: z.number().int().describe("index of the shard's entry 0"),
  checkpoint: z.string().describe("signed note"),
  witnessed: z.boolean(),
});
export type ShardHeadView = z.infer<typeof shardHead>;
const shardHeads = z
  .array(shardHead)
  .default([])
  .describe(
    "heads of the shards that hold a record, oldest first; without any, all are in the ledger's first log",
  );

/** `GET /ledger/shards`: the logs that the ledger consists of, oldest first; only the last one grows. */
export const shardList = z.object({
  shards: z.array(
    z.object({
      name: z.string().nullable().describe("null for the log that the ledger began with"),
      origin: z.string(),
      vkey: z.string(),
      first: z.number().int().describe("index of its entry 0 in the ledger"),
      size: z.number().int().describe("entries under its newest checkpoint"),
      frozen: z.boolean(),
      named_by: z
        .string()
        .nullable()
        .default(null)
        .describe(
          "where its key is another than before: C2SP tlog-proof of the last entry of the shard before",
        ),
    }),
  ),
});
export type ShardList = z.infer<typeof shardList>;

export const eventPage = z.object({
  events: z.array(eventView),
  next_cursor: z.string().nullable(),
  previous_cursor: z.string().nullable().default(null).describe("of the page before this one"),
  proof: z
    .object({
      records: z.array(provenRecord).describe("every record of the events, by index"),
      checkpoint: z.string().describe("signed note that the proofs lead to: of the newest shard among them"),
      witnessed: z.boolean(),
      shards: shardHeads,
    })
    .optional()
    .describe("with proofs=true"),
});
export type EventPage = z.infer<typeof eventPage>;

/** `GET /v1/events/:event_id`: the joined view, the raw records and a proof of each. */
export const eventAnswer = z.object({
  event: eventView,
  records: z.array(provenRecord),
  checkpoint: z.string().describe("signed note that the proofs lead to: of the newest shard among them"),
  witnessed: z.boolean(),
  shards: shardHeads,
});
export type EventAnswer = z.infer<typeof eventAnswer>;

/**
 * `GET /v1/evidence` (owner: its own subtree; operator: all): one event, an agent with its subtree, a job, or, for
 * operators, everything between two times.
 */
export const evidenceQuery = z.strictObject({
  event: z.string().min(1).max(64).optional(),
  agent: z.string().min(1).max(64).optional().describe("agt_…"),
  job: z.string().min(1).max(256).optional(),
  since: z.string().max(32).optional().describe("RFC 3339"),
  until: z.string().max(32).optional().describe("RFC 3339"),
  earlier: z
    .base64url()
    .max(MAX_EARLIER_CHARS)
    .optional()
    .describe("a checkpoint that you hold, base64url: shows that the log was not rewritten since"),
  payloads: z
    .enum(["true", "false"])
    .default("false")
    .describe("with what was kept of requests and answers; for operators"),
});
export type EvidenceQuery = z.output<typeof evidenceQuery>;

/** One row of `GET /v1/agents` (owner: its own; operator: all). */
export const agentView = z.object({
  agent_id: z.string(),
  path: z.string(),
  name: z.string(),
  owner_id: z.string(),
  parent_agent_id: z.string().nullable(),
  status: z.enum(["live", "revoked", "expired"]),
  instances: z.array(
    z.object({
      instance_id: z.string(),
      spiffe_id: z.string(),
      parent_instance_id: z.string().nullable(),
      scope: z.array(z.string()),
      effective_scope: z.array(z.string()).describe("atoms of its scope that every ancestor covers"),
      status: z.enum(["live", "revoked", "expired"]),
      custody: z.enum(["agent", "delivered", "sidecar"]).describe("who holds its key"),
      attested: z
        .object({ type: z.string(), strength: z.enum(STRENGTHS), selectors: z.array(z.string()) })
        .describe("what was verified when its identity was issued"),
      composition_sha256: z.string().nullable(),
      entry_id: z.string().nullable().describe("registration entry that it was born of"),
      node_instance_id: z.string().nullable().describe("node that asked for it"),
      created_at: z.number().int(),
      expires_at: z.number().int(),
    }),
  ),
});
export type AgentView = z.infer<typeof agentView>;
export const agentList = z.object({ agents: z.array(agentView), next_cursor: z.string().nullable() });
export type AgentList = z.infer<typeof agentList>;
export const agentQuery = z.strictObject({
  owner: z.string().max(64).optional(),
  name: z.string().max(128).optional(),
  cursor: z.string().max(128).optional(),
  limit: z.coerce.number().int().min(1).max(500).default(100),
});

/** `GET /v1/owners` (operator): by name. */
export const ownerQuery = z.strictObject({
  cursor: z.string().max(128).optional().describe("next_cursor of a page: the name that it ended with"),
  limit: z.coerce.number().int().min(1).max(500).default(500),
});

export const ownerList = z.object({
  next_cursor: z.string().nullable().default(null),
  owners: z.array(
    z.object({
      owner_id: z.string(),
      name: z.string(),
      status: z.enum(["live", "revoked"]),
      agents: z.number().int(),
    }),
  ),
});
export type OwnerList = z.infer<typeof ownerList>;

/** `GET /.well-known/trustwarden` (public) */
export const discovery = z.object({
  trust_domain: z.string(),
  server_id: z.string().describe("SPIFFE ID of the server, the `aud` of control-plane intents"),
  authorities_sha256: z.string().describe("digest that tickets pin"),
  log_origin: z.string(),
  log_vkey: z.string(),
  stop_url: z.string().describe("https URL of the listener for revocation, leases and health"),
  gateway_url: z
    .string()
    .nullable()
    .default(null)
    .describe("https origin of the gateway to upstreams; null when there is none"),
  epoch: z.number().int(),
  authority: z.object({
    sequence: z.number().int().describe("of the bundle; fetch it again when it rose"),
    intermediate_sha256: z.string().describe("base64url, of the certificate that issues now"),
    renew: z
      .array(z.string())
      .max(64)
      .describe("key identifiers (hex) of intermediates whose SVIDs must be renewed now"),
  }),
  wit_svid: z.boolean().default(false).describe("whether WIT-SVIDs are issued here"),
  renewals: z
    .number()
    .int()
    .min(1)
    .default(1)
    .describe("how many renewals a node may ask for in one request"),
  nonce: z
    .string()
    .max(128)
    .optional()
    .describe("a fresh one, as `/v1/nonce` gives; spares whoever is about to enrol a round trip"),
});
export type Discovery = z.infer<typeof discovery>;

/** `GET /v1/ledger/tail` (operator): what was recorded from an index on, in the order of the log. */
export const tailQuery = z.strictObject({
  from: z.coerce.number().int().min(0),
  limit: z.coerce.number().int().min(1).max(500).default(200),
});
export type TailQuery = z.output<typeof tailQuery>;
export const tailAnswer = z.object({
  events: z.array(
    z.object({ index: z.number().int().describe("of the record that made it new"), event: eventView }),
  ),
  next: z.number().int().describe("where the next question begins"),
  origin: z.string(),
});
export type TailAnswer = z.infer<typeof tailAnswer>;

/** `GET /v1/ledger/consistency?from=&to=` (public proof material is tiles; this is a convenience for clients) */
export const consistencyQuery = z.strictObject({
  from: z.coerce.number().int().min(0),
  to: z.coerce.number().int().min(0).optional(),
  shard: z.string().max(32).optional().describe("sizes are those of its tree; the current one unless given"),
});
export const consistencyAnswer = z.object({ proof: z.array(z.string()), checkpoint: z.string() });
export type ConsistencyAnswer = z.infer<typeof consistencyAnswer>;
/** `POST /v1/ledger/turns` (operator): ends the current shard and begins the next. */
export const turnRequest = z.strictObject({
  new_key: z
    .boolean()
    .default(false)
    .describe("whether the next shard has another key, which the end of this one names"),
});
export type TurnRequest = z.infer<typeof turnRequest>;
export const turnAnswer = z.object({
  shard: z.string().nullable(),
  origin: z.string(),
  vkey: z.string().describe("key of its checkpoints, which witnesses have to know"),
  first: z.number().int().describe("index of its entry 0"),
});
export type TurnAnswer = z.infer<typeof turnAnswer>;

/** `GET /v1/status` (operator) */
export const statusAnswer = z.object({
  version: z.string(),
  trust_domain: z.string(),
  uptime_seconds: z.number().int(),
  epoch: z.number().int(),
  owners: z.number().int(),
  agents: z.number().int(),
  live_instances: z.number().int(),
  verifiers: z.number().int().describe("live leases"),
  ledger: z.object({
    origin: z.string(),
    vkey: z.string(),
    size: z.number().int(),
    indexed_size: z
      .number()
      .int()
      .nullable()
      .default(null)
      .describe("entries that the search index has; it answers again when it has come up to the ledger"),
    witnessed: z.boolean().describe("whether any checkpoint satisfies the server's witness policy"),
    witnessed_size: z.number().int().nullable().default(null).describe("entries under the newest such one"),
  }),
  policy: z.object({ name: z.string(), bundle_sha256: z.string() }),
  server_url: z.string(),
  stop_url: z.string(),
  authorities_sha256: z.string(),
});
export type StatusAnswer = z.infer<typeof statusAnswer>;

export const errorAnswer = z.object({
  error: z.object({ code: z.string(), message: z.string(), counterexample: z.string().optional() }),
});
