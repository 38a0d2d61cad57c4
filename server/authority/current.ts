/**
 * The authority as it stands now, for everybody who reads it: never kept, asked for each time, because an operator may
 * change it while the server runs.
 */
import type { BundleSource } from "@trustwarden/core/agentid/ports.ts";
import type { CaCertificate } from "@trustwarden/core/agentid/svid-profile.ts";
import { digestOfAuthorities, type TrustBundle } from "@trustwarden/core/agentid/trust-bundle.ts";

/** The public side of an authority at one sequence number. */
export interface CurrentAuthority {
  readonly bundle: TrustBundle;
  /** What tickets pin. */
  readonly authoritiesSha256: string;
  /** Issues the leaves. */
  readonly intermediate: CaCertificate;
  /** Key identifiers, hex, of the intermediates whose SVIDs must be renewed now. */
  readonly renew: readonly string[];
}

/** Owns the authority of the moment; the same object until it changes. */
export class AuthorityView {
  /** Its bundle, by trust domain. */
  readonly bundles: BundleSource;
  #current: CurrentAuthority;

  constructor(first: Omit<CurrentAuthority, "authoritiesSha256">) {
    this.#current = withDigest(first);
    this.bundles = {
      get: (trustDomain) =>
        trustDomain === this.#current.bundle.trustDomain ? this.#current.bundle : undefined,
    };
  }

  current(): CurrentAuthority {
    return this.#current;
  }

  /** What was read before this returns is not used for anything that begins after it. */
  replace(next: Omit<CurrentAuthority, "authoritiesSha256">): void {
    this.#current = withDigest(next);
  }
}

function withDigest(authority: Omit<CurrentAuthority, "authoritiesSha256">): CurrentAuthority {
  return { ...authority, authoritiesSha256: digestOfAuthorities(authority.bundle) };
}
