/**
 * The rules that a SPIFFE leaf and a SPIFFE authority must meet, apart from who signed them and when.
 *
 * Used by the verifier on what others present and by the issuer on what it just made.
 *
 * @see X509-SVID §2 to §5
 */
import { isEqualBytes } from "../bytes.ts";
import { TrustWardenError } from "../error.ts";
import { type Certificate, isEmptyName, isSignedBy } from "./certificate.ts";
import { OID } from "./certificate-oids.ts";
import { formatSpiffeId, parseSpiffeId, pathOf, type SpiffeId, type TrustDomain } from "./spiffe-id.ts";

/**
 * Requires the leaf profile and returns the one SPIFFE ID. The common name is never read.
 *
 * @throws TrustWardenError `svid_malformed`: not exactly one URI, not a workload's SPIFFE ID, able to sign
 *   certificates, or key usages that the profile forbids.
 * @see X509-SVID §2, §3.1, §4.1, §4.3, §4.4, §5.2
 */
export function requireLeafProfile(leaf: Certificate): SpiffeId {
  const [uri, ...others] = leaf.uris;
  if (uri === undefined || others.length > 0) throw malformed("exactly one URI expected");
  const id = parseUri(uri);
  if (pathOf(id) === "") throw malformed("no path");
  if (isEmptyName(leaf.subject) && !leaf.isSanCritical) throw malformed("subject empty, name not critical");
  if (leaf.isCa) throw malformed("leaf is an authority");
  const { keyUsage } = leaf;
  if (keyUsage?.isCritical !== true) throw malformed("no critical key usage");
  if (!keyUsage.digitalSignature) throw malformed("no digitalSignature");
  if (keyUsage.keyCertSign || keyUsage.cRLSign) throw malformed("leaf may sign certificates or CRLs");
  if (!isForBothTlsRoles(leaf)) throw malformed("extended key usage");
  return id;
}

/**
 * Requires that a certificate may issue for a trust domain with `depth` intermediates below it.
 *
 * @throws TrustWardenError `svid_untrusted`.
 * @see X509-SVID §3.2, §4; RFC 5280 §6.1.4
 */
export function requireAuthorityProfile(
  authority: Certificate,
  trustDomain: TrustDomain,
  depth: number,
): void {
  if (!authority.isCa) throw untrusted("issuer is not an authority");
  if (!authority.isBasicConstraintsCritical) throw untrusted("basic constraints not critical");
  if (authority.keyUsage?.isCritical !== true) throw untrusted("issuer without critical key usage");
  if (!authority.keyUsage.keyCertSign) throw untrusted("issuer without keyCertSign");
  if (authority.pathLen !== undefined && depth > authority.pathLen) throw untrusted("path length");
  if (!isForBothTlsRoles(authority)) throw untrusted("issuer's extended key usage");
  // An authority may go without a SPIFFE ID, but it may not carry a workload's or another trust domain's.
  const own = formatSpiffeId(trustDomain, []);
  if (authority.uris.some((uri) => uri !== own)) throw untrusted("issuer of another trust domain");
}

/**
 * Requires that `issuer` signed `certificate` and is the one that it names.
 *
 * @throws TrustWardenError `svid_untrusted`.
 * @see RFC 5280 §6.1.3
 */
export function requireIssuedBy(certificate: Certificate, issuer: Certificate): void {
  if (!isNamedIssuer(certificate, issuer)) throw untrusted("issuer's name or key identifier");
  if (!isSignedBy(certificate, issuer)) throw untrusted("signature");
}

/** Whether `certificate` names `issuer`, by name and, where both carry one, by key identifier. */
export function isNamedIssuer(certificate: Certificate, issuer: Certificate): boolean {
  if (!isEqualBytes(certificate.issuer, issuer.subject)) return false;
  return (
    certificate.aki === undefined || issuer.ski === undefined || isEqualBytes(certificate.aki, issuer.ski)
  );
}

/**
 * Requires an instant within the certificate's validity; no leeway, because issuers backdate `notBefore`.
 *
 * @param now - Unix seconds; anything that is not a number is outside.
 * @throws TrustWardenError `svid_expired` from `notAfter` on, `svid_not_yet_valid` before `notBefore`.
 */
export function requireValidAt({ notBefore, notAfter, serialHex }: Certificate, now: number): void {
  if (!(now < notAfter)) throw new TrustWardenError("svid_expired", { notAfter, now, serial: serialHex });
  if (!(now >= notBefore))
    throw new TrustWardenError("svid_not_yet_valid", { notBefore, now, serial: serialHex });
}

function isForBothTlsRoles({ extKeyUsage }: Certificate): boolean {
  return (
    extKeyUsage === undefined ||
    (extKeyUsage.includes(OID.serverAuth) && extKeyUsage.includes(OID.clientAuth))
  );
}

function parseUri(uri: string): SpiffeId {
  try {
    return parseSpiffeId(uri);
  } catch (cause) {
    throw new TrustWardenError("svid_malformed", { reason: "not a SPIFFE ID" }, { cause });
  }
}

function malformed(reason: string): TrustWardenError {
  return new TrustWardenError("svid_malformed", { reason });
}

function untrusted(reason: string): TrustWardenError {
  return new TrustWardenError("svid_untrusted", { reason });
}
