/**
 * The policies of a server whose custom policy another server may load: before anything is decided, what the store has is in
 * force here. So a decision never is of an older policy than its epoch says, as on a server alone.
 *
 * A policy of the store that cannot be used here denies what agents do, like one that cannot be used at a start.
 */
import type { DecideInput } from "@trustwarden/core/agentscope/decide.ts";
import type { Decision } from "@trustwarden/core/decision.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { JsonObject } from "@trustwarden/core/json.ts";
import type { CustomPolicies, Policy, PreparedPolicy } from "../opa/ports.ts";
import type { StoredPolicy } from "../store/policy-ports.ts";

export interface FollowedPoliciesOptions {
  readonly policies: Policy & { useNone(): void };
  readonly custom: CustomPolicies;
  readonly reads: { epoch(): number; findPolicy(): StoredPolicy | undefined };
  /** Of the store, when the policies were opened. */
  readonly sha256: string | undefined;
  /** Told of a policy that cannot be used. */
  readonly onUnusable: (error: unknown, policy: StoredPolicy) => void;
}

/** Owns which policy of the store is in force. Loading one takes an epoch, so that none is missed that the epoch tells of. */
export class FollowedPolicies implements Policy, CustomPolicies {
  readonly #options: FollowedPoliciesOptions;
  #sha256: string | undefined;
  /** Up to here the policies are those of the store. */
  #epoch = -1;
  #following: Promise<void> | null = null;

  constructor(options: FollowedPoliciesOptions) {
    this.#options = options;
    this.#sha256 = options.sha256;
  }

  get engine(): Policy["engine"] {
    return this.#options.policies.engine;
  }

  get classes(): Policy["classes"] {
    return this.#options.policies.classes;
  }

  get references(): Policy["references"] {
    return this.#options.policies.references;
  }

  get asks(): Policy["asks"] {
    return this.#options.policies.asks;
  }

  async decide(input: DecideInput): Promise<Decision> {
    await this.#follow();
    return this.#options.policies.decide(input);
  }

  decideAgain(input: DecideInput): Decision {
    return this.#options.policies.decideAgain(input);
  }

  async isAllowed(request: JsonObject): Promise<boolean | undefined> {
    await this.#follow();
    return this.#options.policies.isAllowed(request);
  }

  async candidates(search: JsonObject): Promise<readonly string[]> {
    await this.#follow();
    return this.#options.policies.candidates(search);
  }

  async prepare(bundle: Uint8Array): Promise<PreparedPolicy> {
    const prepared = await this.#options.custom.prepare(bundle);
    return {
      ...prepared,
      putInForce: async (commit) => {
        const committed = await prepared.putInForce(commit);
        this.#sha256 = prepared.sha256;
        return committed;
      },
    };
  }

  async #follow(): Promise<void> {
    while (this.#epoch < this.#options.reads.epoch()) {
      this.#following ??= this.#putInForce().finally(() => {
        this.#following = null;
      });
      await this.#following;
    }
  }

  async #putInForce(): Promise<void> {
    const { reads, custom, policies, onUnusable } = this.#options;
    const epoch = reads.epoch();
    const stored = reads.findPolicy();
    if (stored === undefined || stored.sha256 === this.#sha256) {
      this.#epoch = epoch;
      return;
    }
    try {
      const prepared = await custom.prepare(stored.bundle);
      await prepared.putInForce(() => requireStored(reads, stored));
    } catch (error) {
      // Another one has come meanwhile, and is next.
      if (reads.findPolicy()?.sha256 !== stored.sha256) return;
      policies.useNone();
      onUnusable(error, stored);
    }
    this.#sha256 = stored.sha256;
    this.#epoch = epoch;
  }
}

/** In the turn in which policies change: one that this server loads meanwhile is newer. */
async function requireStored(
  reads: FollowedPoliciesOptions["reads"],
  { sha256 }: StoredPolicy,
): Promise<void> {
  if (reads.findPolicy()?.sha256 !== sha256) throw new TrustWardenError("policy_rollback");
}
