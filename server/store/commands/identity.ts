/** What a holder is told about its identity, at birth and at each renewal. */
import type { InstanceState, IssuedIdentity } from "../ports.ts";
import type { LeafSvid } from "./svid.ts";

export function formatIdentity(options: {
  readonly instance: InstanceState;
  readonly svid: LeafSvid;
  readonly chain: readonly string[];
  readonly isShortened: boolean;
}): IssuedIdentity {
  const { instance, svid, chain, isShortened } = options;
  return {
    spiffeId: instance.spiffeId,
    agentId: instance.agentId,
    instanceId: instance.instanceId,
    ownerId: instance.ownerId,
    path: instance.path,
    name: instance.name,
    scope: instance.scope,
    limits: instance.limits,
    chain,
    svidChain: svid.chain,
    svidExpiresAt: svid.expiresAt,
    instanceExpiresAt: instance.expiresAt,
    classSvidChain: null,
    ttlShortened: isShortened,
  };
}
