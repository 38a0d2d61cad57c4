/** Where an identity lives: its server, and the ways to the services that it visits. */
import type { HeldEnrolment } from "./enrol.ts";
import { parseOrigin, readPinnedTrustDomain } from "./first-contact.ts";
import { PeerRoutesCache } from "./peer-routes.ts";
import type { Runtime } from "./runtime.ts";
import { connectServer, type TrustServer } from "./trust-server.ts";

export interface Place {
  readonly server: TrustServer;
  readonly routes: PeerRoutesCache;
  readonly runtime: Runtime;
}

/** A server as somebody names it who has no document of it. */
export interface PinnedServer {
  /** https origin of the server. */
  readonly server: string;
  /** Pins the trust domain's authorities: `authorities_sha256` in its `/.well-known/trustwarden`, as the operator reads it. */
  readonly authoritiesSha256: string;
}

/** @throws TrustWardenError `server_untrusted`, `server_unreachable`. */
export async function placeOf({ address }: Pick<HeldEnrolment, "address">, runtime: Runtime): Promise<Place> {
  const server = await connectServer(address, runtime);
  return { server, routes: new PeerRoutesCache({ server, runtime }), runtime };
}

/** @throws TrustWardenError `server_untrusted`, `server_unreachable`. */
export async function placeAt(
  { server: url, authoritiesSha256 }: PinnedServer,
  runtime: Runtime,
): Promise<Place> {
  const trustDomain = await readPinnedTrustDomain(parseOrigin(url), { authoritiesSha256 });
  return placeOf({ address: { url, authoritiesSha256, trustDomain } }, runtime);
}
