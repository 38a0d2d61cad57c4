/** What became of an action before anybody did it, as the picture of its custody shows it. */
import type { JoinedEvent } from "@trustwarden/core/agentledger/join.ts";
import type { CustodyStep } from "../parts/custody.tsx";

/** Who authorized an event that has no decision yet. */
const NOBODY = "nobody";

/**
 * The step of the policy. Null for what no policy decides: an identity that was issued, or an agent that was stopped, stands
 * on the word of its principal, and agents above it had no part in it.
 */
export function decisionStepOf({
  kind,
  outcome,
  authorized_by,
}: Pick<JoinedEvent, "kind" | "outcome" | "authorized_by">): CustodyStep | null {
  if (kind !== "action") return null;
  const step = { id: "policy", icon: "policies" } as const;
  if (outcome === "denied") return { ...step, name: "denied", by: "decided by policy", tone: "bad" };
  if (authorized_by === NOBODY) return { ...step, name: "undecided", by: "asked of the policy" };
  return { ...step, name: "allowed", by: "decided by policy", tone: "good" };
}
