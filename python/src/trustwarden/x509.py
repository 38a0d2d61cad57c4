"""X.509-SVIDs: certificates read strictly from DER, and chains proven against the bundle of their own trust domain.

Our own path validation, not the TLS library's: that one keeps a single pooled list of roots, so any federated trust
domain could speak for any other, and it accepts leaves with two URIs or none. Only version 3 with P-256 keys and
ecdsa-with-SHA256 is read.

See: X509-SVID §2 to §5; RFC 5280 §4.1, §6.1
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

from ._bytes import encode_base64url
from ._crypto import is_p256_signature, parse_p256_public_key, sha256
from ._der import (
    INTEGER,
    OID,
    SEQUENCE,
    SET,
    DerElement,
    der_malformed,
    parse_bit_string,
    parse_content,
    parse_der,
    parse_members,
    parse_oid,
    parse_positive_integer,
    parse_small_integer,
    parse_time,
)
from ._x509_extensions import CLIENT_AUTH, SERVER_AUTH, Extensions, parse_extensions
from .errors import TrustWardenError
from .spiffe import SpiffeId, TrustDomain, format_spiffe_id, parse_spiffe_id, path_of, trust_domain_of

if TYPE_CHECKING:
    from .bundle import TrustBundle

MAX_CHAIN = 4
"""Leaf, two intermediates and a root sent along; long chains cost time before anyone is authenticated."""
_MAX_SERIAL_BYTES = 20
_ECDSA_WITH_SHA256 = "1.2.840.10045.4.3.2"
# Keys and signatures that SPIFFE issuers also use, and we do not: RSA, the larger curves, Ed25519.
_OTHER_ALGORITHMS = frozenset(
    {
        "1.2.840.113549.1.1.1",
        "1.2.840.113549.1.1.10",
        "1.2.840.113549.1.1.11",
        "1.2.840.113549.1.1.12",
        "1.2.840.113549.1.1.13",
        "1.2.840.10045.4.3.3",
        "1.2.840.10045.4.3.4",
        "1.3.132.0.34",
        "1.3.132.0.35",
        "1.3.101.112",
    }
)


@dataclass(frozen=True)
class Certificate:
    """One well-formed certificate; nobody has checked its signature yet."""

    der: bytes
    tbs: bytes
    """The signed part."""
    signature: bytes
    """64 bytes r||s."""
    serial_hex: str
    issuer: bytes
    """DER of the issuer's name."""
    subject: bytes
    not_before: int
    """Unix seconds."""
    not_after: int
    """Unix seconds; the certificate is expired from this second on."""
    public_key: EllipticCurvePublicKey
    spki: bytes
    """SubjectPublicKeyInfo DER."""
    sha256: str
    """base64url of SHA-256 over `der`: the `svid_sha256` and `keyid` of records."""
    extensions: Extensions


@dataclass(frozen=True)
class X509Svid:
    """A proven X.509-SVID."""

    id: SpiffeId
    leaf: Certificate
    chain: tuple[Certificate, ...]
    """What the peer presented, leaf first."""


def parse_certificate(der: bytes) -> Certificate:
    """The certificate in untrusted DER.

    Raises: TrustWardenError `svid_key_refused` for a good key or signature of a kind that we do not use,
    `svid_malformed` for anything but strict DER, above 16 KiB, for a repeated extension or an unknown critical one.
    """
    try:
        return _parse_fields(bytes(der))
    except TrustWardenError as cause:
        if cause.code == "svid_key_refused":
            raise
        raise TrustWardenError("svid_malformed", {"reason": cause.details.get("reason", cause.code)}) from cause


@lru_cache(maxsize=64)
def _parse_issuer(der: bytes) -> Certificate:
    """A few intermediates issue for a whole trust domain: each is read once. Only the reading is remembered."""
    return parse_certificate(der)


def verify_x509_svid(chain_der: Sequence[bytes], bundles: Mapping[TrustDomain, TrustBundle], now: float) -> X509Svid:
    """Proves an X.509-SVID against the bundle of its own trust domain.

    `chain_der` is leaf first, then each certificate's issuer; the root itself may be left out. `now` is Unix seconds.

    Raises: TrustWardenError `no_svid` for an empty chain, `svid_malformed`, `svid_key_refused`, `trust_domain_unknown`,
    `svid_untrusted`, `authority_revoked`, `svid_expired` or `svid_not_yet_valid`.
    """
    if len(chain_der) > MAX_CHAIN:
        raise TrustWardenError("svid_malformed", {"reason": "chain too long"})
    if not chain_der:
        raise TrustWardenError("no_svid")
    chain = (parse_certificate(chain_der[0]), *(_parse_issuer(bytes(der)) for der in chain_der[1:]))
    spiffe_id = require_leaf_profile(chain[0])
    bundle = bundles.get(trust_domain_of(spiffe_id))
    if bundle is None or bundle.trust_domain != trust_domain_of(spiffe_id):
        raise TrustWardenError("trust_domain_unknown", {"trustDomain": trust_domain_of(spiffe_id)})
    path, rest = _require_anchored(chain, bundle)
    for certificate in rest:
        # A peer may send its authorities along; anything else behind the proof has no business there.
        if all(authority.der != certificate.der for authority in bundle.x509_authorities):
            raise _untrusted("chain goes on behind its authority")
    _require_unrevoked(path, bundle)
    for certificate in path:
        _require_valid_at(certificate, now)
    return X509Svid(spiffe_id, chain[0], chain)


