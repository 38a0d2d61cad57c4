/**
 * The part of the state store that nodes and registration entries need, in the manner of `ports.ts`.
 *
 * A node's command names the node's own instance, which must be alive in the transaction: a node that was revoked while
 * its request was on the way issues, renews and ends nothing.
 */
import type { RegistrationEntry } from "@trustwarden/core/agentid/registration-entry.ts";
import type { Strength } from "@trustwarden/core/attestation.ts";
import type { JsonObject } from "@trustwarden/core/json.ts";
import type { Custody } from "@trustwarden/core/principal.ts";
import type { CommandContext, Committed, IssuedIdentity, NamedIdentity } from "./ports.ts";
import type { Revoked } from "./revocation-ports.ts";

export interface JoinTokenCommand {
  readonly context: CommandContext;
  readonly name: string;
  readonly ttlSeconds: number;
}

/** What evidence proved that somebody else than a node signed; verified before. */
export interface NetworkAttestation {
  readonly type: string;
  /** Canonical texts. */
  readonly selectors: readonly string[];
  /** Stable name of what was attested. */
  readonly subject: string;
  /** Facts for the event; no secrets. */
  readonly claims: JsonObject;
  /** Claimed in the transaction; null where evidence may be shown again. */
  readonly singleUse: { readonly id: string; readonly expiresAt: number } | null;
}

export interface AdmitNodeCommand {
  readonly context: CommandContext;
  /** A join token's digest, or what evidence proved. */
  readonly by:
    | { readonly kind: "join-token"; readonly tokenSha256: string }
    | { readonly kind: "attestation"; readonly attestation: NetworkAttestation };
  /** The name that the node expects; null for whichever it is admitted as. */
  readonly name: string | null;
  readonly spki: Uint8Array;
  readonly possession: string;
  /** What the proof of possession is bound to. */
  readonly evidenceSha256: string;
}

/** Who may become which node; the operator's. */
export interface NodeEntry {
  readonly name: string;
  /** Canonical texts. */
  readonly selectors: readonly string[];
}

export interface CreateEntryCommand {
  readonly context: CommandContext;
  readonly entry:
    | { readonly kind: "agent"; readonly document: RegistrationEntry; readonly envelope: string }
    | { readonly kind: "node"; readonly document: NodeEntry };
}

/** A key whose possession was proven. */
export interface ProvenKey {
  readonly spki: Uint8Array;
  readonly possession: string;
}

/** Who vouches for the workload of an entry's instance. */
export type EntryAsker =
  | {
      readonly kind: "node";
      readonly nodeInstanceId: string;
      readonly nodeSvidSha256: string;
      /** Canonical texts of what the node verified. */
      readonly selectors: readonly string[];
      readonly strength: Strength;
      readonly facts: JsonObject;
    }
  | {
      readonly kind: "evidence";
      readonly attestation: NetworkAttestation;
      /** What the proof of possession is bound to. */
      readonly evidenceSha256: string;
    };

/** A request for an instance of an entry. */
export interface EntryIssueCommand {
  readonly context: CommandContext;
  /** Null only for evidence: the one entry that matches. */
  readonly entryId: string | null;
  readonly asker: EntryAsker;
  readonly compositionSha256: string | null;
  /** Selectors that the declared composition gives. */
  readonly compositionSelectors: readonly string[];
  readonly custody: Custody;
  readonly key: ProvenKey;
  /** The key of a class SVID, or null for none. */
  readonly classKey: ProvenKey | null;
}

export interface NodeRenewCommand {
  readonly context: CommandContext;
  readonly nodeInstanceId: string;
  readonly nodeSvidSha256: string;
  readonly instanceId: string;
  /** The instance SVID that the proofs follow. */
  readonly svidSha256: string;
  readonly key: ProvenKey;
  readonly classKey: ProvenKey | null;
  readonly compositionSha256: string | null;
}

export interface NodeJwtCommand {
  readonly context: CommandContext;
  readonly nodeInstanceId: string;
  readonly nodeSvidSha256: string;
  readonly instanceId: string;
  readonly audiences: readonly [string, ...string[]];
  readonly identity: NamedIdentity;
  /** Where the token status lists are read, without the number of the list. */
  readonly statusLists: string;
}

export interface NodeEndCommand {
  readonly context: CommandContext;
  readonly nodeInstanceId: string;
  readonly nodeSvidSha256: string;
  readonly instanceId: string;
  readonly reason: string;
}

/** An identity that a node may deliver. */
export interface EntryIdentity extends IssuedIdentity {
  readonly entryId: string;
  readonly hint: string;
}

/** The commands of nodes and entries. */
export interface RegistrationCommands {
  /** Value: the secret, which is kept nowhere else. */
  createJoinToken(
    command: JoinTokenCommand,
  ): Promise<Committed<{ readonly token: string; readonly expiresAt: number }>>;
  /** @throws TrustWardenError `join_token_invalid`, `join_token_expired`, `join_token_used`, `entry_not_matched`,
   *   `entry_ambiguous`, `attestation_replayed`, `key_reused`. */
  admitNode(command: AdmitNodeCommand): Promise<Committed<IssuedIdentity>>;
  /** @throws TrustWardenError `entry_exists`, `identity_revoked`, `quota_exceeded`. */
  createEntry(command: CreateEntryCommand): Promise<Committed<{ readonly entryId: string }>>;
  /** @throws TrustWardenError `not_found`. Idempotent: removing again takes an epoch. */
  removeEntry(command: {
    readonly context: CommandContext;
    readonly entryId: string;
  }): Promise<Committed<{ readonly entryId: string }>>;
  /** @throws TrustWardenError the codes of liveness, `entry_unknown`, `entry_removed`, `entry_expired`,
   *   `entry_not_for_node`, `entry_not_matched`, `entry_ambiguous`, `attestation_replayed`, `name_taken`,
   *   `quota_exceeded`, `key_reused`. */
  issueByEntry(command: EntryIssueCommand): Promise<Committed<EntryIdentity>>;
  /** @throws TrustWardenError the codes of liveness, `not_found` for another's instance, `entry_removed`,
   *   `entry_expired`, `composition_changed`, `key_reused`. */
  renewByNode(command: NodeRenewCommand): Promise<Committed<EntryIdentity>>;
  /** @throws TrustWardenError the codes of liveness, `not_found` for another's instance, `entry_removed`,
   *   `entry_expired`. */
  issueJwtByNode(
    command: NodeJwtCommand,
  ): Promise<Committed<{ readonly svid: string; readonly expiresAt: number; readonly spiffeId: string }>>;
  /** @throws TrustWardenError `not_found` for another's instance. */
  endByNode(command: NodeEndCommand): Promise<Committed<Revoked>>;
}

/** One entry as reads give it. */
export type EntryState = {
  readonly entryId: string;
  readonly createdAt: number;
  readonly isRemoved: boolean;
} & (
  | { readonly kind: "agent"; readonly document: RegistrationEntry; readonly envelope: string }
  | { readonly kind: "node"; readonly document: NodeEntry }
);

/** The reads of nodes and entries. */
export interface RegistrationReads {
  findEntry(entryId: string): EntryState | undefined;
  listEntries(query: {
    readonly ownerId?: string;
    readonly after?: string;
    readonly limit: number;
  }): readonly EntryState[];
  /** Live agent entries that name a node, or any. @param now - Unix seconds. */
  entriesOfNode(query: {
    readonly node: string;
    readonly after: string;
    readonly now: number;
    readonly limit: number;
  }): readonly Extract<EntryState, { readonly kind: "agent" }>[];
}
