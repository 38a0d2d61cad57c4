/**
 * Checks every record of a log: who signed it, whether that one may, and whether the records of one action agree.
 *
 * Signatures are judged as of the record's own time, so that a record stays good after its signer's SVID expired or
 * was revoked. What only the whole log shows (gaps, missing outcomes) is reported by `finish`.
 */
import { TrustWardenError } from "../error.ts";
import type { ControlRecord, DecisionRecord, Intent, OutcomeRecord } from "../event.ts";
import type { PresentedIntent } from "../presented-intent.ts";
import { ApprovalAuditor } from "./audit-approvals.ts";
import { ConfirmationAuditor } from "./audit-confirmations.ts";
import { EnrolmentAuditor } from "./audit-enrolments.ts";
import { PresentedAuditor } from "./audit-presented.ts";
import { namesOf, Revocations } from "./audit-revocations.ts";
import { auditSequences, type SequencedIntent } from "./audit-sequences.ts";
import type { FindingCode, Report } from "./finding.ts";
import {
  credentialOf,
  formatRecordKey,
  intentDigestOf,
  isResend,
  parseRecord,
  type RecordBody,
  type UnverifiedRecord,
  verifyRecord,
} from "./record.ts";
import type { SvidDirectory } from "./svid-directory.ts";

/** An intent and what came of it so far. */
interface Action {
  readonly index: number;
  readonly intent: Intent | PresentedIntent;
  /** What it was made with. */
  readonly credential: string;
  decision: DecisionRecord | null;
  control: ControlRecord | null;
  outcome: OutcomeRecord | null;
}

const SERVER_ID = /^spiffe:\/\/[^/]+\/trustwarden\/server\/[^/]+$/;

/** Owns what later records are checked against; lives for one audit. */
export class RecordAuditor {
  readonly #svids: SvidDirectory;
  readonly #report: Report;
  readonly #isWhole: boolean;
  readonly #windowMs: number;
  readonly #enrolments: EnrolmentAuditor;
  readonly #presented = new PresentedAuditor();
  readonly #confirmations = new ConfirmationAuditor();
  readonly #approvals = new ApprovalAuditor((owner, signed) => this.#enrolments.ownerKey(owner, signed));
  readonly #actions = new Map<string, Action>();
  readonly #payloads = new Map<string, { readonly payloadSha256: string }>();
  readonly #revocations = new Revocations();
  readonly #instances = new Map<string, SequencedIntent[]>();
  #previous: { readonly index: number; readonly sha256: string } | null = null;
  #signatures = 0;
  /** Latest time of a record that a server signed: the log's own clock. Unix milliseconds. */
  #latestMs = 0;
  #notDue = 0;

  /**
   * @param options.isWhole - false for a part of a log, where intents may be missing without a gap.
   * @param options.windowSeconds - how old, by the log's own latest time, what should be followed by something must be
   *   before its absence is an alarm; 0 for a log that has ended.
   */
  constructor(options: {
    readonly svids: SvidDirectory;
    readonly report: Report;
    readonly isWhole?: boolean;
    readonly windowSeconds?: number;
  }) {
    this.#svids = options.svids;
    this.#report = options.report;
    this.#isWhole = options.isWhole ?? true;
    this.#windowMs = (options.windowSeconds ?? 0) * 1000;
    this.#enrolments = new EnrolmentAuditor(options.svids, this.#revocations);
  }

  /** Outcomes and intents that are missing and not due yet; known after `finish`. */
  get notDue(): number {
    return this.#notDue;
  }

  /** Signatures that verified. */
  get signatures(): number {
    return this.#signatures;
  }

