/**
 * Who is at the other end of a TLS socket: the SVID it proved in the handshake, and whether that instance still lives.
 *
 * The chain is proven against the bundle of this trust domain; whether it has expired and whether the instance, each of
 * its ancestors and its owner are alive is asked for every request, so that an open connection outlives nobody.
 */
import type { Socket } from "node:net";
import {
  instanceIdOf,
  parseSpiffeId,
  pathOf,
  type SpiffeId,
  trustDomainOf,
} from "@trustwarden/core/agentid/spiffe-id.ts";
import type { X509Svid } from "@trustwarden/core/agentid/x509-svid.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { AgentPrincipal, NodePrincipal, VerifierPrincipal } from "@trustwarden/core/principal.ts";
import type { InstanceState, StoreReads } from "../store/ports.ts";
import { peerChainOf } from "./peer-chain.ts";
import type { Services } from "./services.ts";

type PeerServices = Pick<Services, "chains" | "reads" | "trustDomain">;

/** An SVID that belongs to a live instance of this deployment; of a report, perhaps to an agent that was stopped. */
export interface LivePeer {
  readonly svid: X509Svid;
  readonly instance: InstanceState;
  /** From the root instance down to this one; only itself for a verifier. */
  readonly chain: readonly InstanceState[];
}

/**
 * The SVID of a socket's peer.
 *
 * @param now - Unix seconds.
 * @throws TrustWardenError `no_svid` and the `svid_` codes.
 */
export function verifyPeerSvid({ chains }: PeerServices, socket: Socket, now: number): X509Svid {
  return chains.verify(peerChainOf(socket), now);
}

/**
 * The live instance of a proven SVID.
 *
 * @param now - Unix seconds.
 * @throws TrustWardenError `svid_bearer_refused` for an SVID that names no instance, `principal_refused` for the
 *   server's own, `foreign_agent_unknown`, `instance_unknown`, `identity_revoked` or `identity_expired`.
 */
export function requireLivePeer(services: PeerServices, svid: X509Svid, now: number): LivePeer {
  if (pathOf(svid.id).startsWith("/trustwarden/server/")) throw new TrustWardenError("principal_refused");
  const instanceId = instanceIdOfSpiffeId(services, svid.id);
  const chain = requireLiveChain(services.reads, instanceId, now);
  const instance = chain.at(-1);
  const issued = services.reads.findSvid(svid.leaf.sha256);
  // A certificate of the right name that the store never issued would be one that somebody else made.
  if (issued?.instanceId !== instanceId || instance?.spiffeId !== svid.id) {
    throw new TrustWardenError("instance_unknown", { spiffe_id: svid.id });
  }
  return { svid, instance, chain };
}

/**
 * Who reports what came of an action: a live peer, or an agent that was stopped. What a stopped one may say is the act's to
 * look at (`acts/outcomes.ts`): that its own act was broken off, and nothing else.
 *
 * @param now - Unix seconds.
 * @throws TrustWardenError as `requireLivePeer`, but for an agent's `identity_revoked`.
 */
export function requireReportingPeer(services: PeerServices, svid: X509Svid, now: number): LivePeer {
  try {
    return requireLivePeer(services, svid, now);
  } catch (error) {
    if (!(error instanceof TrustWardenError) || error.code !== "identity_revoked") throw error;
    const stopped = findStoppedAgent(services, svid, now);
    if (stopped === undefined) throw error;
    return stopped;
  }
}

/** Undefined unless it is an agent's SVID that was issued here, and whose whole chain would live had nobody stopped it. */
function findStoppedAgent(
  { reads, trustDomain }: PeerServices,
  svid: X509Svid,
  now: number,
): LivePeer | undefined {
  const instanceId = instanceIdOfSpiffeId({ reads, trustDomain }, svid.id);
  const chain = reads.chainOf(instanceId);
  const instance = chain.at(-1);
  const { sha256 } = svid.leaf;
  // Those below whoever was stopped, and those of a stopped owner, need not be marked themselves.
  const issued = reads.findStoppedSvid(sha256) ?? reads.findSvid(sha256);
  const isIssued = issued?.instanceId === instanceId && instance?.spiffeId === svid.id;
  if (!isIssued || instance.kind !== "agent" || chain.some(({ expiresAt }) => now >= expiresAt))
    return undefined;
  return { svid, instance, chain };
}

/**
 * Whether somebody stopped an agent, its ancestors or its owner.
 *
 * @throws TrustWardenError `instance_unknown` or `identity_expired`.
 */
export function isStoppedAgent(
  { reads }: Pick<PeerServices, "reads">,
  { instanceId }: Pick<AgentPrincipal, "instanceId">,
  now: number,
): boolean {
  try {
    requireLiveChain(reads, instanceId, now);
    return false;
  } catch (error) {
    if (error instanceof TrustWardenError && error.code === "identity_revoked") return true;
    throw error;
  }
}

/**
 * The instance that a SPIFFE ID names, or that a foreign one was registered as; alive or not.
 *
 * @throws TrustWardenError `foreign_agent_unknown`, `svid_bearer_refused`.
 */
