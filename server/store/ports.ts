/**
 * The state store as the server sees it: whole commands that run synchronously in the writer, and plain reads.
 *
 * A command checks and writes in one transaction, together with the ledger entries that tell of it (the outbox): a
 * certificate, a revocation or an owner never exists without its durable event. When a command's promise resolves the
 * transaction is on disk; its `entries` still have to be sequenced, after which `markSequenced` empties the outbox.
 * After a crash `pendingEntries` gives what was committed but perhaps not sequenced; sequencing again is idempotent.
 *
 * Every command throws the codes of its checks and then has written nothing.
 */

import type { Limits } from "@trustwarden/core/agentid/delegation.ts";
import type { AttestationFacts } from "@trustwarden/core/attestation.ts";
import type { PolicyReference } from "@trustwarden/core/decision.ts";
import type { ControlRecord } from "@trustwarden/core/event.ts";
import type { Custody } from "@trustwarden/core/principal.ts";
import type { Scope } from "@trustwarden/core/scope.ts";
import type { ApprovalCommands, ApprovalReads } from "./approval-ports.ts";
import type { ChangeAuthorityCommand, MendAuthorityCommand, StoredAuthority } from "./authority-ports.ts";
import type { SecretCommands, SecretReads } from "./broker-ports.ts";
import type { BudgetCommands, BudgetReads } from "./budget-ports.ts";
import type { ClaimCommands, ClaimReads } from "./claim-ports.ts";
import type { CreateOwnerCommand } from "./commands/create-owner.ts";
import type { DepositTicketCommand } from "./commands/deposit-ticket.ts";
import type {
  FederationCommands,
  FederationReads,
  ForeignCommands,
  ForeignReads,
} from "./federation-ports.ts";
import type { GatewayCommands, GatewayReads } from "./gateway-ports.ts";
import type { McpCommands, McpReads } from "./mcp-ports.ts";
import type { OAuthCommands, OAuthReads } from "./oauth-ports.ts";
import type { OfferReads } from "./offer-ports.ts";
import type { PeopleCommands, PeopleReads } from "./people-ports.ts";
import type { PolicyCommands, PolicyReads } from "./policy-ports.ts";
import type { ProvenKey, RegistrationCommands, RegistrationReads } from "./registration-ports.ts";
import type { NarrowCommand, RevokeCommand, Revoked, StopReads } from "./revocation-ports.ts";
import type { TransferCommands } from "./transfer-ports.ts";
import type { TreeReads } from "./tree-ports.ts";

export type { FederationChange, FederationCommands, FederationState } from "./federation-ports.ts";

import type { WitCommands } from "./wit-ports.ts";

/** Result of a command, and what it owes the ledger. */
export interface Committed<T> {
  readonly value: T;
  /** Envelope bytes in order (for an agent's command: its intent, then the control record). */
  readonly entries: readonly Uint8Array[];
  /** Outbox row; pass to `markSequenced` once the entries are acknowledged. */
  readonly outboxId: number;
  readonly eventId: string;
  /** Epoch after the commit. */
  readonly epoch: number;
}

/** Where a command comes from; goes into its event. */
export interface CommandContext {
  /** Unix milliseconds, read by the caller at the edge. */
  readonly nowMs: number;
  /** `formatPrincipal` of the caller. */
  readonly principal: string;
  /** Peer address. */
  readonly peer: string;
  /** The agent's intent, when the caller is an agent: logged directly before the event. */
  readonly intent: { readonly envelope: string; readonly sha256: string; readonly eventId: string } | null;
}

