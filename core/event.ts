/**
 * The records of the ledger: what happened, in the words that are signed.
 *
 * Intent, decision and outcome are the three records of one action, joined by `event_id` and `intent_sha256`; a
 * control record is one event of the control plane (issue, renew, revoke, owner, refusal, ...). These are wire shapes,
 * so members are named as they are signed. Parsing is closed: an unknown member is refused, so that nothing rides
 * along unseen under a signature. Verification of the signatures is in `dsse.ts` and `intent.ts`.
 */
import { STRENGTHS, type Strength } from "./attestation.ts";
import { Fields } from "./fields.ts";
import { parseEventId } from "./id.ts";
import type { JsonObject } from "./json.ts";

/** An intent lives at most this long. */
export const MAX_INTENT_SECONDS = 60;

/** Signed by the instance's SVID key at the moment of action. */
export interface Intent {
  readonly v: 1;
  readonly event_id: string;
  readonly agent: { readonly id: string; readonly spiffe_id: string; readonly svid_sha256: string };
  readonly action: string;
  readonly resource: string;
  /** base64url HMAC-SHA-256(salt, JCS{body_sha256, method, target}); null for an act in the agent's own process. */
  readonly request: string | null;
  /** base64url HMAC-SHA-256(salt, JCS(params)); null without parameters. */
  readonly params: string | null;
  /** SPIFFE ID of the enforcement point (or of the server, for `self` and for the control plane). */
  readonly aud: string;
  readonly job: string | null;
  /** RFC 3339 UTC with milliseconds. */
  readonly time: string;
  /** Unix seconds. */
  readonly exp: number;
  /** Counts the instance's intents from 1. */
  readonly seq: number;
  /** base64url SHA-256 of the instance's previous intent payload; null for the first. */
  readonly prev: string | null;
  /** Latest checkpoint the agent has seen; bounds backdating from below. */
  readonly seen: { readonly origin: string; readonly size: number; readonly root: string } | null;
}

/** The approval that a decision used up. */
export interface ApprovalReference {
  /** The `event_id` of the action that asked. */
  readonly id: string;
  /** `own_<ulid>` */
  readonly owner: string;
  /** base64url SHA-256 of the approval's envelope, which the ledger holds. */
  readonly envelope_sha256: string;
}

/** Signed by the guard's SVID; logged directly after its intent. */
export interface DecisionRecord {
  readonly v: 1;
  readonly event_id: string;
  /** base64url SHA-256 of the intent's envelope bytes. */
  readonly intent_sha256: string;
  readonly allow: boolean;
  readonly reasons: readonly string[];
  readonly class: "A" | "B" | "C";
  /** `owner:<id>`, then agent ids from the root down. */
  readonly chain: readonly string[];
  readonly policy: { readonly name: string; readonly bundle_sha256: string };
  /** Whose approval lifted what the policy asked for; null when nothing was asked. */
  readonly approval: ApprovalReference | null;
  readonly from: { readonly peer: string };
  readonly custody: "agent" | "delivered" | "sidecar";
  /** What was verified of the agent when its identity was issued; the selectors are in its issue event. */
  readonly attested: {
    readonly type: string;
    readonly strength: Strength;
    readonly composition_sha256: string | null;
  };
  readonly enforcement: "gateway" | "service" | "self";
  readonly lease_epoch: number;
  readonly time: string;
}

/** Signed by the enforcement point named in the intent's `aud` (the agent itself for `self`). */
export interface OutcomeRecord {
  readonly v: 1;
  readonly event_id: string;
  readonly intent_sha256: string;
  readonly decision_index: number;
  readonly status: "success" | "failure" | "aborted";
  /** base64url commitment to the result, or null. */
  readonly result: string | null;
  readonly bytes: number;
  readonly duration_ms: number;
  readonly time: string;
}

/** One event of the control plane, signed by `/trustwarden/server/<id>`. */
export interface ControlRecord {
  readonly v: 1;
  readonly event_id: string;
  readonly kind: ControlKind;
  readonly allow: boolean;
  readonly reasons: readonly string[];
  /** As `formatPrincipal` gives it. */
  readonly principal: string;
  /** SPIFFE ID, agent id, owner id or other name of what was acted on; null when there is none. */
  readonly subject: string | null;
  readonly chain: readonly string[];
  /** base64url SHA-256 of the agent's intent envelope logged just before, when the caller is an agent. */
  readonly intent_sha256: string | null;
  readonly epoch: number;
  readonly from: { readonly peer: string };
  /** Facts of this kind; for `issue`: agent_id, instance_id, spiffe_id, owner, parent, scope, expires_at, custody,
   * svid_sha256, svid_chain (base64 DER, leaf first), enrolment and possession (envelope texts). */
  readonly details: JsonObject;
  readonly time: string;
}

