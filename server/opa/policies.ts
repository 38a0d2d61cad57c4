/**
 * The policies that are in force, as one answer: deny overrides, and what is missing denies.
 *
 * The built-in policy always has its say. A custom policy is asked beside it about what agents do, never about the
 * control plane: whoever locked everybody out could otherwise not be undone. So is an external engine. While a policy is being changed decisions
 * wait, so that none is made by the old policy and dated by the epoch of the new one.
 */

import { formatPolicySum } from "@trustwarden/core/agentledger/evidence-policies.ts";
import { type DecideInput, decide, policyInputOf } from "@trustwarden/core/agentscope/decide.ts";
import type { PolicyEngine } from "@trustwarden/core/agentscope/ports.ts";
import type { Decision, PolicyReference } from "@trustwarden/core/decision.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { JsonObject } from "@trustwarden/core/json.ts";
import type { BuiltinPolicy } from "./builtin.ts";
import type { CustomPolicy } from "./custom.ts";
import type { ExternalOpa } from "./external.ts";
import type { Policy } from "./ports.ts";

/** In the place of a custom policy that was loaded once and cannot be trusted or started now: nothing is allowed. */
const UNUSABLE: CustomPolicy = {
  policy: { name: "custom-unusable", bundleSha256: "A".repeat(43) },
  evaluate: () => unusable(),
  isAllowed: () => unusable(),
  candidates: () => unusable(),
  close: () => Promise.resolve(),
};

/** Owns the custom policy and its worker. Between changes `#custom` is the one that the store names. */
export class Policies implements Policy {
  readonly engine: PolicyEngine;
  readonly classes: Policy["classes"];
  readonly asks: Policy["asks"];
  readonly #external: ExternalOpa | undefined;
  #custom: CustomPolicy | null = null;
  #changing: Promise<unknown> = Promise.resolve();

  constructor({ engine, data }: BuiltinPolicy, external?: ExternalOpa) {
    this.engine = engine;
    this.#external = external;
    this.classes = data.classes;
    this.asks = data.asks;
  }

  get references(): readonly PolicyReference[] {
    return this.#engines().map(({ policy }) => policy);
  }

  async decide(input: DecideInput): Promise<Decision> {
    await this.#changing;
    const decisions = this.#engines().map((engine) => decide(input, engine));
    if (this.#external === undefined) return strictestOf(decisions);
    return strictestOf([...decisions, decide(input, await this.#askExternal(this.#external, input))]);
  }

  decideAgain(input: DecideInput): Decision {
    return strictestOf(this.#engines().map((engine) => decide(input, engine)));
  }

  async isAllowed(request: JsonObject): Promise<boolean | undefined> {
    await this.#changing;
    return this.#custom?.isAllowed(request);
  }

  async candidates(search: JsonObject): Promise<readonly string[]> {
    await this.#changing;
    return this.#custom?.candidates(search) ?? [];
  }

  async replaceCustom<T>(next: CustomPolicy, commit: () => Promise<T>): Promise<T> {
    const before = this.#changing;
    const changed = Promise.withResolvers<void>();
    this.#changing = changed.promise;
    try {
      await before;
      const committed = await commit();
      const old = this.#custom;
      this.#custom = next;
      await old?.close();
      return committed;
    } catch (error) {
      await next.close();
      throw error;
    } finally {
      changed.resolve();
    }
  }

  /** Denies what agents do until a custom policy is loaded that can be used. */
  useNone(): void {
    this.#custom = UNUSABLE;
  }

  /** Puts the stored policy in force at the start. */
  use(custom: CustomPolicy): void {
    this.#custom = custom;
  }

  async close(): Promise<void> {
    this.#external?.close();
    await this.#custom?.close();
  }

  /** What the external engine said of this one question, as an engine; it runs the built-in policy too. */
  async #askExternal(external: ExternalOpa, input: DecideInput): Promise<PolicyEngine> {
    const { policy } = this.engine;
    try {
      const question = policyInputOf(input);
      const answer = question === undefined ? undefined : await external.evaluate(question);
      return { policy, evaluate: () => answer };
    } catch (error) {
      return {
        policy,
        evaluate: () => {
          throw error;
        },
      };
    }
  }

  #engines(): readonly PolicyEngine[] {
    return this.#custom === null ? [this.engine] : [this.engine, this.#custom];
  }
}

/** All reasons of all policies; one deny denies, one question asks. */
function strictestOf(decisions: readonly Decision[]): Decision {
  const [first] = decisions;
  if (first === undefined) throw new Error("the built-in policy always decides");
  if (decisions.length === 1) return first;
  const effects = decisions.map(({ effect }) => effect);
  return {
    ...first,
    effect: effects.includes("deny") ? "deny" : effects.includes("ask") ? "ask" : "allow",
    reasons: [...new Set(decisions.flatMap(({ reasons }) => reasons))].sort(),
    policy: referenceOf(decisions.map(({ policy }) => policy)),
  };
}

/** Several policies as one: their names, and a digest over their digests. */
function referenceOf(policies: readonly PolicyReference[]): PolicyReference {
  return {
    name: [...new Set(policies.map(({ name }) => name))].join("+"),
    bundleSha256: formatPolicySum(policies.map(({ bundleSha256 }) => bundleSha256)),
  };
}

function unusable(): never {
  throw new TrustWardenError("policy_unavailable", { reason: "the custom policy cannot be used" });
}