/** An owner-signed ticket, a verifier ticket or a parent-signed grant, verified, as a request to issue. */
export interface IssueCommand {
  readonly context: CommandContext;
  readonly via: "ticket" | "verifier-ticket" | "grant";
  /** Single use; claimed in the transaction. */
  readonly jti: string;
  /** Unix seconds; the claim is kept until then. */
  readonly enrolmentExpiresAt: number;
  /** Unix seconds when the ticket or grant was signed; a later revocation of the agent voids it. */
  readonly enrolmentIssuedAt: number;
  readonly ownerId: string | null;
  /** Instance id of the parent whose live key signed the grant, and that SVID's digest. */
  readonly parent: { readonly instanceId: string; readonly svidSha256: string } | null;
  readonly path: string;
  /** By a ticket only: `keyid` of the passkey that signed it, which the owner must still have. */
  readonly passkeyKeyid?: string;
  /** By a ticket only: zero bits of the work that came along; none unless given. */
  readonly workBits?: number;
  /** By a verifier ticket only: whether it is a relay. */
  readonly isRelay?: boolean;
  readonly name: string;
  readonly scope: Scope;
  readonly ttlSeconds: number;
  readonly limits: Limits;
  readonly custody: Custody;
  /** Of the composition that the holder declared; null for none. */
  readonly compositionSha256: string | null;
  readonly spki: Uint8Array;
  readonly thumbprint: string;
  /** Envelope texts that the `issue` event embeds. */
  readonly enrolment: string;
  readonly possession: string;
  /** The key of a class SVID, or null for none. */
  readonly classKey: ProvenKey | null;
}

export interface IssuedIdentity {
  readonly spiffeId: string;
  readonly agentId: string | null;
  readonly instanceId: string;
  readonly ownerId: string | null;
  readonly path: string;
  readonly name: string;
  readonly scope: Scope;
  readonly limits: Limits;
  /** `owner:<id>`, then agent ids from the root down; empty for a verifier. */
  readonly chain: readonly string[];
  /** DER, leaf first. */
  readonly svidChain: readonly Uint8Array[];
  readonly svidExpiresAt: number;
  readonly instanceExpiresAt: number;
  /** DER, leaf first; null when no class key was given. */
  readonly classSvidChain: readonly Uint8Array[] | null;
  readonly ttlShortened: boolean;
}

export interface RenewCommand {
  readonly context: CommandContext;
  readonly instanceId: string;
  /** Digest of the SVID that the socket and the intent proved; must be one of the instance's live ones. */
  readonly svidSha256: string;
  readonly spki: Uint8Array;
  readonly thumbprint: string;
  readonly possession: string;
  /** The key of a further class SVID, or null for none. */
  readonly classKey: ProvenKey | null;
  /** When it is declared again; another than at birth is refused. */
  readonly compositionSha256: string | null;
}

/** Whose name a token is in. */
export type NamedIdentity = "instance" | "class";

export interface JwtCommand {
  readonly context: CommandContext;
  readonly instanceId: string;
  readonly audience: string;
  readonly identity: NamedIdentity;
  /** Where the status lists are read; the token's is this, a slash and a number. */
  readonly statusLists: string;
}

