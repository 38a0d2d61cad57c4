/**
 * Federation in the state store: relationships with other trust domains and the bundle that each gave last.
 *
 * Which endpoint may be asked and which bundle is taken is decided in core; the command checks it once more against
 * what is committed, so that two fetches at the same time cannot bring an older bundle back.
 */
import type { FederationEndpoint } from "@trustwarden/core/agentid/federation.ts";
import type { TrustDomain } from "@trustwarden/core/agentid/spiffe-id.ts";
import type { Scope } from "@trustwarden/core/scope.ts";
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

/** An owner's registration of a workload of a federated trust domain, verified. */
export interface RegisterForeignCommand {
  readonly context: CommandContext;
  /** Single use. */
  readonly jti: string;
  /** Unix seconds when it was signed; a later revocation of the agent voids it. */
  readonly issuedAt: number;
  /** Unix seconds; the end of the instance. */
  readonly expiresAt: number;
  readonly ownerId: string;
  readonly path: string;
  readonly name: string;
  readonly scope: Scope;
  readonly spiffeId: string;
  /** Envelope text that the `issue` event embeds. */
  readonly registration: string;
}

/** What became of it. */
export interface RegisteredForeign {
  readonly agentId: string;
  readonly instanceId: string;
  /** `owner:<id>`, then the agent's id. */
  readonly chain: readonly string[];
}

/** An X.509-SVID of a registered foreign agent, proven, that this deployment sees for the first time. */
export interface AdmitSvidCommand {
  readonly context: CommandContext;
  readonly instanceId: string;
  readonly spiffeId: string;
  readonly svidSha256: string;
  /** Lower-case hex. */
  readonly serial: string;
  readonly spki: Uint8Array;
  /** Unix seconds. */
  readonly notAfter: number;
  /** DER as presented, leaf first. */
  readonly chain: readonly Uint8Array[];
}

export interface ForeignCommands {
  /** @throws TrustWardenError `entry_exists` for a used registration or a SPIFFE ID that is registered and alive,
   *   `trust_domain_unknown`, `owner_unknown`, `identity_revoked`, `name_taken`, `quota_exceeded`,
   *   `scope_wildcard_too_long_lived`. */
  registerForeign(command: RegisterForeignCommand): Promise<Committed<RegisteredForeign>>;
  /** @throws TrustWardenError `foreign_agent_unknown`, `key_reused`, `quota_exceeded`, `entry_too_large`, and the codes
   *   of a dead instance. */
  admitSvid(command: AdmitSvidCommand): Promise<Committed<null>>;
}

export interface ForeignReads {
  /** The instance that a foreign SPIFFE ID was registered as last, alive or not. */
  findForeignInstance(spiffeId: string): string | undefined;
}
