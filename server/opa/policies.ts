/**
 * The policies that are in force, as one answer: deny overrides, and what is missing denies.
 */
import { type DecideInput, decide } from "@trustwarden/core/agentscope/decide.ts";
import type { Decision } from "@trustwarden/core/decision.ts";
import type { BuiltinPolicy } from "./builtin.ts";
import type { Policy } from "./ports.ts";

/** Asks the built-in policy. */
export function createPolicies({ engine, data }: BuiltinPolicy): Policy {
  return {
    engine,
    classes: data.classes,
    decide: async (input: DecideInput): Promise<Decision> => decide(input, engine),
  };
}