/** The commands. Each resolves after commit; many that wait are committed as one group. */
export interface StoreCommands
  extends ApprovalCommands,
    BudgetCommands,
    FederationCommands,
    ForeignCommands,
    GatewayCommands,
    McpCommands,
    OAuthCommands,
    PeopleCommands,
    RegistrationCommands,
    SecretCommands,
    PolicyCommands,
    ClaimCommands,
    TransferCommands,
    WitCommands {
  /** @throws TrustWardenError `owner_exists`. */
  createOwner(
    command: CreateOwnerCommand,
  ): Promise<Committed<{ readonly ownerId: string; readonly name: string }>>;
  /** Keeps that an owner signed a ticket by a passkey. @throws TrustWardenError see `depositTicket`. */
  depositTicket(command: DepositTicketCommand): Promise<Committed<null>>;
  /** Signs a single-use verifier ticket with the server's SVID and records it. Value: the envelope text. */
  createVerifierTicket(command: {
    readonly context: CommandContext;
    readonly name: string;
    readonly ttlSeconds: number;
    readonly isRelay: boolean;
  }): Promise<Committed<{ readonly ticket: string }>>;
  /** @throws TrustWardenError the delegation codes, `ticket_used`, `grant_used`, `name_taken`, `quota_exceeded`,
   *   `key_reused`, `identity_revoked`, `ancestor_dead`. */
  issue(command: IssueCommand): Promise<Committed<IssuedIdentity>>;
  /** @throws TrustWardenError `identity_revoked`, `identity_expired`, `ancestor_dead`, `key_reused`,
   *   `composition_changed`. */
  renew(command: RenewCommand): Promise<Committed<IssuedIdentity>>;
  issueJwt(command: JwtCommand): Promise<Committed<{ readonly svid: string; readonly expiresAt: number }>>;
  /** @throws TrustWardenError `not_found`. Idempotent: revoking the dead takes an epoch and says 0 instances. */
  revoke(command: RevokeCommand): Promise<Committed<Revoked>>;
  /** @throws TrustWardenError `not_found`, `scope_not_subset` (must be covered by the present scope; equal is allowed). */
  narrow(command: NarrowCommand): Promise<Committed<{ readonly scope: Scope }>>;
  /** Makes or renews the server's own SVID for the key both threads hold. */
  issueServerSvid(command: {
    readonly context: CommandContext;
    readonly reason: "start" | "renew";
    readonly policy?: PolicyReference;
  }): Promise<Committed<ServerSvid>>;
  /** Fresh revocation lists of the online authorities; leaves nothing in the ledger. */
  issueCrls(command: { readonly nowMs: number }): Promise<IssuedCrls>;
  /** A fresh token status list; leaves nothing in the ledger. @throws TrustWardenError `not_found`. */
  issueStatusList(command: {
    readonly nowMs: number;
    readonly page: number;
    readonly uri: string;
  }): Promise<IssuedStatusList>;
  /** @throws TrustWardenError `authority_conflict`, `authority_not_published`, `authority_in_use`, `not_found`. */
  changeAuthority(command: ChangeAuthorityCommand): Promise<Committed<StoredAuthority>>;
  /** The same without an event, for a server whose own SVID and intermediate have ended. */
  mendAuthority(command: MendAuthorityCommand): Promise<StoredAuthority>;
  markSequenced(outboxIds: readonly number[]): Promise<void>;
  close(): Promise<void>;
}

/** The revocation lists of the online authorities at one moment. */
export interface IssuedCrls {
  /** What was revoked up to this epoch is on them. */
  readonly epoch: number;
  /** Unix seconds. */
  readonly issuedAt: number;
  /** Until their next update. */
  readonly ttlSeconds: number;
  /** DER; that of the authority that issues now comes first. */
  readonly lists: readonly Uint8Array[];
}

/** One token status list at one moment. */
export interface IssuedStatusList {
  /** What was revoked up to this epoch is on it. */
  readonly epoch: number;
  /** Unix seconds. */
  readonly issuedAt: number;
  readonly ttlSeconds: number;
  /** A JWT. */
  readonly token: string;
}

export interface ServerSvid {
  readonly spiffeId: string;
  readonly svidChain: readonly Uint8Array[];
  readonly svidSha256: string;
  readonly expiresAt: number;
}

export const INSTANCE_KINDS = ["agent", "verifier", "node"] as const;
export type InstanceKind = (typeof INSTANCE_KINDS)[number];

/** One instance with its liveness, as reads give it. */
export interface InstanceState {
  readonly instanceId: string;
  readonly kind: InstanceKind;
  readonly spiffeId: string;
  readonly agentId: string | null;
  readonly ownerId: string | null;
  readonly parentInstanceId: string | null;
  readonly path: string;
  readonly name: string;
  readonly scope: Scope;
  readonly limits: Limits;
  readonly custody: Custody;
  readonly attested: AttestationFacts;
  /** The node that asked for it; null for whoever enrolled itself. */
  readonly nodeInstanceId: string | null;
  /** The registration entry that it was born of, or null. */
  readonly entryId: string | null;
  readonly createdAt: number;
  readonly expiresAt: number;
  readonly isRevoked: boolean;
}

