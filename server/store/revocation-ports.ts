/** What the commands that stop and narrow take and give. */
import type { Scope } from "@trustwarden/core/scope.ts";
import type { CommandContext, FeedTarget } from "./ports.ts";

export interface RevokeCommand {
  readonly context: CommandContext;
  readonly target: { readonly kind: "instance" | "agent" | "owner"; readonly id: string };
  readonly reason: string;
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
