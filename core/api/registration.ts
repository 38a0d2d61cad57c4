/**
 * HTTP API: registration entries, nodes, and the instances that nodes and attestors ask for.
 *
 * Wire members are snake_case, like the records. Binary values are unpadded base64url unless said otherwise.
 */
import { z } from "zod";
import { evidence } from "./attestation.ts";
import { composition, identityAnswer, keyProof, namedIdentity } from "./identity.ts";
import { errorAnswer } from "./ledger.ts";

const envelope = z.string().min(1).max(65_535);
const base64url = z
  .string()
  .regex(/^[A-Za-z0-9_-]+$/)
  .max(8192);
const digest = z.string().regex(/^[A-Za-z0-9_-]{43}$/);
/** A host as operators call it; the last but one segment of the node's SPIFFE ID. */
const nodeName = z.string().regex(/^[a-z0-9][a-z0-9_-]{0,62}$/);
const entryId = z.string().regex(/^ent_[0-7][0-9A-HJKMNP-TV-Z]{25}$/);
const instanceId = z.string().regex(/^inst-[0-7][0-9A-HJKMNP-TV-Z]{25}$/);
/** Parsed and bounded again by `core/agentid/selector.ts`. */
const selectors = z.array(z.string().min(1).max(1024)).max(64).describe("type:value, as SPIRE writes them");

/** `POST /v1/entries`: an owner's signed entry, or an operator's admission of nodes. */
export const entryRequest = z.union([
  z.strictObject({ entry: envelope.describe("DSSE entry, signed by the owner's key") }),
  z.strictObject({ node_entry: z.strictObject({ name: nodeName, selectors: selectors.min(1) }) }),
]);
export type EntryRequest = z.infer<typeof entryRequest>;
export const entryAnswer = z.object({ entry_id: entryId, epoch: z.number().int(), event_id: z.string() });
export type EntryAnswer = z.infer<typeof entryAnswer>;

/** `GET /v1/entries` (owner: its own; operator: all) */
export const entryQuery = z.strictObject({
  cursor: z.string().max(64).optional(),
  limit: z.coerce.number().int().min(1).max(500).default(100),
});
export const entryView = z.object({
  entry_id: z.string(),
  kind: z.enum(["agent", "node"]),
  owner_id: z.string().nullable(),
  path: z.string(),
  name: z.string().describe("of the agent, or of the node that may be admitted"),
  scope: z.array(z.string()),
  ttl_seconds: z.number().int().nullable(),
  selectors: z.array(z.string()),
  nodes: z.array(z.string()).describe("hosts that may ask for it; * is any"),
  hint: z.string(),
  status: z.enum(["live", "expired", "removed"]),
  created_at: z.number().int(),
  expires_at: z.number().int().nullable().describe("Unix seconds; null: until it is removed"),
});
export type EntryView = z.infer<typeof entryView>;
export const entryList = z.object({ entries: z.array(entryView), next_cursor: z.string().nullable() });
export type EntryList = z.infer<typeof entryList>;

/** `POST /v1/join-tokens` (operator) */
export const joinTokenRequest = z.strictObject({
  name: nodeName,
  ttl_seconds: z.number().int().min(1).max(600).default(600),
});
export const joinTokenAnswer = z.object({
  token: z.string().describe("a twj1. value; single use"),
  expires_at: z.number().int().describe("Unix seconds"),
});
export type JoinTokenAnswer = z.infer<typeof joinTokenAnswer>;

/** The secret inside a `twj1.` value. */
export const joinTokenEvidence = z
  .strictObject({ type: z.literal("join_token"), token: digest })
  .describe("the token inside a twj1. value");
/** What a node shows to be admitted. */
export const nodeEvidence = z.discriminatedUnion("type", [joinTokenEvidence, ...evidence.options]);
export type NodeEvidence = z.infer<typeof nodeEvidence>;

/** `POST /v1/nodes` (enrollee); the possession's `enrolment_sha256` is the digest of JCS(evidence). */
export const nodeRequest = z.strictObject({
  evidence: nodeEvidence,
  name: nodeName.optional().describe("must be the admitted name when given"),
  spki: base64url,
  possession: envelope,
});
export type NodeRequest = z.infer<typeof nodeRequest>;

/**
 * `POST /v1/attested-instances` (enrollee): a workload with evidence of its own, such as a job or a pod. The possession's
 * `enrolment_sha256` is the digest of JCS(evidence).
 */
export const attestedInstanceRequest = z.strictObject({
  entry_id: entryId.nullable().describe("null: the one entry that matches"),
  evidence,
  composition: composition.nullable().default(null),
  spki: base64url,
  possession: envelope,
});
export type AttestedInstanceRequest = z.output<typeof attestedInstanceRequest>;

