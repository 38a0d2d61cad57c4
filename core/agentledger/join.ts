/**
 * The founding essay's event: what the records of one action say together.
 *
 * An event is folded from its records in the order of the log, so that a half-recorded action is visible as what it
 * is: `pending`. A view for reading and export; proofs are about records.
 */
import { encodeBase64 } from "../bytes.ts";
import type { ControlRecord, DecisionRecord, Intent, OutcomeRecord } from "../event.ts";
import type { Json } from "../json.ts";
import type { PresentedIntent } from "../presented-intent.ts";
import { intentDigestOf, type UnverifiedRecord } from "./record.ts";

/** Who did what, to what, when, allowed by whom, and how it ended. Members are named as they are exported. */
export interface JoinedEvent {
  readonly event_id: string;
  /** `action`, or the kind of the control event. */
  readonly kind: string;
  readonly agent_id: string | null;
  /** SPIFFE ID of the instance. */
  readonly agent_identity: string | null;
  readonly parent_agent_id: string | null;
  readonly owner_id: string | null;
  /** `owner:<id>`, then agent ids from the root down. */
  readonly chain: readonly string[];
  readonly action: string | null;
  readonly resource: string | null;
  /** RFC 3339. */
  readonly timestamp: string;
  readonly outcome: "success" | "failure" | "aborted" | "denied" | "pending";
  readonly reasons: readonly string[];
  readonly class: "A" | "B" | "C" | null;
  readonly enforcement: string | null;
  /** `policy:<name>@<digest>`, with the approval that it took; for a control event its principal; `nobody` while undecided. */
  readonly authorized_by: string;
  /** base64 signature of the agent's intent; of the control record when there is none. */
  readonly signature: string;
  /** Log indexes of its records, in order. */
  readonly indexes: readonly number[];
}

const OWNER_PREFIX = "owner:";
const AGENT_PREFIX = "agt_";

/** What all records of one event have in common; different for any two events of one log. */
export function formatEventGroup(record: UnverifiedRecord): string {
  return intentDigestOf(record) ?? `control:${record.entrySha256}`;
}

/** The event after one more of its records. @param event - null for its first. */
export function joinRecord(event: JoinedEvent | null, record: UnverifiedRecord, index: number): JoinedEvent {
  const { unverified, envelope } = record;
  const signature = encodeBase64(envelope.signature);
  const indexes = [...(event?.indexes ?? []), index];
  switch (unverified.kind) {
    case "intent":
    case "presented-intent":
      return { ...withIntent(event ?? beginEvent(unverified.value), unverified.value), signature, indexes };
    case "decision":
      return { ...withDecision(event ?? beginEvent(unverified.value), unverified.value), indexes };
    case "outcome":
      return { ...withOutcome(event ?? beginEvent(unverified.value), unverified.value), indexes };
    case "control":
      return {
        ...withControl(event ?? { ...beginEvent(unverified.value), signature }, unverified.value),
        indexes,
      };
  }
}

/**
 * Names under which a record is found: of its agents and instances, of its owner, of its job, of what it is about, and
 * the digest of the SVID that it carries.
 */
export function linksOf({ unverified }: UnverifiedRecord): readonly string[] {
  switch (unverified.kind) {
    case "intent":
    case "presented-intent":
      return unique([
        unverified.value.agent.id,
        ...instanceNames(unverified.value.agent.spiffe_id),
        ...jobNames(unverified.value),
      ]);
    case "decision":
      return unique(unverified.value.chain.map(stripOwner));
    case "outcome":
      return [];
    case "control": {
      const { subject, chain, details, principal } = unverified.value;
      const named = [details.agent_id, details.instance_id, details.spiffe_id, details.owner].filter(isText);
      const carried =
        isText(details.svid_sha256) && details.svid_chain !== undefined ? [details.svid_sha256] : [];
      const subjects = subject === null ? [] : [subject, ...instanceNames(subject)];
      return unique([
        ...subjects,
        ...chain.map(stripOwner),
        ...named,
        ...carried,
        stripOwner(principal),
        ...instanceNames(principal),
      ]);
    }
  }
}

/** The name under which the actions of a job are found. */
export function formatJobName(job: string): string {
  return `job:${job}`;
}

function jobNames(intent: Intent | PresentedIntent): readonly string[] {
  return "job" in intent && intent.job !== null ? [formatJobName(intent.job)] : [];
}

/** Stands for every owner and agent in `subtreesOf`. */
export const EVERYONE = "*";

/**
 * Owner and agents in whose subtree a record lies: each of them may see it. The certificates of the server and of
 * services are everybody's, since nobody could check a signature of theirs without.
 */
