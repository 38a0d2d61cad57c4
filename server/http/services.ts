/**
 * Everything that the routes work with, as ports. `build.ts` puts the adapters in.
 */

import type { Duplex } from "node:stream";
import type { ProvenChains } from "@trustwarden/core/agentid/proven-chains.ts";
import type { TrustDomain } from "@trustwarden/core/agentid/spiffe-id.ts";
import type { PolicyMaterial } from "@trustwarden/core/agentledger/evidence-policies.ts";
import type { PublicKey } from "@trustwarden/core/crypto.ts";
import type { Random } from "@trustwarden/core/id.ts";
import type { Signer } from "@trustwarden/core/signer.ts";
import type { ApprovalWaiters } from "../approvals/waiters.ts";
import type { Attestors } from "../attest/ports.ts";
import type { CurrentAuthority } from "../authority/current.ts";
import type { AuthorityKeeper } from "../authority/keeper.ts";
import type { BackupOrders } from "../backup/backup-orders.ts";
import type { SecretsBroker } from "../broker/broker.ts";
import type { FlooredClock } from "../clock.ts";
import type { People } from "../console/people.ts";
import type { ConsoleFiles } from "../console/static-files.ts";
import type { Federation } from "../federation/federation.ts";
import type { Budgets } from "../gateway/budgets.ts";
import type { GatewayParts } from "../gateway/gateway.ts";
import type { McpGateway } from "../gateway/mcp/create-mcp.ts";
import type { DatabaseRoles } from "../gateway/postgresql/database-roles.ts";
import type { Intake } from "../intake/create-intake.ts";
import type { RatioHistory } from "../intake/ratio-history.ts";
import type { Ledger } from "../ledger/ledger.ts";
import type { Outcomes } from "../ledger/outcomes.ts";
import type { PublishedCheckpoints } from "../ledger/published-checkpoints.ts";
import type { LedgerQueries } from "../ledger/queries.ts";
import type { RecordedDecisions } from "../ledger/recorded-decisions.ts";
import type { Refusals } from "../ledger/refusals.ts";
import type { SeenIntents } from "../ledger/seen-intents.ts";
import type { LedgerTurns } from "../ledger/turns.ts";
import type { Meter } from "../metrics/observe.ts";
import type { Scrape } from "../metrics/scrape.ts";
import type { AuthorizationServer } from "../oauth/authorization-server.ts";
import type { CustomPolicies, OpaBundles, Policy, PolicyReplays } from "../opa/ports.ts";
import type { Erasures } from "../payloads/erasures.ts";
import type { PayloadStore } from "../payloads/payload-store.ts";
import type { Sharing } from "../shared/sharing.ts";
import type { SecurityEventStreams } from "../ssf/streams.ts";
import type { FeedTarget, ServerSvid, StoreCommands, StoreReads } from "../store/ports.ts";
import type { Nonces } from "./nonces.ts";
import type { OwnerRequests } from "./owner-requests.ts";
import type { PublishedLists } from "./published-lists.ts";
import type { Latest, Recent } from "./recent.ts";

/** The revocation feed, as the HTTP side uses it. */
interface RevocationFeed {
  /** Takes over an upgraded connection of an authenticated verifier. */
  accept(
    socket: Duplex,
    verifier: {
      readonly spiffeId: string;
      readonly instanceId: string;
      /** Asked at each beat; false cuts the connection. */
      readonly isLive: () => boolean;
    },
  ): void;
  /** Pushes and waits until every lease of the moment has acknowledged or run out. */
  publish(
    targets: readonly Pick<FeedTarget, "kind" | "id">[],
    epoch: number,
  ): Promise<{
    readonly acked: number;
    readonly expired: number;
    /** Behind relays, as the relays say. */
    readonly behind: { readonly acked: number; readonly expired: number };
    readonly elapsedMs: number;
  }>;
  /** The epoch of the last push. */
  readonly epoch: number;
  /** Live leases. */
  readonly leases: number;
  /** Leases behind relays, as the relays say. */
  readonly leasesBehind: number;
  /** Changes that somebody still has to acknowledge, oldest first. */
  progress(): readonly {
    readonly epoch: number;
    readonly left: number;
    readonly acked: number;
    readonly expired: number;
    readonly leftBehind: number;
  }[];
}

/** What the server logs; ids and codes only, never headers, bodies or credentials. */
export interface EventLog {
  info(facts: Readonly<Record<string, string | number | boolean>>, message: string): void;
  warn(facts: Readonly<Record<string, string | number | boolean>>, message: string): void;
  error(facts: Readonly<Record<string, string | number | boolean>>, message: string): void;
}