  /** Checks one entry; call in the order of the log. Gives the record when it could be read. */
  add(index: number, entry: Uint8Array): UnverifiedRecord | null {
    const before = this.#previous?.index === index - 1 ? this.#previous.sha256 : null;
    this.#previous = null;
    const record = this.#parse(index, entry);
    if (record === null) return null;
    this.#previous = { index, sha256: record.entrySha256 };
    if (record.unverified.kind === "control") this.#collect(index, record.unverified.value);
    const signerId = this.#verify(index, record);
    if (signerId === null || this.#isRepeated(index, record)) return record;
    this.#join({ index, record, signerId, before });
    return record;
  }

  /** Reports what is missing now that the log has ended. */
  finish(): void {
    for (const { index, decision, control, outcome } of this.#actions.values()) {
      if (decision === null && control === null) {
        this.#finding("intent_without_decision", index, "nobody decided about this intent");
      }
      if (decision?.allow === true && outcome === null && !this.#isDue(decision.time)) this.#notDue += 1;
      else if (decision?.allow === true && outcome === null) {
        this.#finding("decision_without_outcome", index, "allowed, but how it ended was never recorded");
      }
    }
    if (!this.#isWhole) return;
    const isDue = (time: string) => this.#isDue(time);
    for (const [instance, intents] of this.#instances)
      this.#notDue += auditSequences(instance, intents, this.#report, { isDue });
  }

  /** Whether what should follow something of this time should be here by now. */
  #isDue(time: string): boolean {
    return this.#windowMs === 0 || Date.parse(time) <= this.#latestMs - this.#windowMs;
  }

  #parse(index: number, entry: Uint8Array): UnverifiedRecord | null {
    try {
      return parseRecord(entry);
    } catch (error) {
      this.#finding("record_unreadable", index, codeOf(error));
      return null;
    }
  }

  #collect(index: number, control: ControlRecord): void {
    try {
      this.#svids.collect(control);
    } catch (error) {
      this.#finding("record_unreadable", index, `svid_chain: ${codeOf(error)}`);
    }
  }

  /** SPIFFE ID of the proven signer, or null after a report. */
  #verify(index: number, record: UnverifiedRecord): string | null {
    const { unverified, envelope } = record;
    const at = Math.floor(Date.parse(unverified.value.time) / 1000);
    try {
      const svid = this.#svids.verify(envelope.unverifiedKeyid, at);
      verifyRecord(record, svid);
      this.#signatures += 1;
      if (svid.isForeign && unverified.kind !== "intent" && unverified.kind !== "outcome") {
        this.#finding("signer_not_allowed", index, `a ${unverified.kind} of another trust domain`);
        return null;
      }
      if (SERVER_ID.test(svid.spiffeId))
        this.#latestMs = Math.max(this.#latestMs, Date.parse(unverified.value.time));
      return svid.spiffeId;
    } catch (error) {
      this.#finding(findingOf(codeOf(error)), index, codeOf(error));
      return null;
    }
  }

