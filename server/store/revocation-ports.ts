/** What the commands that stop and narrow take and give. */
import type { Scope } from "@trustwarden/core/scope.ts";
import type { CommandContext, FeedTarget } from "./ports.ts";

export interface RevokeCommand {
  readonly context: CommandContext;
  readonly target: StopTarget;
  /** Of a job: whose job of this name is stopped; null for everybody's. */
  readonly ownerId?: string | null;
  readonly reason: string;
}

/**
 * What can be stopped. `key` is the base64url SHA-256 of a public key (SPKI), `policy` that of a policy's bundle;
 * `everything` is every agent, and its id is `*`.
 */
export interface StopTarget {
  readonly kind: "instance" | "agent" | "owner" | "job" | "key" | "policy" | "everything";
  readonly id: string;
}

/** Whether a decision would be in the name of something that was stopped. */
export interface StopReads {
  isStopped(what: {
    readonly kind: "job" | "policy";
    readonly id: string;
    readonly ownerId: string;
  }): boolean;
}

export interface Revoked {
  /** Live instances that died by this. */
  readonly instances: number;
  /** What verifiers are told; more than the target itself where others die with it. */
  readonly targets: readonly Pick<FeedTarget, "kind" | "id">[];
}

export interface NarrowCommand {
  readonly context: CommandContext;
  readonly instanceId: string;
  readonly scope: Scope;
}
