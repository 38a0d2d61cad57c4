/** Whose a request is, once its caller is proven: of its owner, and within that of the agent or person itself. */
import type { Socket } from "node:net";
import { encodeBase64url } from "@trustwarden/core/bytes.ts";
import { sha256 } from "@trustwarden/core/crypto.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { type AgentPrincipal, formatPrincipal, type Principal } from "@trustwarden/core/principal.ts";
import type { RequestFlow } from "../intake/request-places.ts";
import type { InstanceState, StoreReads } from "../store/ports.ts";
import type { Caller } from "./caller.ts";
import { requireLiveChain } from "./peer.ts";
import { peerChainOf } from "./peer-chain.ts";

type Reads = Pick<StoreReads, "findSvid" | "chainOf" | "findOwner">;

/** The flow of a caller; undefined for those who stay with their address. */
export function flowOfCaller(caller: Caller): RequestFlow | undefined {
  if ("enrolment" in caller) {
    const owner = caller.enrolment.document?.ownerId;
    return typeof owner === "string" ? { owner, agent: "enrolling" } : undefined;
  }
  return flowOf(caller.principal);
}

/** Whose a connection is before its first request, as far as its handshake says. @see `flowOfLeaf` */
export function flowOfPeer(
  { reads, clock }: { readonly reads: Reads; readonly clock: { trustedSeconds(): number } },
  socket: Socket,
): RequestFlow | undefined {
  const leaf = leafOf(socket);
  if (leaf === undefined) return undefined;
  try {
    return flowOfLeaf(reads, leaf, clock.trustedSeconds());
  } catch (error) {
    // Safe: with a clock that was set back everybody is a stranger here, and the path refuses what expires.
    if (!(error instanceof TrustWardenError)) throw error;
    return undefined;
  }
}

/**
 * Whose a certificate is: the instance's to which this server issued it, whose key the handshake proved. Decides nothing but whose
 * places a request takes: else the first request of everybody's new connection would be the same stranger's. One that has ended
 * or was revoked is a stranger's: whoever stole it takes no place of those whose it was.
 *
 * @param leaf - DER.
 * @param now - Unix seconds.
 */
export function flowOfLeaf(reads: Reads, leaf: Uint8Array, now: number): RequestFlow | undefined {
  const issued = reads.findSvid(encodeBase64url(sha256(leaf)));
  if (issued === undefined || now >= issued.notAfter) return undefined;
  const instance = liveInstance(reads, issued.instanceId, now);
  if (instance === undefined) return undefined;
  const { spiffeId, ownerId, agentId } = instance;
  return { owner: ownerId ?? spiffeId, agent: agentId ?? spiffeId, principal: spiffeId };
}

function liveInstance(reads: Reads, instanceId: string, now: number): InstanceState | undefined {
  try {
    return requireLiveChain(reads, instanceId, now).at(-1);
  } catch (error) {
    // Safe: what was stopped is refused on the path, at a stranger's cost.
    if (!(error instanceof TrustWardenError)) throw error;
    return undefined;
  }
}

/** The chain is read once for each socket, so this is what authentication finds read. */
function leafOf(socket: Socket): Uint8Array | undefined {
  try {
    return peerChainOf(socket)[0];
  } catch {
    // Safe: without a certificate, or with an odd chain, it is a stranger, who is refused where proof is asked for.
    return undefined;
  }
}

/** All instances of an agent are one, and gain nothing by being many. */
export function flowOfAgent({ ownerId, agentId, spiffeId }: AgentPrincipal): RequestFlow {
  return { owner: ownerId, agent: agentId, principal: spiffeId };
}

function flowOf(principal: Principal): RequestFlow | undefined {
  const name = formatPrincipal(principal);
  switch (principal.kind) {
    case "agent":
      return flowOfAgent(principal);
    case "owner":
      return { owner: principal.ownerId, agent: name, principal: name };
    case "person":
      return { owner: principal.ownerId ?? name, agent: name, principal: name };
    case "verifier":
    case "node":
      return { owner: name, agent: name, principal: name };
    case "enrollee":
    case "operator":
      return undefined;
  }
}