  #isRepeated(index: number, record: UnverifiedRecord): boolean {
    const intentSha256 = intentDigestOf(record);
    const credential = intentSha256 === null ? null : (this.#actions.get(intentSha256)?.credential ?? null);
    const key = formatRecordKey(record, credential);
    try {
      const isKnown = isResend(record, this.#payloads.get(key));
      if (isKnown) this.#finding("record_repeated", index, "this record is in the log already");
      this.#payloads.set(key, { payloadSha256: record.payloadSha256 });
      return isKnown;
    } catch (error) {
      this.#finding("record_conflict", index, codeOf(error));
      return true;
    }
  }

  #join({
    index,
    record,
    signerId,
    before,
  }: {
    readonly index: number;
    readonly record: UnverifiedRecord;
    readonly signerId: string;
    readonly before: string | null;
  }): void {
    const body: RecordBody = record.unverified;
    switch (body.kind) {
      case "intent":
        this.#joinIntent(index, { intent: body.value, record, signerId });
        return;
      case "presented-intent":
        this.#joinPresented(index, { intent: body.value, record, signerId });
        return;
      case "decision":
        this.#joinDecision(index, { decision: body.value, signerId, before });
        return;
      case "outcome":
        this.#joinOutcome(index, { outcome: body.value, signerId });
        return;
      case "control":
        this.#joinControl(index, { control: body.value, signerId, before });
        return;
    }
  }

  #joinIntent(
    index: number,
    {
      intent,
      record,
      signerId,
    }: { readonly intent: Intent; readonly record: UnverifiedRecord; readonly signerId: string },
  ): void {
    if (signerId !== intent.agent.spiffe_id)
      this.#finding("signer_not_allowed", index, "the intent names another agent than signed it");
    this.#begin(index, intent, record);
    // Many processes may hold one foreign identity, each with a count of its own.
    if (this.#enrolments.isForeign(signerId)) return;
    const intents = this.#instances.get(signerId) ?? [];
    this.#instances.set(signerId, intents);
    const { seq, prev, time } = intent;
    intents.push({ index, seq, prev, time, payloadSha256: record.payloadSha256 });
  }

  #joinPresented(
    index: number,
    {
      intent,
      record,
      signerId,
    }: {
      readonly intent: PresentedIntent;
      readonly record: UnverifiedRecord;
      readonly signerId: string;
    },
  ): void {
    if (!SERVER_ID.test(signerId))
      this.#finding("signer_not_allowed", index, "a presented intent that no server signed");
    try {
      const fault = this.#presented.findFault(intent);
      if (fault !== null) this.#finding("presented_unproven", index, fault);
    } catch (error) {
      this.#finding("presented_unproven", index, codeOf(error));
    }
    this.#begin(index, intent, record);
  }

  #begin(index: number, intent: Action["intent"], record: UnverifiedRecord): void {
    const credential = credentialOf(record.unverified) ?? "";
    const nothing = { decision: null, control: null, outcome: null };
    this.#actions.set(record.entrySha256, { index, intent, credential, ...nothing });
  }

  #joinDecision(
    index: number,
    {
      decision,
      signerId,
      before,
    }: { readonly decision: DecisionRecord; readonly signerId: string; readonly before: string | null },
  ): void {
    if (!SERVER_ID.test(signerId))
      this.#finding("signer_not_allowed", index, "a decision that no server signed");
    const action = this.#actions.get(decision.intent_sha256);
    if (action === undefined || before !== decision.intent_sha256) {
      this.#finding("decision_without_intent", index, "its intent is not the entry before it");
    }
    if (action === undefined) return;
    const { intent } = action;
    if (intent.event_id !== decision.event_id || decision.chain.at(-1) !== intent.agent.id) {
      this.#finding("decision_mismatch", index, "event or agent is not the intent's");
    } else if (this.#enrolments.chainOf(intent.agent.spiffe_id)?.join() !== decision.chain.join()) {
      this.#finding("decision_mismatch", index, "its chain is not the one that the instance was issued with");
    }
    if ("proof" in intent && this.#presented.isUnsigned(intent, decision)) {
      this.#finding("presented_unproven", index, "allowed, but nobody had signed its body");
    }
    this.#auditApproval(index, () => this.#approvals.requireApproved(decision, intent));
    action.decision = decision;
    if (decision.allow) this.#requireUnrevoked(index, { decision, intent });
  }

  /** A decision made on an epoch that includes a revocation must not allow what was revoked: whoever was issued before it. */
  #requireUnrevoked(
    index: number,
    { decision, intent }: { readonly decision: DecisionRecord; readonly intent: Action["intent"] },
  ): void {
    const { spiffe_id: spiffeId } = intent.agent;
    const found = this.#revocations.find(namesOf(spiffeId, decision.chain), {
      after: this.#enrolments.issuedAt(spiffeId) ?? -1,
      until: decision.lease_epoch,
    });
    if (found === undefined) return;
    const detail = `${found.name} was revoked at epoch ${found.epoch}`;
    this.#finding("allowed_after_revocation", index, detail);
  }

  #joinOutcome(
    index: number,
    { outcome, signerId }: { readonly outcome: OutcomeRecord; readonly signerId: string },
  ): void {
    const action = this.#actions.get(outcome.intent_sha256);
    if (action?.decision?.allow !== true) {
      this.#finding("outcome_without_decision", index, "nothing allowed what it reports");
      return;
    }
    const { intent, decision } = action;
    const enforcer = decision.enforcement === "self" ? intent.agent.spiffe_id : intent.aud;
    if (signerId !== enforcer)
      this.#finding("signer_not_allowed", index, "the outcome is not the enforcement point's");
    if (outcome.event_id !== intent.event_id || outcome.decision_index !== action.index + 1) {
      this.#finding("outcome_mismatch", index, "event or decision is not the intent's");
    }
    action.outcome = outcome;
  }

  #joinControl(
    index: number,
    {
      control,
      signerId,
      before,
    }: { readonly control: ControlRecord; readonly signerId: string; readonly before: string | null },
  ): void {
    if (!SERVER_ID.test(signerId))
      this.#finding("signer_not_allowed", index, "a control record that no server signed");
    else {
      this.#auditEnrolment(index, { control, signerId });
      this.#auditApproval(index, () => this.#approvals.add(control, signerId));
    }
    if (control.intent_sha256 !== null) {
      const action = this.#actions.get(control.intent_sha256);
      if (action === undefined || before !== control.intent_sha256) {
        this.#finding("control_mismatch", index, "its intent is not the entry before it");
      }
      if (action !== undefined) action.control = control;
    }
    this.#revocations.add(control);
  }

  #auditApproval(index: number, check: () => void): void {
    try {
      check();
    } catch (error) {
      const reason = error instanceof TrustWardenError ? error.details.reason : undefined;
      this.#finding("approval_unproven", index, String(reason ?? codeOf(error)));
    }
  }

  #auditEnrolment(
    index: number,
    { control, signerId }: { readonly control: ControlRecord; readonly signerId: string },
  ): void {
    try {
      this.#enrolments.add(control, signerId);
      this.#presented.learn(control);
      this.#confirmations.add(control);
      if (control.kind === "federation" && control.allow) this.#svids.learn(control);
    } catch (error) {
      const reason = error instanceof TrustWardenError ? error.details.reason : undefined;
      this.#finding("enrolment_unproven", index, String(reason ?? codeOf(error)));
    }
  }

  #finding(code: FindingCode, index: number, detail: string): void {
    this.#report({ code, place: `entry ${index}`, detail });
  }
}

function codeOf(error: unknown): string {
  if (!(error instanceof TrustWardenError)) throw error;
  return error.code;
}

function findingOf(code: string): FindingCode {
  if (code === "not_found") return "svid_unknown";
  return code === "signature_invalid" || code === "svid_mismatch" ? "signature_bad" : "svid_refused";
}
