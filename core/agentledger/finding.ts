/**
 * What an audit of a log finds, by stable codes.
 *
 * `damage` means that the log is not what was signed, or holds what nobody should have signed; `alarm` means that the
 * log is whole but its history has a hole or a contradiction that somebody must explain.
 */

/** How bad it is. */
export type Severity = "damage" | "alarm";

/** Every code, with its severity. */
export const FINDINGS = {
  tile_missing: "damage",
  tile_damaged: "damage",
  bundle_damaged: "damage",
  root_mismatch: "damage",
  shard_missing: "damage",
  shard_mismatch: "damage",
  record_unreadable: "damage",
  svid_unknown: "damage",
  svid_refused: "damage",
  signature_bad: "damage",
  signer_not_allowed: "damage",
  record_conflict: "damage",
  decision_mismatch: "damage",
  outcome_mismatch: "damage",
  control_mismatch: "damage",
  enrolment_unproven: "damage",
  approval_unproven: "damage",
  presented_unproven: "damage",
  seen_mismatch: "damage",
  record_repeated: "alarm",
  intent_without_decision: "alarm",
  decision_without_intent: "alarm",
  decision_without_outcome: "alarm",
  outcome_without_decision: "alarm",
  allowed_after_revocation: "alarm",
  sequence_gap: "alarm",
  sequence_repeated: "alarm",
  previous_mismatch: "alarm",
  earlier_checkpoint_missing: "alarm",
} as const satisfies Record<string, Severity>;

export type FindingCode = keyof typeof FINDINGS;

/** One thing found. */
export interface Finding {
  readonly code: FindingCode;
  readonly severity: Severity;
  /** Where: a path of the log, or `entry <index>`, or an instance's SPIFFE ID. */
  readonly place: string;
  /** What exactly, for a person. */
  readonly detail: string;
}

/** Takes findings as they come. */
export type Report = (finding: {
  readonly code: FindingCode;
  readonly place: string;
  readonly detail: string;
}) => void;
