/**
 * What the Workload API asks of whoever knows the identities: the node daemon, which attests its callers, or a launcher,
 * which made the one process that can reach its socket.
 *
 * The endpoint (`workload-api/`) speaks gRPC and knows nothing of attestation; a source knows nothing of gRPC.
 */
import type { SpiffeId } from "@trustwarden/core/agentid/spiffe-id.ts";
import type { TrustBundle } from "@trustwarden/core/agentid/trust-bundle.ts";

/** The process at the other end of a connection, as the kernel tells; read once, when it connected. */
export interface WorkloadPeer {
  /** Names the connection in `call.getPeer()`. */
  readonly connectionId: string;
  readonly pid: number;
  readonly uid: number;
  readonly gid: number;
  /** Supplementary groups at connect time. */
  readonly groups: readonly number[];
  /** Whether the very process that connected still runs; asked again before every message. */
  readonly isAlive: () => boolean;
  /** Keeps `isAlive` answerable after the connection has closed. @returns what lets go, once. */
  readonly hold: () => () => void;
}

/** One X.509-SVID with its key, as the Workload API delivers it. */
export interface DeliveredSvid {
  readonly spiffeId: SpiffeId;
  /** DER, leaf first, without the root. */
  readonly chain: readonly Uint8Array[];
  /** Unencrypted PKCS#8. */
  readonly keyPkcs8: Uint8Array;
  /** Unique within one state, at most 1,024 bytes; empty for none. */
  readonly hint: string;
}

/** One WIT-SVID with the key that it is bound to, as the Workload API delivers it. */
export interface DeliveredWit {
  readonly spiffeId: SpiffeId;
  readonly svid: string;
  /** Private JWK, as text. */
  readonly keyJwk: string;
  readonly hint: string;
  /** Unix seconds. */
  readonly expiresAt: number;
}

/** Everything that one workload may know now. What is absent is withdrawn. */
export interface WorkloadState {
  /** Instance first, then its class; the order never changes. Empty: no identity. */
  readonly svids: readonly DeliveredSvid[];
  /** The trust domain's own first, then federated ones. */
  readonly bundles: readonly TrustBundle[];
}

/** Follows one workload until `close`. */
export interface WorkloadSubscription {
  close(): void;
}

/** One identity as its holder may read it. */
export interface InstanceDescription {
  readonly spiffeId: SpiffeId;
  readonly instanceId: string;
  readonly agentId: string;
  /** base64url SHA-256 of the canonical JSON of the chain. */
  readonly chainSha256: string;
  /** `owner:<id>`, then agent ids from the root down. */
  readonly chain: readonly string[];
  readonly scope: readonly string[];
  /** How strongly the process was attested. */
  readonly strength: "unix" | "launcher" | "same_uid";
  /** Unix seconds. */
  readonly svidExpiresAt: number;
  /** Unix seconds. */
  readonly instanceExpiresAt: number;
  readonly hint: string;
}

/** Where identities come from. */
export interface WorkloadSource {
  /**
   * Attests the peer and calls `onState` with the whole state as soon as it is known, and at each change after it:
   * rotation, bundle change, revocation (then `svids` is empty).
   *
   * @param onEnd - called once when nothing more will come: the source closes, or attestation no longer holds.
   * @throws TrustWardenError `workload_unattested`, `workload_gone`, `no_identity`, `server_unreachable`.
   */
  subscribe(
    peer: WorkloadPeer,
    onState: (state: WorkloadState) => void,
    onEnd: (error: unknown) => void,
  ): Promise<WorkloadSubscription>;
  /**
   * JWT-SVIDs of the peer for these audiences; of one identity when `spiffeId` is given, else of all it has.
   *
   * @throws TrustWardenError as `subscribe`; `no_identity` also for an id that is not the peer's.
   */
  issueJwtSvids(
    peer: WorkloadPeer,
    request: { readonly audience: readonly string[]; readonly spiffeId: SpiffeId | null },
  ): Promise<readonly { readonly spiffeId: SpiffeId; readonly svid: string; readonly hint: string }[]>;
  /** Whether WIT-SVIDs are issued here; else both of their methods are Unimplemented. */
  isWitServed(): boolean;
  /**
   * WIT-SVIDs of the peer, each with a key of its identity; of one identity when `spiffeId` is given, else of all it has.
   *
   * @throws TrustWardenError as `issueJwtSvids`; `wit_disabled`.
   */
  issueWitSvids(
    peer: WorkloadPeer,
    request: { readonly spiffeId: SpiffeId | null },
  ): Promise<readonly DeliveredWit[]>;
  /** Bundles for validating what others bring; the own trust domain's is always there. */
  bundles(): readonly TrustBundle[];
  /**
   * What the peer has, for `trustwarden.node.v1.AgentApi`; Unimplemented where a source has none.
   *
   * @throws TrustWardenError as `subscribe`.
   */
  describe?(peer: WorkloadPeer): Promise<readonly InstanceDescription[]>;
  /**
   * A grant for the text of a child's request, signed with the key of one of the peer's instances, for
   * `trustwarden.node.v1.AgentApi`; Unimplemented where the holder of the key does not grant.
   *
   * @param asked.parent - id of that instance; empty where the peer has only one.
   * @throws TrustWardenError as `subscribe`, and the codes of the request; `no_identity` for an instance that is not the
   *   peer's, and where none is named of several.
   */
  grant?(peer: WorkloadPeer, asked: { readonly request: string; readonly parent: string }): Promise<string>;
  /**
   * Has an action inside the peer's process decided and recorded in its name, for `trustwarden.node.v1.AgentApi`;
   * Unimplemented where the holder of the key signs no intents.
   *
   * @returns the event's id. @throws TrustWardenError as `subscribe`, and the codes of a decision.
   */
  decide?(peer: WorkloadPeer, asked: { readonly action: string; readonly resource: string }): Promise<string>;
}
