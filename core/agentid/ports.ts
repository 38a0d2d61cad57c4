/** What AgentID asks of the outside; everything else is an argument. */
import type { TrustDomain } from "./spiffe-id.ts";
import type { TrustBundle } from "./trust-bundle.ts";

/**
 * Finds the bundle of one trust domain. A `ReadonlyMap` is one; a server's may follow federation as bundles change.
 * There is no way to ask for "all authorities": an SVID is proven against its own trust domain only.
 *
 * @see SPIFFE Trust Domain and Bundle §3; Workload API §4.6
 */
export interface BundleSource {
  get(trustDomain: TrustDomain): TrustBundle | undefined;
}
