/**
 * The answer to "may it?": a value, never an exception.
 */
import type { ActionClass } from "./action.ts";

/** Which policy answered. */
export interface PolicyReference {
  /** Human name and version, such as `trustwarden-builtin-v1`. */
  readonly name: string;
  /** base64url SHA-256 over the engine's code and data. */
  readonly bundleSha256: string;
}

/** What a human may lift for one call. A decision with any other reason against it is a deny. */
const LIFTABLE: readonly string[] = ["approval_required", "tainted"];

/** Of an engine that is missing, late or odd. */
const NO_ANSWER = "policy_unavailable";

export interface Decision {
  /** `ask` waits for a human and is no permission: only the answer to another intent, with an approval, can be. */
  readonly effect: "allow" | "deny" | "ask";
  /** Stable codes that say why; empty for an allow, never empty otherwise. */
  readonly reasons: readonly string[];
  readonly class: ActionClass;
  readonly policy: PolicyReference;
  /** Epoch of the revocation view that the decision was made on. */
  readonly epoch: number;
}

/** What the reasons against an action make of it; the same for whoever reads them in a record later. */
export function effectOf(reasons: readonly string[]): Decision["effect"] {
  if (reasons.length === 0) return "allow";
  return reasons.every((reason) => LIFTABLE.includes(reason)) ? "ask" : "deny";
}

/** Whether the engine's silence is all that stands against the action: nobody decided then, and asking again may help. */
export function isUndecided(reasons: readonly string[]): boolean {
  const others = reasons.filter((reason) => reason !== NO_ANSWER);
  return others.length < reasons.length && effectOf(others) !== "deny";
}

/** The same decision, denied for further reasons. */
export function denyFor(decision: Decision, reasons: readonly string[]): Decision {
  return { ...decision, effect: "deny", reasons: [...new Set([...decision.reasons, ...reasons])].sort() };
}
