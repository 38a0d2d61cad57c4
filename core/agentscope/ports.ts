/**
 * What AgentScope needs from outside: something that evaluates a policy.
 *
 * Implementations are adapters (`server/opa/`); tests use in-memory ones.
 */
import type { PolicyReference } from "../decision.ts";
import type { PolicyInput } from "./policy-input.ts";

/** Evaluates one policy; which language it is written in is the adapter's business. */
export interface PolicyEngine {
  /** Which policy answers; constant for the life of the engine. */
  readonly policy: PolicyReference;
  /**
   * The policy's raw answer. It may throw and may return anything: `decide` trusts nothing but an exact
   * `{ allow, reasons, policy }`. It must not run forever: an engine for policies that are not bounded stops them at
   * a deadline of its own and throws.
   */
  evaluate(input: PolicyInput): unknown;
}