export function subtreesOf({ unverified }: UnverifiedRecord): readonly string[] {
  switch (unverified.kind) {
    case "intent":
    case "presented-intent":
      return [unverified.value.agent.id];
    case "decision":
      return unique(unverified.value.chain.map(stripOwner));
    case "control":
      return isServiceSvid(unverified.value) ? [EVERYONE] : unique(concerned(unverified.value));
    case "outcome":
      return [];
  }
}

/** Those in the chain, and who takes an agent over. */
function concerned({ kind, chain, details }: ControlRecord): readonly string[] {
  const named = chain.map(stripOwner);
  return kind === "transfer" && isText(details.owner) ? [...named, details.owner] : named;
}

function isServiceSvid({ kind, allow, chain, subject, details }: ControlRecord): boolean {
  const isIssued = allow && chain.length === 0 && details.svid_chain !== undefined;
  const isOfService = subject?.split("/").at(3) === "trustwarden";
  return isIssued && isOfService && (kind === "start" || kind === "issue" || kind === "renew");
}

function beginEvent({ event_id, time }: { readonly event_id: string; readonly time: string }): JoinedEvent {
  return {
    event_id,
    kind: "action",
    agent_id: null,
    agent_identity: null,
    parent_agent_id: null,
    owner_id: null,
    chain: [],
    action: null,
    resource: null,
    timestamp: time,
    outcome: "pending",
    reasons: [],
    class: null,
    enforcement: null,
    authorized_by: "nobody",
    signature: "",
    indexes: [],
  };
}

function withIntent(
  event: JoinedEvent,
  { agent, action, resource, time }: Intent | PresentedIntent,
): JoinedEvent {
  return { ...event, agent_id: agent.id, agent_identity: agent.spiffe_id, action, resource, timestamp: time };
}

function withDecision(event: JoinedEvent, decision: DecisionRecord): JoinedEvent {
  const { allow, reasons, chain, policy, enforcement } = decision;
  return {
    ...event,
    ...namesOfChain(chain),
    outcome: allow ? event.outcome : "denied",
    reasons,
    class: decision.class,
    enforcement,
    authorized_by: `policy:${policy.name}@${policy.bundle_sha256}${formatApprover(decision)}`,
  };
}

/** The human whose word lifted what the policy asked about. */
function formatApprover({ approval }: DecisionRecord): string {
  return approval === null ? "" : ` approved by owner:${approval.owner} (${approval.id})`;
}

function withOutcome(event: JoinedEvent, { status }: OutcomeRecord): JoinedEvent {
  // A denied action has no outcome; one that claims to have happened anyway must not hide the denial.
  return { ...event, outcome: event.outcome === "denied" ? "denied" : status };
}

function withControl(event: JoinedEvent, control: ControlRecord): JoinedEvent {
  const { kind, allow, reasons, chain, subject, principal, details } = control;
  const identity = isText(details.spiffe_id) ? details.spiffe_id : subject;
  return {
    ...event,
    ...namesOfChain(chain),
    kind,
    agent_id: event.agent_id ?? (isText(details.agent_id) ? details.agent_id : lastAgentOf(chain)),
    agent_identity: event.agent_identity ?? (identity?.startsWith("spiffe://") ? identity : null),
    resource: event.resource ?? subject,
    outcome: allow ? "success" : "denied",
    reasons,
    authorized_by: principal,
  };
}

function namesOfChain(chain: readonly string[]): Pick<JoinedEvent, "chain" | "owner_id" | "parent_agent_id"> {
  const [first] = chain;
  const parent = chain.at(-2);
  return {
    chain,
    owner_id: first?.startsWith(OWNER_PREFIX) ? stripOwner(first) : null,
    parent_agent_id: parent?.startsWith(AGENT_PREFIX) ? parent : null,
  };
}

function lastAgentOf(chain: readonly string[]): string | null {
  const last = chain.at(-1);
  return last?.startsWith(AGENT_PREFIX) ? last : null;
}

/** A SPIFFE ID and its last segment when that is an instance's. */
function instanceNames(spiffeId: string): readonly string[] {
  const last = spiffeId.slice(spiffeId.lastIndexOf("/") + 1);
  return last.startsWith("inst-") ? [spiffeId, last] : [spiffeId];
}

function stripOwner(link: string): string {
  return link.startsWith(OWNER_PREFIX) ? link.slice(OWNER_PREFIX.length) : link;
}

function isText(value: Json | undefined): value is string {
  return typeof value === "string";
}

function unique(texts: readonly string[]): readonly string[] {
  return [...new Set(texts)];
}