export interface Services {
  readonly version: string;
  readonly clock: FlooredClock;
  readonly random: Random;
  readonly trustDomain: TrustDomain;
  /** `iss` of JWT-SVIDs, an https origin. */
  readonly jwtIssuer: string;
  /** Whether WIT-SVIDs are issued; off unless configured. */
  readonly witSvid: boolean;
  /** The authority of this moment; ask each time, since it changes while the server runs. */
  readonly authority: () => CurrentAuthority;
  /** Takes the operator's steps. */
  readonly keeper: AuthorityKeeper;
  /** Has the server's own SVID and its listeners follow a step that was announced. */
  readonly onAuthorityStep: () => Promise<void>;
  /** Relationships with other trust domains, and every bundle that we trust. */
  readonly federation: Federation;
  /** Secrets for upstreams, and canaries. */
  readonly broker: SecretsBroker;
  /** Proofs of chains, each against the bundle of its own trust domain. */
  readonly chains: ProvenChains;
  /** Revocation lists of the online authorities. */
  readonly lists: PublishedLists;
  /** Revocation list of the root, DER. */
  readonly rootCrls: () => readonly Uint8Array[];
  /** The current server SVID; replaced at half life, its SPIFFE ID stays. */
  readonly serverSvid: () => ServerSvid;
  readonly serverKey: PublicKey;
  /** Signs with it; what it signs beside the ledger has a type of its own. */
  readonly serverSigner: Signer;
  readonly commands: StoreCommands;
  readonly reads: StoreReads;
  readonly ledger: Ledger;
  /** Backups that are ordered from here. */
  readonly backups: BackupOrders;
  /** When the ledger's next shard begins. */
  readonly turns: LedgerTurns;
  readonly decisions: RecordedDecisions;
  readonly outcomes: Outcomes;
  readonly events: LedgerQueries;
  /** Entries that the search index has without a gap. */
  readonly indexedSize: () => number;
  readonly seen: SeenIntents;
  /** What intents may name as seen. */
  readonly published: PublishedCheckpoints;
  /** The other servers of the same store. */
  readonly sharing: Sharing;
  readonly refusals: Refusals;
  /** What stands before the ledger, for what agents and services submit. */
  readonly intake: Intake;
  readonly feed: RevocationFeed;
  readonly policy: Policy;
  readonly customPolicies: CustomPolicies;
  readonly opaBundles: OpaBundles;
  /** What a draft would have decided. */
  readonly policyReplays: PolicyReplays;
  /** Code and data of the policies in force, by the digests that decisions name, in their order. */
  readonly policyMaterials: () => ReadonlyMap<string, PolicyMaterial>;
  /** Decisions and states of stock OPAs that were recorded lately. */
  readonly opaDecisions: Recent;
  /** What each OPA said of itself last. */
  readonly opaStatuses: Latest;
  /** What agents may use through the gateway, and have used. */
  readonly budgets: Budgets;
  /** What is behind the gateway, and the calls that run; the listener itself may be off. */
  readonly gateway: GatewayParts;
  /** Catalogues and sessions of the MCP servers behind it. */
  readonly mcp: McpGateway;
  /** Prompts and answers that operators keep. */
  readonly payloads: PayloadStore;
  /** How they are erased. */
  readonly erasures: Erasures;
  /** Roles of databases that were made for agents. */
  readonly databaseRoles: DatabaseRoles;
  /** What knows people, and where they come in. */
  readonly people: People;
  /** What browsers load. */
  readonly consoleFiles: ConsoleFiles;
  /** Who waits for a human's answer. */
  readonly approvals: ApprovalWaiters;
  /** Streams of security events that receivers made. */
  readonly streams: SecurityEventStreams;
  /** Agents per owner of the last week. */
  readonly ratioHistory: RatioHistory;
  readonly nonces: Nonces;
  readonly oauth: AuthorizationServer;
  readonly attestors: Attestors;
  readonly ownerRequests: OwnerRequests;
  /** Keeps the epoch outside the data directory, so that an older copy of the state is noticed. Durable on return. */
  readonly raiseEpoch: (epoch: number) => Promise<void>;
  /** `policy` and `console` are null without that listener. */
  readonly urls: () => {
    readonly server: string;
    readonly stop: string;
    readonly policy: string | null;
    readonly console: string | null;
  };
  /** Monotonic milliseconds of the start. */
  readonly startedMonoMs: number;
  readonly log: EventLog;
  /** What is counted and measured on the way. */
  readonly meter: Meter;
  /** What a collector reads. */
  readonly scrape: Scrape;
  /** The OpenAPI document, as JSON text. */
  readonly openApi: () => Promise<string>;
}