export function instanceIdOfSpiffeId(
  { reads, trustDomain }: Pick<PeerServices, "reads" | "trustDomain">,
  id: SpiffeId,
): string {
  if (trustDomainOf(id) !== trustDomain) {
    const registered = reads.findForeignInstance(id);
    if (registered === undefined) throw new TrustWardenError("foreign_agent_unknown", { spiffe_id: id });
    return registered;
  }
  const instanceId = instanceIdOf(id);
  // A class SVID names many instances: nobody could say which of them did it.
  if (instanceId === undefined) throw new TrustWardenError("svid_bearer_refused", { spiffe_id: id });
  return instanceId;
}

/**
 * The chain of an instance, every link and the owner alive.
 *
 * @throws TrustWardenError `instance_unknown`, `identity_revoked` or `identity_expired`.
 */
export function requireLiveChain(
  reads: Pick<StoreReads, "chainOf" | "findOwner">,
  instanceId: string,
  now: number,
): readonly InstanceState[] {
  const chain = reads.chainOf(instanceId);
  if (chain.at(-1)?.instanceId !== instanceId) throw new TrustWardenError("instance_unknown");
  for (const { instanceId: id, isRevoked, expiresAt } of chain) {
    if (isRevoked) throw new TrustWardenError("identity_revoked", { instance_id: id });
    if (now >= expiresAt) throw new TrustWardenError("identity_expired", { instance_id: id, expiresAt, now });
  }
  const ownerId = chain[0]?.ownerId ?? null;
  if (ownerId !== null) requireLiveOwner({ reads }, ownerId);
  return chain;
}

/** @throws TrustWardenError `identity_revoked`. */
export function requireLiveOwner(
  { reads }: { readonly reads: Pick<StoreReads, "findOwner"> },
  ownerId: string,
): void {
  if (reads.findOwner(ownerId)?.isRevoked === false) return;
  throw new TrustWardenError("identity_revoked", { owner_id: ownerId });
}

/** The principal of a live agent. @throws TrustWardenError `principal_refused` when it is no agent. */
export function agentOf({ svid, chain }: LivePeer): AgentPrincipal {
  return agentOfChain(chain, svid.leaf.sha256);
}

/**
 * The principal of a live agent that somebody else asks about: nobody showed an SVID.
 *
 * @throws TrustWardenError `principal_refused` when it is no agent.
 */
export function agentWithoutSvid(chain: readonly InstanceState[]): AgentPrincipal {
  return agentOfChain(chain, "");
}

/**
 * The principal of a live chain's last instance, proven by an SVID of another form than X.509.
 *
 * @param proven.svidSha256 - of what the issuer signed.
 * @throws TrustWardenError `principal_refused` when it is no agent, `instance_unknown` when it is not the SVID's.
 */
export function agentOfToken(proven: {
  readonly spiffeId: SpiffeId;
  readonly svidSha256: string;
  readonly chain: readonly InstanceState[];
}): AgentPrincipal {
  const { spiffeId, svidSha256, chain } = proven;
  if (chain.at(-1)?.spiffeId !== spiffeId) {
    throw new TrustWardenError("instance_unknown", { spiffe_id: spiffeId });
  }
  return agentOfChain(chain, svidSha256);
}

function agentOfChain(chain: readonly InstanceState[], svidSha256: string): AgentPrincipal {
  const instance = chain.at(-1);
  const { agentId = null, ownerId = null } = instance ?? {};
  if (instance?.kind !== "agent" || agentId === null || ownerId === null) {
    throw new TrustWardenError("principal_refused", { kind: instance?.kind ?? "none" });
  }
  const spiffeId = parseSpiffeId(instance.spiffeId);
  return {
    kind: "agent",
    spiffeId,
    agentId,
    instanceId: instance.instanceId,
    ownerId,
    svidSha256,
    custody: instance.custody,
    attested: instance.attested,
    ...(instanceIdOf(spiffeId) === undefined ? ({ isForeign: true } as const) : {}),
    chain: chain.map((link) => ({
      agentId: link.agentId ?? "",
      instanceId: link.instanceId,
      spiffeId: link.spiffeId,
      scope: link.scope,
    })),
  };
}

/** The principal of a live verifier. @throws TrustWardenError `principal_refused` when it is none. */
export function verifierOf({ svid, instance }: LivePeer): VerifierPrincipal {
  if (instance.kind !== "verifier") throw new TrustWardenError("principal_refused", { kind: instance.kind });
  return {
    kind: "verifier",
    spiffeId: instance.spiffeId,
    instanceId: instance.instanceId,
    name: instance.name,
    svidSha256: svid.leaf.sha256,
  };
}

/** The principal of a live node. @throws TrustWardenError `principal_refused` when it is none. */
export function nodeOf({ svid, instance }: LivePeer): NodePrincipal {
  if (instance.kind !== "node") throw new TrustWardenError("principal_refused", { kind: instance.kind });
  return {
    kind: "node",
    spiffeId: instance.spiffeId,
    instanceId: instance.instanceId,
    name: instance.name,
    svidSha256: svid.leaf.sha256,
  };
}
