/** The policies that are in force, as the rest of the server asks them. */
import type { ActionClasses } from "@trustwarden/core/action.ts";
import type { DecideInput } from "@trustwarden/core/agentscope/decide.ts";
import type { PolicyEngine } from "@trustwarden/core/agentscope/ports.ts";
import type { Decision } from "@trustwarden/core/decision.ts";

export interface Policy {
  /** The built-in policy, which alone decides about the control plane. */
  readonly engine: PolicyEngine;
  readonly classes: ActionClasses;
  /** What agents do: the built-in policy and every other that is in force; deny overrides. Never throws. */
  decide(input: DecideInput): Promise<Decision>;
}