export const CONTROL_KINDS = [
  "start",
  "owner",
  "ticket",
  "issue",
  "renew",
  "jwt",
  "token",
  "wit",
  "refuse",
  "revoke",
  "narrow",
  "entry",
  "node",
  "authority",
  "federation",
  "budget",
  "upstream",
  "secret",
  "alarm",
  "policy",
  "approval",
  "evaluation",
  "read",
  "admin",
  "person",
  "session",
  "confirmation",
  "transfer",
] as const;
export type ControlKind = (typeof CONTROL_KINDS)[number];

/** An RFC 3339 UTC time with milliseconds. @param nowMs - Unix milliseconds. */
export function formatTime(nowMs: number): string {
  return new Date(nowMs).toISOString();
}

/** @throws TrustWardenError `record_malformed`. */
export function parseIntent(json: JsonObject): Intent {
  const fields = new Fields(json, "record_malformed");
  const agent = fields.object("agent");
  const seen = json.seen === null ? fields.null("seen") : parseSeen(fields.object("seen"));
  const intent: Intent = {
    v: fields.version(),
    event_id: parseEventId(fields.text("event_id")),
    agent: {
      id: agent.text("id"),
      spiffe_id: agent.text("spiffe_id"),
      svid_sha256: agent.digest("svid_sha256"),
    },
    action: fields.text("action"),
    resource: fields.text("resource"),
    request: fields.digestOrNull("request"),
    params: fields.digestOrNull("params"),
    aud: fields.text("aud"),
    job: fields.textOrNull("job"),
    time: fields.time("time"),
    exp: fields.integer("exp"),
    seq: fields.integer("seq"),
    prev: fields.digestOrNull("prev"),
    seen,
  };
  agent.end();
  fields.end();
  return intent;
}

/** @throws TrustWardenError `record_malformed`. */
export function parseDecisionRecord(json: JsonObject): DecisionRecord {
  const fields = new Fields(json, "record_malformed");
  const policy = fields.object("policy");
  const from = fields.object("from");
  const attested = fields.object("attested");
  const record: DecisionRecord = {
    v: fields.version(),
    event_id: parseEventId(fields.text("event_id")),
    intent_sha256: fields.digest("intent_sha256"),
    allow: fields.boolean("allow"),
    reasons: fields.texts("reasons"),
    class: fields.oneOf("class", ["A", "B", "C"]),
    chain: fields.texts("chain"),
    policy: { name: policy.text("name"), bundle_sha256: policy.digest("bundle_sha256") },
    approval: json.approval === null ? fields.null("approval") : parseApproval(fields.object("approval")),
    from: { peer: from.text("peer") },
    custody: fields.oneOf("custody", ["agent", "delivered", "sidecar"]),
    attested: {
      type: attested.text("type"),
      strength: attested.oneOf("strength", STRENGTHS),
      composition_sha256: attested.digestOrNull("composition_sha256"),
    },
    enforcement: fields.oneOf("enforcement", ["gateway", "service", "self"]),
    lease_epoch: fields.integer("lease_epoch"),
    time: fields.time("time"),
  };
  policy.end();
  from.end();
  attested.end();
  fields.end();
  return record;
}

/** @throws TrustWardenError `record_malformed`. */
export function parseOutcomeRecord(json: JsonObject): OutcomeRecord {
  const fields = new Fields(json, "record_malformed");
  const record: OutcomeRecord = {
    v: fields.version(),
    event_id: parseEventId(fields.text("event_id")),
    intent_sha256: fields.digest("intent_sha256"),
    decision_index: fields.integer("decision_index"),
    status: fields.oneOf("status", ["success", "failure", "aborted"]),
    result: fields.digestOrNull("result"),
    bytes: fields.integer("bytes"),
    duration_ms: fields.integer("duration_ms"),
    time: fields.time("time"),
  };
  fields.end();
  return record;
}

/** @throws TrustWardenError `record_malformed`. */
export function parseControlRecord(json: JsonObject): ControlRecord {
  const fields = new Fields(json, "record_malformed");
  const from = fields.object("from");
  const record: ControlRecord = {
    v: fields.version(),
    event_id: parseEventId(fields.text("event_id")),
    kind: fields.oneOf("kind", CONTROL_KINDS),
    allow: fields.boolean("allow"),
    reasons: fields.texts("reasons"),
    principal: fields.text("principal"),
    subject: fields.textOrNull("subject"),
    chain: fields.texts("chain"),
    intent_sha256: fields.digestOrNull("intent_sha256"),
    epoch: fields.integer("epoch"),
    from: { peer: from.text("peer") },
    details: fields.json("details"),
    time: fields.time("time"),
  };
  from.end();
  fields.end();
  return record;
}

function parseApproval(approval: Fields): ApprovalReference {
  const value = {
    id: parseEventId(approval.text("id")),
    owner: approval.text("owner"),
    envelope_sha256: approval.digest("envelope_sha256"),
  };
  approval.end();
  return value;
}

function parseSeen(seen: Fields): NonNullable<Intent["seen"]> {
  const value = { origin: seen.text("origin"), size: seen.integer("size"), root: seen.text("root") };
  seen.end();
  return value;
}
