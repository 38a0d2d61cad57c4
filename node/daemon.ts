/**
 * `warden node`: joins the trust domain, keeps its SVID, its lease and its copy of the entries, and serves the Workload
 * API of this host.
 *
 * Put together here and nowhere else. What may be on disk is the node's own identity; everything about workloads is
 * in memory and ends with the process.
 *
 * @see docs/decisions/0011-the-node-is-a-client.md
 */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { RevocationTarget } from "@trustwarden/core/revocation/frames.ts";
import {
  createLease,
  type Lease,
  nowSeconds,
  type Runtime,
  SvidHolder,
  systemRuntime,
} from "trustwarden/peer.ts";
import { createNodeAdmin } from "./admin.ts";
import { createAccounts } from "./attest/accounts.ts";
import { ExecutableDigests } from "./attest/executable-digest.ts";
import { createUnixAttestor } from "./attest/unix-attestor.ts";
import { AttestedSource } from "./attested-source.ts";
import type { Measure } from "./composition-file.ts";
import {
  type HostEvidence,
  joinWithEvidence,
  joinWithToken,
  type NodeIdentity,
  openNodeIdentity,
  renewNodeIdentity,
  saveNodeIdentity,
} from "./node-identity.ts";
import { Refresher } from "./refresher.ts";
import { ServerRegistry } from "./server-registry.ts";
import { createWorkloadApi } from "./workload-api/workload-api.ts";

/** Beside the node's identity, for `warden explain`. */
export const ADMIN_SOCKET = "node.sock";

/** How a node is started. */
export interface NodeOptions {
  /** 0700; holds the node's admin socket. */
  readonly dataDir: string;
  /**
   * 0700; where the node's identity is kept for the next start. Without one it is in memory, and each start joins anew: a
   * server's data directory must hold no key that is not sealed, so the node beside a server keeps none.
   */
  readonly identityDir?: string;
  /** Of the Workload API; absolute. */
  readonly socketPath: string;
  /** Needed unless an identity was kept that is still alive. Asked for only then. */
  readonly joinToken?: () => Promise<string>;
  /** Instead of a token: what the platform says of this host. */
  readonly host?: HostEvidence;
  /** What agents of this host are made of, by `path/name`. */
  readonly compositions?: ReadonlyMap<string, Measure>;
  /** Must be the name that the operator gave, when given. */
  readonly name?: string;
  readonly runtime?: Runtime;
}

/** A running node. */
export interface RunningNode {
  readonly name: string;
  readonly spiffeId: string;
  readonly socketPath: string;
  readonly adminSocket: string;
  /** Ends every stream, tells the server, and removes the sockets. */
  close(): Promise<void>;
}

/**
 * Starts a node, and returns when it serves.
 *
 * @throws TrustWardenError `join_token_invalid`, `evidence_unavailable`, `server_untrusted`, `server_unreachable`, `bind_refused`,
 *   `endpoint_malformed`, `attestor_unavailable`, and the server's refusals.
 */
export async function startNode(options: NodeOptions): Promise<RunningNode> {
  const { dataDir, socketPath, compositions = new Map(), runtime = systemRuntime } = options;
  mkdirSync(dataDir, { recursive: true, mode: 0o700 });
  const identity = await identify(options, runtime);
  const holder = keepIdentity(identity, options, runtime);
  const { registry } = new ServerRegistry({ server: identity.server, holder, compositions, runtime });
  const attestor = createUnixAttestor({ accounts: createAccounts(), digests: new ExecutableDigests() });
  let lease: Lease | undefined;
  const source = new AttestedSource({
    registry,
    attestor,
    nodeName: identity.name,
    isServerHeard: () => isFresh(lease),
    runtime,
  });
  const refresher = new Refresher({ refresh: () => source.refresh(), runtime });
  const opened: (() => Promise<void> | void)[] = [];
  const close = async (): Promise<void> => {
    refresher.close();
    for (const end of opened.toReversed()) await end();
    await source.close(new TrustWardenError("server_unreachable", { reason: "the node stops" }));
    lease?.close();
    holder.close();
    identity.server.release();
  };
  identity.server.retain();
  try {
    lease = followFeed({ identity, holder, source, refresher, runtime });
    await lease.ready();
    await refresher.run();
    const api = await createWorkloadApi({ source, socketPath, now: () => nowSeconds(runtime) });
    opened.push(() => api.close());
    const adminSocket = join(dataDir, ADMIN_SOCKET);
    const admin = await createNodeAdmin({ adminSocket, attestor, source, nodeName: identity.name });
    opened.push(() => admin.close());
    return { name: identity.name, spiffeId: identity.answer.spiffe_id, socketPath, adminSocket, close };
  } catch (error) {
    await close();
    throw error;
  }
}

async function identify(options: NodeOptions, runtime: Runtime): Promise<NodeIdentity> {
  const { identityDir, name } = options;
  if (identityDir === undefined) return joinServer(options, runtime);
  const kept = await openNodeIdentity(identityDir, runtime);
  if (kept !== undefined && (name === undefined || name === kept.name)) return kept;
  const joined = await joinServer(options, runtime);
  saveNodeIdentity(identityDir, joined);
  return joined;
}

async function joinServer({ joinToken, host, name }: NodeOptions, runtime: Runtime): Promise<NodeIdentity> {
  if (host !== undefined) return joinWithEvidence({ ...host, name, runtime });
  if (joinToken === undefined) throw new TrustWardenError("join_token_invalid", { reason: "none was given" });
  return joinWithToken({ token: await joinToken(), name, runtime });
}

function keepIdentity(identity: NodeIdentity, { identityDir }: NodeOptions, runtime: Runtime): SvidHolder {
  return new SvidHolder({
    first: identity.credential,
    renew: async (current) => {
      const next = await renewNodeIdentity(identity, current, runtime);
      if (identityDir !== undefined) saveNodeIdentity(identityDir, next);
      return next.credential;
    },
    instanceExpiresAt: identity.answer.instance_expires_at,
    runtime,
  });
}

/** The node's lease: revocations withdraw at once, and whatever the node has copies of is fetched again. */
function followFeed(options: {
  readonly identity: NodeIdentity;
  readonly holder: SvidHolder;
  readonly source: AttestedSource;
  readonly refresher: Refresher;
  readonly runtime: Runtime;
}): Lease {
  const { identity, holder, source, refresher, runtime } = options;
  const { server } = identity;
  // What the node has acted upon; undefined before the first connection.
  let epoch: number | undefined;
  const lease = createLease({
    stopUrl: server.discovery.stop_url,
    peer: server.peerCheck(() => holder.presented),
    runtime,
    follower: {
      onTargets: (targets) => {
        source.onTargets(targets);
        epoch = lease.epoch;
        if (targets.some(asksForRefresh)) refresher.soon();
      },
      onConnected: (now) => {
        // What was revoked in between was not told: the renewal of it will be refused.
        if (epoch !== undefined && epoch !== now) refresher.soonThen(() => source.renewAll(() => true));
        epoch = now;
      },
    },
  });
  return lease;
}

function asksForRefresh({ kind }: RevocationTarget): boolean {
  return (
    kind === "entry" ||
    kind === "authority" ||
    kind === "federation" ||
    kind === "policy" ||
    kind === "narrowed"
  );
}

function isFresh(lease: Lease | undefined): boolean {
  try {
    lease?.requireFresh();
    return lease !== undefined;
  } catch {
    // Safe: not hearing the server is an answer here, and it only takes rights away.
    return false;
  }
}
