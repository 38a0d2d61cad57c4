/** The policies that are in force, as the rest of the server asks them. */
import type { ActionClasses } from "@trustwarden/core/action.ts";
import type { DecideInput } from "@trustwarden/core/agentscope/decide.ts";
import type { PolicyData } from "@trustwarden/core/agentscope/policy-data.ts";
import type { PolicyEngine } from "@trustwarden/core/agentscope/ports.ts";
import type { Decision, PolicyReference } from "@trustwarden/core/decision.ts";
import type { JsonObject } from "@trustwarden/core/json.ts";

export interface Policy {
  /** The built-in policy, which alone decides about the control plane. */
  readonly engine: PolicyEngine;
  readonly classes: ActionClasses;
  /** Every policy that has a say in what agents do; the built-in one first. */
  readonly references: readonly PolicyReference[];
  /** Where a human is asked first, and why. */
  readonly asks: PolicyData["asks"];
  /** What agents do: the built-in policy and every other that is in force; deny overrides. Never throws. */
  decide(input: DecideInput): Promise<Decision>;
  /** The same at once, for what was allowed and still runs: policies of this process only. Never throws. */
  decideAgain(input: DecideInput): Decision;
  /**
   * What the custom policy says of a tuple about a subject that is no agent of ours; undefined when it knows of none.
   *
   * @throws TrustWardenError `policy_unavailable`.
   */
  isAllowed(request: JsonObject): Promise<boolean | undefined>;
  /** What a search of such subjects should look at. @throws TrustWardenError `policy_unavailable`. */
  candidates(search: JsonObject): Promise<readonly string[]>;
}

/** Bundles of custom policies, from the operator's hands into force. */
export interface CustomPolicies {
  /**
   * Proves a compressed bundle and starts it, without putting it in force.
   *
   * @throws TrustWardenError `policy_bundle_malformed`, `policy_bundle_unsigned`, `policy_bundle_untrusted`,
   *   `policy_refused`, `policy_unavailable`.
   */
  prepare(bundle: Uint8Array): Promise<PreparedPolicy>;
}

/** A custom policy that is proven and running, and not yet in force. */
export interface PreparedPolicy {
  readonly name: string;
  readonly version: number;
  /** Key that signed it. */
  readonly keyId: string;
  /** base64url, of the compressed bundle. */
  readonly sha256: string;
  /** base64url, of its code and data: what decisions name it by. */
  readonly policySha256: string;
  /**
   * Puts it in force with a commit: decisions wait for it, and when it fails the policy of before stays.
   *
   * @throws whatever `commit` throws.
   */
  putInForce<T>(commit: () => Promise<T>): Promise<T>;
}

/** One bundle as it goes out. */
export interface ServedBundle {
  readonly bytes: Uint8Array;
  readonly etag: string;
}

/** Bundles for a stock OPA. */
export interface OpaBundles {
  /** What the built-in bundle and discovery are signed with; an OPA has to be given it. */
  readonly signingKey: { readonly id: string; readonly pem: string };
  /** The bundle of that file name; undefined when there is none. @throws TrustWardenError `policy_unavailable`. */
  find(name: string): ServedBundle | undefined;
}
