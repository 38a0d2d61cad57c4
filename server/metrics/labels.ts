/** The closed lists that labels take their values from. */
import { ERRORS } from "@trustwarden/core/error.ts";
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
  "budget_exhausted",
  "class_too_lax",
  "frozen",
  "policy_input_malformed",
  "policy_unavailable",
  "price_unknown",
  "principal_not_permitted",
  "scope_not_covered",
  "secret_unavailable",
  "self_enforcement_refused",
  "tainted",
  "view_stale",
];

/** What the feed pushes. */
export const TARGETS = [
  "instance",
  "agent",
  "owner",
  "job",
  "key",
  "narrowed",
  "policy",
  "entry",
  "authority",
  "federation",
] as const;

/** Commands of the state store. */
export const COMMANDS: readonly (keyof StoreCommands)[] = [
  "issue",
  "issueByEntry",
  "renew",
  "renewByNode",
  "issueJwt",
  "issueJwtByNode",
  "issueWit",
  "issueWitByNode",
  "issueAccessToken",
  "issueIdentityGrant",
  "revokeAccessToken",
  "issueServerSvid",
  "issueCrls",
  "issueStatusList",
  "revoke",
  "narrow",
  "endByNode",
  "createOwner",
  "createVerifierTicket",
  "createJoinToken",
  "admitNode",
  "createEntry",
  "removeEntry",
  "registerForeign",
  "admitSvid",
  "createApproval",
  "answerApproval",
  "useApproval",
  "addLabels",
  "setFreeze",
  "changeSecret",
  "setBudget",
  "saveBudgetUse",
  "changeFederation",
  "changeUpstream",
  "observeMcp",
  "approveMcp",
  "loadPolicy",
  "changeAuthority",
  "mendAuthority",
  "markSequenced",
];