/** `GET /v1/node/entries` (node): the entries that it may ask for, a page at a time. */
export const nodeEntriesQuery = z.strictObject({ cursor: z.string().max(64).optional() });
export const nodeEntriesAnswer = z.object({
  epoch: z.number().int().describe("of the list; fetch again when the feed tells of a later `entry`"),
  entries: z.array(
    z.object({
      entry_id: entryId,
      envelope: z.string(),
      selectors: z.array(z.string()),
      path: z.string(),
      name: z.string(),
      hint: z.string(),
      ttl_seconds: z.number().int(),
    }),
  ),
  next_cursor: z.string().nullable().describe("not null: more follow"),
});
export type NodeEntriesAnswer = z.infer<typeof nodeEntriesAnswer>;

/** How well a host's word binds: other processes of the same account, of the host, or nobody but the child. */
export const STRENGTHS = ["same_uid", "unix", "launcher"] as const;
/** What a node saw of a process; shown in the ledger, never matched. */
export const workloadFacts = z.strictObject({
  pid: z.number().int().min(1).max(4_294_967_295),
  uid: z.number().int().min(0).max(4_294_967_295),
  exe: z.string().max(1024).describe("path as the kernel says it; empty when it does not"),
  strength: z.enum(STRENGTHS),
});
export type WorkloadFacts = z.infer<typeof workloadFacts>;

/**
 * `POST /v1/node/instances` (node): an instance for an attested workload. The proofs' `enrolment_sha256` is
 * `digestOfEnrolment` of the entry's envelope; the class key's proof carries the same nonce as the instance key's.
 */
export const nodeInstanceRequest = z.strictObject({
  entry_id: entryId,
  selectors,
  facts: workloadFacts,
  composition: composition.nullable().default(null),
  spki: base64url,
  possession: envelope,
  class: keyProof.nullable().describe("the key of a class SVID, or null for none"),
  custody: z.enum(["delivered", "sidecar"]),
});
export type NodeInstanceRequest = z.output<typeof nodeInstanceRequest>;
export const nodeIdentityAnswer = identityAnswer.extend({
  hint: z.string(),
  entry_id: entryId,
});
export type NodeIdentityAnswer = z.infer<typeof nodeIdentityAnswer>;

/**
 * `POST /v1/node/renewals` (node): further SVIDs. The proofs' `enrolment_sha256` is the digest of the instance SVID
 * that is followed; both carry one nonce.
 */
export const nodeRenewalRequest = z.strictObject({
  instance_id: instanceId,
  spki: base64url,
  possession: envelope,
  class: keyProof.nullable(),
  composition: composition.nullable().default(null).describe("another than at birth is refused"),
});
export type NodeRenewalRequest = z.output<typeof nodeRenewalRequest>;
/** One request is one connection's and waits for the slowest of them; more would hardly cost less each. */
export const MAX_RENEWALS = 16;
/** Several renewals in one request: the node is proven once, and each of them is decided about and recorded by itself. */
export const nodeRenewalsRequest = z.strictObject({
  renewals: z
    .array(nodeRenewalRequest)
    .min(1)
    .max(MAX_RENEWALS)
    .describe("all proofs carry one nonce; what is refused of one says nothing of the others"),
});
/** In order: the identity without a promise of its event's place, which `/v1/events/<event_id>` proves, or the refusal. */
export const nodeRenewalsAnswer = z.object({
  renewals: z.array(z.union([nodeIdentityAnswer.omit({ acknowledgement: true }), errorAnswer])),
});
export type NodeRenewalsAnswer = z.infer<typeof nodeRenewalsAnswer>;

/** `POST /v1/node/jwt-svids` (node) */
export const nodeJwtRequest = z.strictObject({
  instance_id: instanceId,
  audiences: z.array(z.string().min(1).max(2048)).min(1).max(8),
  identity: namedIdentity,
});
export type NodeJwtRequest = z.infer<typeof nodeJwtRequest>;
export const nodeJwtAnswer = z.object({
  svid: z.string(),
  expires_at: z.number().int(),
  spiffe_id: z.string(),
});
export type NodeJwtAnswer = z.infer<typeof nodeJwtAnswer>;

/** `POST /v1/node/wit-svids` (node): the possession's `enrolment_sha256` is the digest of a live SVID of the instance. */
export const nodeWitRequest = z.strictObject({
  instance_id: instanceId,
  identity: namedIdentity,
  spki: base64url,
  possession: envelope,
});
export type NodeWitRequest = z.infer<typeof nodeWitRequest>;

/** `POST /v1/node/endings` (node): the workload is gone, and its instance with it. Answered like a revocation. */
export const nodeEndingRequest = z.strictObject({
  instance_id: instanceId,
  reason: z.string().max(256).default(""),
});
export type NodeEndingRequest = z.output<typeof nodeEndingRequest>;
