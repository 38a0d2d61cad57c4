/** The policies that are in force, as the rest of the server asks them. */
import type { ActionClasses } from "@trustwarden/core/action.ts";
import type { DecideInput } from "@trustwarden/core/agentscope/decide.ts";
import type { PolicyData } from "@trustwarden/core/agentscope/policy-data.ts";
import type { PolicyEngine } from "@trustwarden/core/agentscope/ports.ts";
import type { Replayed } from "@trustwarden/core/agentscope/replay.ts";
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

/** Recorded decisions, decided again with a draft. */
export interface PolicyReplays {
  /**
   * Starts a draft, signed or not, in a thread of its own; one at a time.
   *
   * @throws TrustWardenError `overloaded` while another runs, `policy_bundle_malformed`, `policy_refused`,
   *   `policy_unavailable`.
   */
  begin(bundle: Uint8Array): Promise<RunningReplay>;
}

/** A draft that is asked about decisions of the past, and has to be ended. */
export interface RunningReplay {
  readonly name: string;
  readonly version: number;
  /** base64url, of its code and data: what decisions would name it by. */
  readonly policySha256: string;
  /**
   * What would have come of each; null for an event without a decision.
   *
   * @throws TrustWardenError `policy_unavailable` when the draft gives no answer in time: in force it would deny everything.
   */
  replay(logged: readonly LoggedDecision[]): Promise<readonly (ReplayedDecision | null)[]>;
  end(): Promise<void>;
}

/** Records of one event as the log has them: what was asked, and what was decided about it. */
export interface LoggedDecision {
  readonly entries: readonly Uint8Array[];
  /** Of the instance, from its registration; null when it is not known any more. */
  readonly selectors: readonly string[] | null;
}

/** What came of a recorded decision, and whose it was, in the words of its records. */
export interface ReplayedDecision {
  readonly outcome: Replayed;
  readonly event: {
    readonly event_id: string;
    readonly timestamp: string;
    readonly agent_id: string;
    readonly agent_identity: string;
    readonly action: string;
    readonly resource: string;
    readonly reasons_before: readonly string[];
  };
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
