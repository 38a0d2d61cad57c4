/** The closed lists that labels take their values from. */
import { ERRORS } from "@trustwarden/core/error.ts";
import { TARGET_KINDS } from "@trustwarden/core/revocation/frames.ts";
import type { StoreCommands } from "../store/ports.ts";

/** Where a path is walked: rows of the table, decisions that others enforce, calls through the gateway. */
export const PLANES = ["control", "decision", "gateway"] as const;
export type Plane = (typeof PLANES)[number];

/** Parts of the path that take time. */
export const STEPS = ["authenticate", "decide", "record", "act", "outcome"] as const;
export type Step = (typeof STEPS)[number];

export const CLASSES = ["A", "B", "C"] as const;
export const EFFECTS = ["allow", "deny", "ask"] as const;
export const RESULTS = ["success", "failure", "aborted"] as const;
export const CODES: readonly string[] = Object.keys(ERRORS);

/** Reasons of our own; those of custom policies count as `other`. */
export const REASONS: readonly string[] = [
  "action_forbidden",
  "approval_denied",
  "approval_expired",
  "approval_mismatch",
  "approval_not_taken",
  "approval_pending",
  "approval_required",
  "approval_unknown",
  "approval_used",
  "approval_withdrawn",
  "budget_exhausted",
  "class_too_lax",
  "frozen",
  "job_stopped",
  "policy_input_malformed",
  "policy_stopped",
  "policy_unavailable",
  "price_unknown",
  "principal_not_permitted",
  "restore_held",
  "scope_not_covered",
  "secret_unavailable",
  "self_enforcement_refused",
  "tainted",
  "view_stale",
];

/** What the feed pushes. */
export const TARGETS: readonly string[] = TARGET_KINDS;

/** Commands of the state store; the compiler refuses a list in which one is missing. */
const COMMAND_SET: Readonly<Record<Exclude<keyof StoreCommands, "close">, true>> = {
  issue: true,
  issueByEntry: true,
  renew: true,
  renewByNode: true,
  issueJwt: true,
  issueJwtByNode: true,
  issueWit: true,
  issueWitByNode: true,
  issueAccessToken: true,
  issueIdentityGrant: true,
  revokeAccessToken: true,
  issueServerSvid: true,
  issueCrls: true,
  issueStatusList: true,
  revoke: true,
  narrow: true,
  endByNode: true,
  createOwner: true,
  createVerifierTicket: true,
  depositTicket: true,
  askClaim: true,
  acceptClaim: true,
  offerTransfer: true,
  acceptTransfer: true,
  createJoinToken: true,
  admitNode: true,
  createEntry: true,
  removeEntry: true,
  registerForeign: true,
  admitSvid: true,
  createApproval: true,
  answerApproval: true,
  useApproval: true,
  addLabels: true,
  setFreeze: true,
  changeSecret: true,
  setBudget: true,
  saveBudgetUse: true,
  shareBudgetUse: true,
  foldBudgetShares: true,
  changeFederation: true,
  changeUpstream: true,
  observeMcp: true,
  approveMcp: true,
  loadPolicy: true,
  changePeople: true,
  countReading: true,
  touchSession: true,
  changeAuthority: true,
  mendAuthority: true,
  markSequenced: true,
};
export const COMMANDS: readonly string[] = Object.keys(COMMAND_SET);
