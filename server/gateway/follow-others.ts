/**
 * What the gateway remembers of the state beside its copy, brought up to what other servers that share the store wrote.
 *
 * Registrations, pins, budgets and secrets are held ready for each call. Before a call is planned its server asks for what was
 * committed before (`readNewest`), and whatever of it another server changed is read anew in the step in which the copy has
 * it, so that a call is planned on what its caller may know. What runs on a registration, a token or a secret that another
 * server took away is cut in the same step.
 *
 * @see docs/decisions/0102
 */
import type { IncomingMessage } from "node:http";
import { verifyPeerSvid } from "../http/peer.ts";
import type { Services } from "../http/services.ts";
import { requireNewest } from "../shared/sharing.ts";
import type { GatewayParts } from "./gateway.ts";

/** Takes a registration into force that was set or taken away, here or elsewhere. @returns how many running calls it cut. */
export function followUpstreams({ gateway, mcp }: Pick<Services, "mcp"> & FollowedParts): number {
  const { upstreams, calls, connections } = gateway;
  const changed = upstreams.reload();
  for (const name of changed) mcp.catalogues.forget(name);
  if (changed.size > 0) mcp.stdio.end(({ upstream }) => !changed.has(upstream));
  const cut = calls.cutStale((upstream) => upstreams.isCurrent(upstream));
  connections.drop((upstream) => upstreams.isCurrent(upstream));
  return cut;
}

/** @param tables - in which others changed something; null where it may be any. */
export function followGateway(services: Services, tables: readonly string[] | null): void {
  const isIn = (...names: readonly string[]): boolean =>
    tables === null || tables.some((table) => names.includes(table));
  if (isIn("upstreams")) followUpstreams(services);
  if (isIn("mcp_pins")) services.mcp.catalogues.readAgain();
  if (isIn("budgets")) services.budgets.readAgain();
  if (isIn("secrets", "secret_versions")) services.broker.follow();
  // A token ends without an epoch, so no push of the feed asks the calls that run with it.
  if (isIn("access_tokens")) services.gateway.calls.cutPresented();
}

/**
 * Returns when this server may plan a call on what it knows. Who shows nothing does not get to ask the store, and is refused on the
 * path; a token is looked at there too, so that whoever writes one asks, though all who ask at once cost one way to the store.
 *
 * @throws TrustWardenError `store_unavailable`.
 */
export async function readNewest(
  services: Services,
  request: Pick<IncomingMessage, "headers" | "socket">,
): Promise<void> {
  if (!services.sharing.isShared || !isSomebody(services, request)) return;
  await requireNewest(services);
  await services.broker.followed();
}

interface FollowedParts {
  readonly gateway: Pick<GatewayParts, "upstreams" | "calls" | "connections">;
}

function isSomebody(
  services: Services,
  { headers, socket }: Pick<IncomingMessage, "headers" | "socket">,
): boolean {
  if (headers.authorization !== undefined) return true;
  try {
    verifyPeerSvid(services, socket, services.clock.trustedSeconds());
    return true;
  } catch {
    // Safe to go on: the same check refuses the call on the path, and records it.
    return false;
  }
}
