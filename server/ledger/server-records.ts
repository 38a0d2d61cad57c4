/**
 * The records that the server itself signs: decisions, and control events that change no state.
 *
 * Events of commands are signed inside the store's transaction. Everything is signed by the server's SVID key, and
 * the `keyid` names that SVID; on renewal the next record names the next one.
 */
import { encodeUtf8 } from "@trustwarden/core/bytes.ts";
import type { Decision } from "@trustwarden/core/decision.ts";
import { issueEnvelope } from "@trustwarden/core/dsse.ts";
import {
  type ApprovalReference,
  type ControlRecord,
  type DecisionRecord,
  formatTime,
  type OutcomeRecord,
} from "@trustwarden/core/event.ts";
import { formatUuidV7, type Random } from "@trustwarden/core/id.ts";
import type { VerifiedIntent } from "@trustwarden/core/intent.ts";
import type { JsonObject } from "@trustwarden/core/json.ts";
import {
  issuePresentedIntent,
  type LoggedIntent,
  type PresentedIntent,
} from "@trustwarden/core/presented-intent.ts";
import { type AgentPrincipal, type Enforcement, formatChain } from "@trustwarden/core/principal.ts";
import type { Signer } from "@trustwarden/core/signer.ts";
import type { ControlDraft, ServerSvid } from "../store/ports.ts";

/** Where and when an event happened, and who caused it. */
export interface EventContext {
  /** Unix milliseconds. */
  readonly nowMs: number;
  /** As `formatPrincipal` gives it. */
  readonly principal: string;
  readonly peer: string;
  /** The agent's intent, logged directly before. */
  readonly intent: VerifiedIntent | null;
  readonly epoch: number;
}

/** Entries of one event, in the order in which they are logged. */
interface SignedEvent {
  readonly eventId: string;
  readonly entries: readonly Uint8Array[];
}

/** What a decision record says besides the decision. */
export interface DecisionFacts {
  readonly agent: AgentPrincipal;
  readonly intent: LoggedIntent;
  readonly decision: Decision;
  readonly enforcement: Enforcement;
  readonly peer: string;
  /** The approval that this decision used up. */
  readonly approval?: ApprovalReference | null;
  /** Unix milliseconds. */
  readonly nowMs: number;
}

/** What came of an action that the server itself enforced. */
export interface OutcomeFacts {
  readonly eventId: string;
  readonly intentSha256: string;
  readonly decisionIndex: number;
  readonly status: OutcomeRecord["status"];
  /** base64url commitment to the answer, or null. */
  readonly result: string | null;
  readonly bytes: number;
  readonly durationMs: number;
  /** Unix milliseconds. */
  readonly nowMs: number;
}

/** Signs with the server's current SVID. */
export interface ServerRecords {
  /** The intent, if there is one, and the control record. */
  issueControl(draft: ControlDraft, context: EventContext): SignedEvent;
  /** The decision record's envelope text; the caller logs the intent before it. */
  issueDecision(facts: DecisionFacts): string;
  /** What an agent presented instead of an intent of its own. */
  issuePresented(intent: PresentedIntent): LoggedIntent;
  /** The envelope text of an outcome at the gateway. */
  issueOutcome(facts: OutcomeFacts): string;
  /** The envelope text of an evidence bundle's manifest; it is not logged. */
  issueManifest(manifest: JsonObject): string;
}

/** Signer of the server's records. */
export function createServerRecords(options: {
  readonly signer: Signer;
  readonly serverSvid: () => ServerSvid;
  readonly random: Random;
}): ServerRecords {
  const { signer, serverSvid, random } = options;
  return {
    issueControl(draft, context) {
      const eventId = context.intent?.intent.event_id ?? formatUuidV7(context.nowMs, random);
      const record = formatControl(draft, context, eventId);
      const control = issueEnvelope(
        "control",
        { ...record, from: { ...record.from } },
        signer,
        serverSvid().svidSha256,
      );
      const texts = context.intent === null ? [control] : [context.intent.envelope, control];
      return { eventId, entries: texts.map(encodeUtf8) };
    },
    issueDecision(facts) {
      const record = formatDecision(facts);
      const { policy, from, approval } = record;
      const parts = { policy: { ...policy }, from: { ...from }, approval: approval && { ...approval } };
      const payload = { ...record, ...parts };
      return issueEnvelope("decision", payload, signer, serverSvid().svidSha256);
    },
    issuePresented(intent) {
      return issuePresentedIntent(intent, signer, serverSvid().svidSha256);
    },
    issueOutcome(facts) {
      return issueEnvelope("outcome", { ...formatOutcome(facts) }, signer, serverSvid().svidSha256);
    },
    issueManifest(manifest) {
      return issueEnvelope("evidence", manifest, signer, serverSvid().svidSha256);
    },
  };
}

function formatControl(draft: ControlDraft, context: EventContext, eventId: string): ControlRecord {
  return {
    v: 1,
    event_id: eventId,
    kind: draft.kind,
    allow: draft.allow,
    reasons: draft.reasons,
    principal: context.principal,
    subject: draft.subject,
    chain: draft.chain,
    intent_sha256: context.intent?.sha256 ?? null,
    epoch: context.epoch,
    from: { peer: context.peer },
    details: draft.details,
    time: formatTime(context.nowMs),
  };
}

function formatDecision({
  agent,
  intent,
  decision,
  enforcement,
  peer,
  approval = null,
  nowMs,
}: DecisionFacts): DecisionRecord {
  // In the order of the canonical form, or all of it would be sorted to be written: it is signed for each action.
  return {
    allow: decision.effect === "allow",
    approval,
    attested: {
      composition_sha256: agent.attested.compositionSha256,
      strength: agent.attested.strength,
      type: agent.attested.type,
    },
    chain: formatChain(agent),
    class: decision.class,
    custody: agent.custody,
    enforcement,
    event_id: intent.intent.event_id,
    from: { peer },
    intent_sha256: intent.sha256,
    lease_epoch: decision.epoch,
    policy: { bundle_sha256: decision.policy.bundleSha256, name: decision.policy.name },
    reasons: decision.reasons,
    time: formatTime(nowMs),
    v: 1,
  };
}

function formatOutcome(facts: OutcomeFacts): OutcomeRecord {
  const { eventId, intentSha256, decisionIndex, status, result, bytes, durationMs, nowMs } = facts;
  return {
    v: 1,
    event_id: eventId,
    intent_sha256: intentSha256,
    decision_index: decisionIndex,
    status,
    result,
    bytes,
    duration_ms: Math.max(0, Math.round(durationMs)),
    time: formatTime(nowMs),
  };
}