def require_leaf_profile(leaf: Certificate) -> SpiffeId:
    """Requires the leaf profile and returns the one SPIFFE ID. The common name is never read.

    Raises: TrustWardenError `svid_malformed`. See X509-SVID §2, §3.1, §4.1, §4.3, §4.4, §5.2.
    """
    extensions = leaf.extensions
    if len(extensions.uris) != 1:
        raise _malformed("exactly one URI expected")
    spiffe_id = _parse_uri(extensions.uris[0])
    if path_of(spiffe_id) == "":
        raise _malformed("no path")
    if len(leaf.subject) == 2 and not extensions.is_san_critical:
        raise _malformed("subject empty, name not critical")
    if extensions.is_ca:
        raise _malformed("leaf is an authority")
    usage = extensions.key_usage
    if usage is None or not usage.is_critical:
        raise _malformed("no critical key usage")
    if not usage.digital_signature:
        raise _malformed("no digitalSignature")
    if usage.key_cert_sign or usage.crl_sign:
        raise _malformed("leaf may sign certificates or CRLs")
    if not _is_for_both_tls_roles(leaf):
        raise _malformed("extended key usage")
    return spiffe_id


def is_signed_by(certificate: Certificate, issuer: Certificate) -> bool:
    """Whether `issuer`'s key signed `certificate`; says nothing about whether it was allowed to."""
    return is_p256_signature(issuer.public_key, certificate.tbs, certificate.signature)


def key_identifier_of(spki: bytes) -> str:
    """The identifier of a P-256 key, lower-case hex: the first 20 bytes of the SHA-256 of its point."""
    return sha256(spki[-65:])[:20].hex()


def _require_anchored(
    chain: Sequence[Certificate], bundle: TrustBundle
) -> tuple[Sequence[Certificate], Sequence[Certificate]]:
    """Walks up the presented chain until an authority of the bundle signed the certificate at hand."""
    for index, certificate in enumerate(chain):
        for authority in bundle.x509_authorities:
            if _is_named_issuer(certificate, authority) and is_signed_by(certificate, authority):
                _require_authority_profile(authority, bundle.trust_domain, index)
                return (*chain[: index + 1], authority), chain[index + 1 :]
        if index + 1 == len(chain):
            break
        issuer = chain[index + 1]
        _require_authority_profile(issuer, bundle.trust_domain, index)
        if not _is_named_issuer(certificate, issuer):
            raise _untrusted("issuer's name or key identifier")
        if not is_signed_by(certificate, issuer):
            raise _untrusted("signature")
    raise _untrusted("no authority of the bundle signed the chain")


def _require_authority_profile(authority: Certificate, trust_domain: TrustDomain, depth: int) -> None:
    """Requires that a certificate may issue for a trust domain with `depth` intermediates below it."""
    extensions = authority.extensions
    usage = extensions.key_usage
    if not extensions.is_ca:
        raise _untrusted("issuer is not an authority")
    if not extensions.is_basic_constraints_critical:
        raise _untrusted("basic constraints not critical")
    if usage is None or not usage.is_critical:
        raise _untrusted("issuer without critical key usage")
    if not usage.key_cert_sign:
        raise _untrusted("issuer without keyCertSign")
    if extensions.path_len is not None and depth > extensions.path_len:
        raise _untrusted("path length")
    if not _is_for_both_tls_roles(authority):
        raise _untrusted("issuer's extended key usage")
    # An authority may go without a SPIFFE ID, but it may not carry a workload's or another trust domain's.
    if any(uri != format_spiffe_id(trust_domain, []) for uri in extensions.uris):
        raise _untrusted("issuer of another trust domain")


def _require_unrevoked(path: Sequence[Certificate], bundle: TrustBundle) -> None:
    """By the key itself, not by what a certificate says of it: a second certificate of a revoked key counts no more."""
    for certificate in path:
        if bundle.revoked_authorities and key_identifier_of(certificate.spki) in bundle.revoked_authorities:
            raise TrustWardenError("authority_revoked", {"id": key_identifier_of(certificate.spki)})


def _require_valid_at(certificate: Certificate, now: float) -> None:
    # Negated, so that a reading that is not a number refuses; no leeway, because issuers backdate.
    details = {"serial": certificate.serial_hex, "now": now}
    if not now < certificate.not_after:
        raise TrustWardenError("svid_expired", details)
    if not now >= certificate.not_before:
        raise TrustWardenError("svid_not_yet_valid", details)


