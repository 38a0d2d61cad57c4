/**
 * Verifies the X.509-SVID of a peer from its raw chain.
 *
 * Our own path validation, not the TLS library's: that one keeps a single pooled list of roots, so any federated
 * trust domain could speak for any other, and it accepts leaves with two URIs or none.
 *
 * @see X509-SVID §5; RFC 5280 §6.1
 */
import { encodeHex, isEqualBytes } from "../bytes.ts";
import { TrustWardenError } from "../error.ts";
import { type Certificate, isSignedBy, parseCertificate } from "./certificate.ts";
import type { BundleSource } from "./ports.ts";
import { ProvenIssuers } from "./proven-issuers.ts";
import { type SpiffeId, type TrustDomain, trustDomainOf } from "./spiffe-id.ts";
import {
  isNamedIssuer,
  requireAuthorityProfile,
  requireIssuedBy,
  requireLeafProfile,
  requireValidAt,
} from "./svid-profile-check.ts";
import { keyIdentifierOf } from "./svid-profile-template.ts";
import { findBundle, type TrustBundle } from "./trust-bundle.ts";

/** Leaf, two intermediates and a root sent along; long chains cost CPU before anyone is authenticated. */
const MAX_CHAIN = 4;

/** A proven X.509-SVID. */
export interface X509Svid {
  readonly id: SpiffeId;
  readonly leaf: Certificate;
  /** What the peer presented, leaf first. */
  readonly chain: readonly Certificate[];
}

interface Anchored {
  /** The presented certificates that the proof uses, leaf first, and then the bundle's authority. */
  readonly path: readonly Certificate[];
  /** What was presented beyond them. */
  readonly rest: readonly Certificate[];
}

/**
 * Proves an X.509-SVID against the bundle of its own trust domain.
 *
 * @param chainDer - leaf first, then each certificate's issuer; the root itself may be left out.
 * @param now - Unix seconds.
 * @param issuers - those of chains that the caller proved before; nothing is remembered unless given.
 * @throws TrustWardenError `no_svid` for an empty chain, `svid_malformed`, `trust_domain_unknown`, `svid_untrusted`,
 *   `authority_revoked`, `svid_expired` or `svid_not_yet_valid`.
 * @see X509-SVID §5.1, §5.2
 */
export function verifyX509Svid(
  chainDer: readonly Uint8Array[],
  bundles: BundleSource | ReadonlyMap<TrustDomain, TrustBundle>,
  now: number,
  issuers = new ProvenIssuers(),
): X509Svid {
  if (chainDer.length > MAX_CHAIN) throw new TrustWardenError("svid_malformed", { reason: "chain too long" });
  const chain = chainDer.map((der) => issuers.find(der) ?? parseCertificate(der));
  const [leaf] = chain;
  if (leaf === undefined) throw new TrustWardenError("no_svid");
  const id = requireLeafProfile(leaf);
  const bundle = findBundle(bundles, trustDomainOf(id));
  const { path, rest } = requireAnchored(chain, bundle, issuers);
  requireKnown(rest, bundle);
  requireUnrevoked(path, bundle);
  for (const certificate of path) requireValidAt(certificate, now);
  return { id, leaf, chain };
}

/** Walks up the presented chain until an authority of the bundle signed the certificate at hand. */
function requireAnchored(
  chain: readonly Certificate[],
  bundle: TrustBundle,
  issuers: ProvenIssuers,
): Anchored {
  for (const [index, certificate] of chain.entries()) {
    const anchor = findAnchorAgain(certificate, bundle, issuers);
    if (anchor !== undefined) {
      requireAuthorityProfile(anchor, bundle.trustDomain, index);
      return { path: [...chain.slice(0, index + 1), anchor], rest: chain.slice(index + 1) };
    }
    const issuer = chain[index + 1];
    if (issuer === undefined) break;
    requireAuthorityProfile(issuer, bundle.trustDomain, index);
    requireIssuedBy(certificate, issuer);
  }
  throw new TrustWardenError("svid_untrusted", { reason: "no authority of the bundle signed the chain" });
}

function findAnchorAgain(
  certificate: Certificate,
  bundle: TrustBundle,
  issuers: ProvenIssuers,
): Certificate | undefined {
  const known = issuers.anchorOf(certificate, bundle);
  if (known !== undefined) return known;
  const anchor = findAnchor(certificate, bundle);
  if (anchor !== undefined) issuers.remember({ certificate, anchor, bundle });
  return anchor;
}

/** The authority of the bundle that signed a certificate, by name, key identifier and signature. */
export function findAnchor(certificate: Certificate, bundle: TrustBundle): Certificate | undefined {
  return bundle.x509Authorities.find(
    (authority) => isNamedIssuer(certificate, authority) && isSignedBy(certificate, authority),
  );
}

/** A peer may send its authorities along; anything else behind the proof has no business there. */
function requireKnown(rest: readonly Certificate[], bundle: TrustBundle): void {
  for (const certificate of rest) {
    if (!bundle.x509Authorities.some(({ der }) => isEqualBytes(der, certificate.der))) {
      throw new TrustWardenError("svid_untrusted", { reason: "chain goes on behind its authority" });
    }
  }
}

/** By the key itself, not by what a certificate says of it: a second certificate of a revoked key counts no more. */
function requireUnrevoked(path: readonly Certificate[], { revokedAuthorities }: TrustBundle): void {
  if (revokedAuthorities.size === 0) return;
  for (const { spki } of path) {
    const id = encodeHex(keyIdentifierOf(spki));
    if (revokedAuthorities.has(id)) throw new TrustWardenError("authority_revoked", { id });
  }
}
