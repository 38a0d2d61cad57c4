/**
 * Federation in the state store: relationships with other trust domains and the bundle that each gave last.
 *
 * Which endpoint may be asked and which bundle is taken is decided in core; the command checks it once more against
 * what is committed, so that two fetches at the same time cannot bring an older bundle back.
 */
import type { FederationEndpoint } from "@trustwarden/core/agentid/federation.ts";
import type { TrustDomain } from "@trustwarden/core/agentid/spiffe-id.ts";
import type { CommandContext, Committed } from "./ports.ts";

/** A relationship with one trust domain. */
export interface FederationState {
  readonly trustDomain: TrustDomain;
  /** Null where an operator sets the bundle by hand. */
  readonly endpoint: FederationEndpoint | null;
  /** The bundle document as it was published, canonical; null before the first one. */
  readonly bundle: string | null;
  /** Unix seconds. */
  readonly createdAt: number;
  /** Unix seconds when the bundle last changed; null before the first one. */
  readonly changedAt: number | null;
}

/** What happens to a relationship. */
export type FederationChange =
  | {
      readonly change: "create";
      readonly trustDomain: TrustDomain;
      readonly endpoint: FederationEndpoint | null;
      readonly bundle: string | null;
    }
  | { readonly change: "bundle"; readonly trustDomain: TrustDomain; readonly bundle: string }
  | { readonly change: "removal"; readonly trustDomain: TrustDomain };

export type FederationCommand = FederationChange & { readonly context: CommandContext };

export interface FederationCommands {
  /**
   * Value: the relationship, or null once it is gone.
   *
   * @throws TrustWardenError `federation_exists`, `not_found`, `federation_rollback`, `federation_bundle_refused`,
   *   `entry_too_large`, or what the bundle is refused with.
   */
  changeFederation(command: FederationCommand): Promise<Committed<FederationState | null>>;
}

export interface FederationReads {
  /** By trust domain, in order. */
  listFederations(): readonly FederationState[];
}
