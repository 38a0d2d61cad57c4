/**
 * Whose word lifted a decision: the owner's own signature, in the log before the decision, for this agent and this
 * action, and used up for it in time and once.
 *
 * That the parameters are the same is shown by commitments under salts which the log does not hold; whoever has the two
 * receipts with their salts can compare them.
 */
import { formatApprovalReference, parseUnverifiedApproval, verifyApproval } from "../approval.ts";
import { parseEnvelope, type UnverifiedEnvelope } from "../dsse.ts";
import { TrustWardenError } from "../error.ts";
import type { ControlRecord, DecisionRecord, Intent } from "../event.ts";
import type { OwnerKey } from "../passkey.ts";

/** The part of an intent that an approval is compared with, whoever wrote the intent. */
interface ApprovedCall extends Pick<Intent, "event_id" | "action" | "resource" | "aud"> {
  readonly agent: { readonly spiffe_id: string };
}

/** Owns the approvals of one log and which of them were used; lives for one audit. */
export class ApprovalAuditor {
  readonly #ownerKey: (owner: string, envelope: UnverifiedEnvelope) => OwnerKey;
  /** By id: the envelope as it was signed. */
  readonly #approved = new Map<string, string>();
  /** By id: the action that used it up. */
  readonly #uses = new Map<string, string>();
  readonly #used = new Set<string>();

  constructor(ownerKey: (owner: string, envelope: UnverifiedEnvelope) => OwnerKey) {
    this.#ownerKey = ownerKey;
  }

  /**
   * Takes an `approval` event; call in the order of the log.
   *
   * @param signerId - SPIFFE ID of the server that signed it: what was signed for another trust domain lifts nothing here.
   * @throws TrustWardenError `record_malformed`, or what the signature and the members are refused with.
   */
  add(control: ControlRecord, signerId: string): void {
    const { kind, allow, details } = control;
    if (kind !== "approval" || !allow) return;
    if (details.change === "approve") this.#addApproval(control, signerId.split("/", 3).join("/"));
    if (details.change === "use") this.#addUse(control);
  }

  #addApproval({ subject, details, time }: ControlRecord, audience: string): void {
    if (typeof details.approval !== "string") throw invalid("an approval without its envelope");
    const claimed = parseUnverifiedApproval(details.approval);
    if (claimed.id !== subject) throw invalid("an approval under another id");
    verifyApproval(details.approval, claimed, {
      publicKey: this.#ownerKey(claimed.owner, parseEnvelope(details.approval)),
      audience,
      now: Math.floor(Date.parse(time) / 1000),
    });
    if (claimed.answer !== "approve") throw invalid("a no that was recorded as a yes");
    this.#approved.set(claimed.id, details.approval);
  }

  /** The time of the use counts: the decision is written after it, and may be written late. */
  #addUse({ subject, details, time }: ControlRecord): void {
    const envelope = this.#approved.get(subject ?? "");
    if (subject === null || envelope === undefined) throw invalid("a use of an approval that nobody gave");
    const signed = parseUnverifiedApproval(envelope);
    if (details.envelope_sha256 !== formatApprovalReference(signed, envelope).envelope_sha256)
      throw invalid("a use of another approval");
    if (typeof details.used_by !== "string") throw invalid("a use by nobody");
    if (this.#uses.has(subject)) throw invalid("an approval that was used before");
    if (Date.parse(time) >= signed.exp * 1000) throw invalid("an approval that had expired");
    this.#uses.set(subject, details.used_by);
  }

  /**
   * Checks a decision that names an approval.
   *
   * @throws TrustWardenError `record_malformed`.
   */
  requireApproved({ approval, chain, allow, policy }: DecisionRecord, intent: ApprovedCall): void {
    if (approval === null) return;
    const envelope = this.#approved.get(approval.id);
    if (envelope === undefined) throw invalid("an approval that nobody gave");
    const signed = parseUnverifiedApproval(envelope);
    const reference = formatApprovalReference(signed, envelope);
    const isNamed =
      reference.envelope_sha256 === approval.envelope_sha256 &&
      approval.owner === signed.owner &&
      chain[0] === `owner:${signed.owner}`;
    const isSame =
      signed.agent === intent.agent.spiffe_id &&
      signed.action === intent.action &&
      signed.resource === intent.resource &&
      signed.audience === intent.aud &&
      signed.policy_sha256 === policy.bundle_sha256;
    if (!isNamed || !isSame || !allow) throw invalid("an approval of something else");
    if (this.#uses.get(approval.id) !== intent.event_id)
      throw invalid("an approval that was not used up for this");
    if (this.#used.has(approval.id)) throw invalid("an approval that was used before");
    this.#used.add(approval.id);
  }
}

function invalid(reason: string): TrustWardenError {
  return new TrustWardenError("record_malformed", { reason });
}
