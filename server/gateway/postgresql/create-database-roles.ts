/** The roles of databases of what the server is made of. */
import { parseActionName } from "@trustwarden/core/action.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { isCovered } from "@trustwarden/core/scope.ts";
import { requireLiveChain } from "../../http/peer.ts";
import type { Services } from "../../http/services.ts";
import { DatabaseRoles } from "./database-roles.ts";
import type { FoundRole } from "./roles.ts";

/** Not started yet; see `DatabaseRoles.start`. */
export function createDatabaseRoles(
  services: Pick<
    Services,
    "gateway" | "broker" | "reads" | "clock" | "ledger" | "serverSvid" | "random" | "log" | "sharing"
  > & {
    /** Whether this server does what one of several does for all; one that has its store alone found all at its start. */
    readonly isTending: () => boolean;
  },
): DatabaseRoles {
  const { gateway, broker, reads, clock, ledger, random, log } = services;
  return new DatabaseRoles({
    upstreams: gateway.upstreams,
    lookupFor: (upstream) => gateway.connections.lookupFor(upstream),
    broker,
    catchUp: () => services.sharing.catchUp(),
    isTending: services.isTending,
    mayHave: (role) => mayHave(services, role),
    deployment: () => services.serverSvid().spiffeId,
    record: (draft, by) =>
      ledger.recordControl(draft, { nowMs: clock.nowMs(), intent: null, epoch: reads.epoch(), ...by }),
    nowMs: () => clock.nowMs(),
    random,
    warn: (facts, message) => log.warn(facts, message),
  });
}

function mayHave(
  { reads, clock }: Pick<Services, "reads" | "clock">,
  { instanceId, upstream, template }: Pick<FoundRole, "instanceId" | "upstream" | "template">,
): boolean {
  try {
    const action = parseActionName(`issue:database:${upstream}/${template}`);
    const chain = requireLiveChain(reads, instanceId, clock.trustedSeconds());
    return chain.every(({ scope }) => isCovered(scope, action));
  } catch (error) {
    // Safe: whoever cannot be shown to be alive loses its role, and nothing more.
    if (error instanceof TrustWardenError) return false;
    throw error;
  }
}
