/**
 * The authority as it stands now, for everybody who reads it: never kept, asked for each time, because an operator may
 * change it while the server runs.
 */
import type { CaCertificate } from "@trustwarden/core/agentid/svid-profile.ts";
import type { TrustBundle } from "@trustwarden/core/agentid/trust-bundle.ts";

/** The public side of an authority at one sequence number, which is its bundle's. */
export interface CurrentAuthority {
  readonly bundle: TrustBundle;
  /** What tickets pin. */
  readonly authoritiesSha256: string;
  /** Issues the leaves. */
  readonly intermediate: CaCertificate;
  /** Key identifiers, hex, of the intermediates whose SVIDs must be renewed now. */
  readonly renew: readonly string[];
  /** Envelopes that lead from the sets of roots of before to the present one. */
  readonly successions: readonly string[];
}
