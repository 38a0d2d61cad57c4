"""The SVIDs that a log carries, by what its records call them, and the roots that they must lead to.

The certificates come from issue, renew and start events; an event vouches for nothing here. A chain counts when it
leads to a trust root, as of the time of the record that it signed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeGuard

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

from .._bytes import encode_base64url, parse_base64
from .._crypto import sha256
from .._json import Json, is_json_list
from ..bundle import TrustBundle, require_own_claims
from ..errors import TrustWardenError
from ..records import ControlRecord
from ..spiffe import parse_trust_domain, trust_domain_of
from ..x509 import parse_certificate, verify_x509_svid


@dataclass(frozen=True, slots=True)
class VerifiedCertificate:
    """A certificate whose chain leads to a trusted root."""

    spiffe_id: str
    sha256: str
    public_key: EllipticCurvePublicKey
    is_foreign: bool
    """Of a federated trust domain: it speaks for itself, never for this deployment."""
    not_before: int
    expires_at: int


class SvidDirectory:
    """Owns the chains seen so far, what was proven of them, and whom to believe for each trust domain."""

    def __init__(self, own: TrustBundle) -> None:
        # An intermediate that was revoked since was good when its records were logged; their place says when.
        self._own = replace(own, revoked_authorities=frozenset())
        self._bundles = {own.trust_domain: self._own}
        self._chains: dict[str, list[bytes]] = {}
        self._verified: dict[str, VerifiedCertificate] = {}

    def collect(self, control: ControlRecord) -> None:
        """Takes note of the chain that a control record carries, if it does.

        Raises: TrustWardenError `base64_malformed`.
        """
        chain = control.details.get("svid_chain")
        if _is_texts(chain) and chain:
            certificates = [parse_base64(text) for text in chain]
            self._chains[encode_base64url(sha256(certificates[0]))] = certificates

    def learn(self, control: ControlRecord) -> None:
        """Takes note of a federated trust domain's authorities, from a record that a server of ours signed.

        Raises: TrustWardenError `record_malformed`, `federation_bundle_refused`, or what a certificate is refused with.
        """
        details = control.details
        name, authorities = details.get("trust_domain"), details.get("x509_authorities", [])
        if not isinstance(name, str) or not _is_texts(authorities):
            raise TrustWardenError("record_malformed", {"reason": "federation"})
        if details.get("change") == "removal" or "x509_authorities" in details:
            self._learn(name, [parse_base64(text) for text in authorities])

    def verify(self, keyid: str, at: int) -> VerifiedCertificate:
        """The certificate with this digest, proven for an instant (Unix seconds).

        Raises: TrustWardenError `not_found` when the log does not carry it, or an `svid_` code.
        """
        known = self._verified.get(keyid)
        if known is not None and known.not_before <= at < known.expires_at:
            return known
        chain = self._chains.get(keyid)
        if chain is None:
            raise TrustWardenError("not_found", {"keyid": keyid})
        svid = verify_x509_svid(chain, self._bundles, at)
        leaf = svid.leaf
        if leaf.sha256 != keyid:
            raise TrustWardenError("svid_mismatch", {"keyid": keyid})
        is_foreign = trust_domain_of(svid.id) != self._own.trust_domain
        found = VerifiedCertificate(svid.id, keyid, leaf.public_key, is_foreign, leaf.not_before, leaf.not_after)
        self._verified[keyid] = found
        return found

    def _learn(self, name: str, authorities: Sequence[bytes]) -> None:
        foreign = parse_trust_domain(name)
        # Nothing that the log tells may change whom we believe for our own trust domain.
        if foreign == self._own.trust_domain:
            raise TrustWardenError("federation_bundle_refused")
        learnt = TrustBundle(foreign, 0, tuple(parse_certificate(der) for der in authorities))
        require_own_claims(learnt, [self._own])
        self._bundles[foreign] = learnt


def _is_texts(value: Json) -> TypeGuard[Sequence[str]]:
    return is_json_list(value) and all(isinstance(item, str) for item in value)