/** One X.509-SVID; the key is what a grant signed under it is checked with. */
export interface SvidState {
  readonly instanceId: string;
  /** Unix seconds. */
  readonly notAfter: number;
  readonly spki: Uint8Array;
}

export interface OwnerState {
  readonly ownerId: string;
  readonly name: string;
  /** Of a file's key; null for an owner whose key is a device's, which signs nothing but assertions. */
  readonly spki: Uint8Array | null;
  readonly isRevoked: boolean;
}

/** An owner of a list, with how many agents it ever had: counting them takes as long as there are many. */
export interface ListedOwner extends OwnerState {
  readonly agents: number;
}

export interface AgentState {
  readonly agentId: string;
  readonly path: string;
  readonly name: string;
  readonly ownerId: string;
  readonly parentAgentId: string | null;
  readonly isRevoked: boolean;
  readonly instances: readonly InstanceState[];
}

/** Reads; synchronous, on a read-only connection, never inside a transaction that writes. */
export interface StoreReads
  extends ApprovalReads,
    BudgetReads,
    FederationReads,
    ForeignReads,
    GatewayReads,
    McpReads,
    OAuthReads,
    ClaimReads,
    OfferReads,
    PeopleReads,
    RegistrationReads,
    SecretReads,
    StopReads,
    PolicyReads,
    TreeReads {
  epoch(): number;
  authority(): StoredAuthority;
  /** Unix milliseconds of the latest committed command; 0 before the first. */
  clockFloorMs(): number;
  findOwner(ownerId: string): OwnerState | undefined;
  findOwnerByName(name: string): OwnerState | undefined;
  /** By name, after one of them. */
  listOwners(query: { readonly after: string; readonly limit: number }): readonly ListedOwner[];
  /** From the root instance down to the named one, inclusive; empty when unknown. */
  chainOf(instanceId: string): readonly InstanceState[];
  findInstance(instanceId: string): InstanceState | undefined;
  /** An instance's SVID, never a class's, that no revocation has superseded; gone some time after it expired. */
  findSvid(svidSha256: string): SvidState | undefined;
  /** Of an instance that was revoked; for the one thing that it may still say, see `requireReportingPeer`. */
  findStoppedSvid(svidSha256: string): SvidState | undefined;
  findAgent(agentId: string): AgentState | undefined;
  listAgents(query: {
    readonly ownerId?: string;
    readonly name?: string;
    readonly after?: string;
    readonly limit: number;
  }): readonly AgentState[];
  /** Whether `ancestor` is the instance itself or above it. */
  isDescendant(query: { readonly instanceId: string; readonly ancestorInstanceId: string }): boolean;
  counts(): { readonly owners: number; readonly agents: number; readonly liveInstances: number };
  /** Committed, not yet marked as sequenced, in order. */
  pendingEntries(between?: {
    readonly after: number;
    readonly before: number;
  }): readonly { readonly outboxId: number; readonly entries: readonly Uint8Array[] }[];
  /** Revocations and narrowings after an epoch, in order, for the feed. */
  targetsSince(epoch: number): readonly FeedTarget[];
  close(): void;
}

/** One line of the revocation feed. */
export interface FeedTarget {
  readonly epoch: number;
  readonly kind:
    | "instance"
    | "agent"
    | "owner"
    | "narrowed"
    | "policy"
    | "entry"
    | "authority"
    | "federation";
  readonly id: string;
}

/** What a control record needs beyond its context; used by commands and by the guard alike. */
export type ControlDraft = Pick<
  ControlRecord,
  "kind" | "allow" | "reasons" | "subject" | "chain" | "details"
>;