def _is_named_issuer(certificate: Certificate, issuer: Certificate) -> bool:
    if certificate.issuer != issuer.subject:
        return False
    aki, ski = certificate.extensions.aki, issuer.extensions.ski
    return aki is None or ski is None or aki == ski


def _is_for_both_tls_roles(certificate: Certificate) -> bool:
    purposes = certificate.extensions.ext_key_usage
    return purposes is None or (SERVER_AUTH in purposes and CLIENT_AUTH in purposes)


def _parse_uri(uri: str) -> SpiffeId:
    try:
        return parse_spiffe_id(uri)
    except TrustWardenError as cause:
        raise _malformed("not a SPIFFE ID") from cause


def _parse_fields(der: bytes) -> Certificate:
    outer = parse_members(parse_der(der), SEQUENCE)
    if len(outer) != 3:
        raise der_malformed("certificate")
    members = parse_members(outer[0], SEQUENCE)
    if not 7 <= len(members) <= 8:
        raise der_malformed("tbs certificate")
    version, serial, inner_algorithm, issuer, validity, subject, spki = members[:7]
    _require_version_3(version)
    _require_ecdsa_with_sha256(inner_algorithm)
    _require_ecdsa_with_sha256(outer[1])
    _require_our_kind(spki)
    extensions = parse_extensions(members[7] if len(members) == 8 else None)
    signature = _parse_signature(parse_bit_string(outer[2]))
    serial_hex = _parse_serial(serial)
    _require_name(issuer)
    _require_name(subject)
    not_before, not_after = _parse_validity(validity)
    return Certificate(
        der=der,
        tbs=outer[0].raw,
        signature=signature,
        serial_hex=serial_hex,
        issuer=issuer.raw,
        subject=subject.raw,
        not_before=not_before,
        not_after=not_after,
        public_key=parse_p256_public_key(spki.raw),
        spki=spki.raw,
        sha256=encode_base64url(sha256(der)),
        extensions=extensions,
    )


def _require_version_3(explicit: DerElement) -> None:
    members = parse_members(explicit, 0xA0)
    if parse_small_integer(members[0] if members else None) != 2 or len(members) > 1:
        raise der_malformed("version")


def _require_ecdsa_with_sha256(algorithm: DerElement) -> None:
    members = parse_members(algorithm, SEQUENCE)
    name = parse_oid(members[0] if members else None)
    _refuse_other(name)
    if name != _ECDSA_WITH_SHA256 or len(members) > 1:
        raise der_malformed("signature algorithm")


def _require_our_kind(spki: DerElement) -> None:
    """Tells an issuer that is set up otherwise from a broken certificate; the key's own parser judges what is left."""
    members = parse_members(spki, SEQUENCE)
    algorithm = parse_members(members[0] if members else None, SEQUENCE)
    _refuse_other(parse_oid(algorithm[0] if algorithm else None))
    if len(algorithm) > 1 and algorithm[1].tag == OID:
        _refuse_other(parse_oid(algorithm[1]))


def _refuse_other(algorithm: str) -> None:
    if algorithm in _OTHER_ALGORITHMS:
        raise TrustWardenError("svid_key_refused", {"algorithm": algorithm})


def _parse_signature(der: bytes) -> bytes:
    """The 64-byte r||s form of an untrusted DER signature (RFC 3279 §2.2.3)."""
    members = parse_members(parse_der(der), SEQUENCE)
    if len(members) != 2:
        raise der_malformed("signature")
    scalars = [parse_positive_integer(member) for member in members]
    if any(len(scalar) > 32 for scalar in scalars):
        raise der_malformed("signature scalar")
    return b"".join(scalar.rjust(32, b"\x00") for scalar in scalars)


def _parse_serial(serial: DerElement) -> str:
    magnitude = parse_positive_integer(serial)
    if len(parse_content(serial, INTEGER)) > _MAX_SERIAL_BYTES:
        raise der_malformed("serial length")
    return magnitude.hex()


def _require_name(name: DerElement) -> None:
    """Checks the shape of a Name; names are compared as bytes and never shown."""
    for relative in parse_members(name, SEQUENCE):
        attributes = parse_members(relative, SET)
        if not attributes:
            raise der_malformed("name")
        for attribute in attributes:
            members = parse_members(attribute, SEQUENCE)
            parse_oid(members[0] if members else None)
            if len(members) != 2:
                raise der_malformed("name")


def _parse_validity(validity: DerElement) -> tuple[int, int]:
    members = parse_members(validity, SEQUENCE)
    if len(members) != 2:
        raise der_malformed("validity")
    not_before, not_after = parse_time(members[0]), parse_time(members[1])
    if not_before > not_after:
        raise der_malformed("validity ends before it begins")
    return not_before, not_after


def _malformed(reason: str) -> TrustWardenError:
    return TrustWardenError("svid_malformed", {"reason": reason})


def _untrusted(reason: str) -> TrustWardenError:
    return TrustWardenError("svid_untrusted", {"reason": reason})
