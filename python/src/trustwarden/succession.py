"""Successions: the active root's word on which set of roots follows which, so that a pin outlives a rotation.

A pin is the digest of a set of roots. A succession holds that set, names the digest of the next, and is signed by a
member of the first; a chain of them leads from the pin to the set of today. See docs/decisions/0015.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ._bytes import parse_base64
from ._fields import Fields
from ._json import Json, is_json_list
from .bundle import digest_of_roots
from .dsse import parse_envelope, parse_unverified_payload, verify_envelope
from .errors import TrustWardenError, fail
from .spiffe import TrustDomain, format_spiffe_id
from .x509 import Certificate, key_identifier_of, parse_certificate

_MAX_SUCCESSIONS = 32
_MAX_ROOTS = 8


@dataclass(frozen=True)
class _Succession:
    sequence: int
    origin: str
    """Digest of the set that it follows."""
    to: str
    """Digest of the next set."""


def require_succession(texts: Sequence[str], trust_domain: TrustDomain, *, pin: str, target: str) -> None:
    """Requires that successions, in any order and from anybody, lead from a pinned set of roots to another.

    Raises `svid_untrusted` when no unbroken chain of them does, and the codes of one that is not what it says.
    """
    if len(texts) > _MAX_SUCCESSIONS:
        raise _untrusted("too many successions")
    # The latest first: a set may have been left and come back to, and only its last successor leads on.
    known = sorted((_verify(text, trust_domain) for text in texts), key=lambda one: -one.sequence)
    digest, sequence = pin, 0
    while digest != target:
        following = next((one for one in known if one.origin == digest), None)
        if following is None or following.sequence <= sequence:
            raise _untrusted("no succession from the pinned roots")
        digest, sequence = following.to, following.sequence


def _verify(text: str, trust_domain: TrustDomain) -> _Succession:
    """Proven against its own set: whether anybody trusts that is for the caller's pin to say."""
    envelope = parse_envelope(text)
    roots = _roots_of(parse_unverified_payload(envelope).get("from"), trust_domain)
    signer = next((root for root in roots if key_identifier_of(root.spki) == envelope.unverified_keyid), None)
    if signer is None:
        raise _untrusted("a succession signed by none of its roots")
    fields = Fields(verify_envelope(envelope, "succession", signer.public_key), "record_malformed")
    fields.version()
    if fields.text("aud") != format_spiffe_id(trust_domain, []):
        fields.refuse("aud")
    fields.take("from")
    following = _Succession(fields.integer("sequence"), digest_of_roots(roots), fields.digest("to"))
    fields.end()
    return following


def _roots_of(roots: Json, trust_domain: TrustDomain) -> list[Certificate]:
    if not is_json_list(roots) or not 1 <= len(roots) <= _MAX_ROOTS:
        raise _untrusted("roots")
    return [_parse_root(root, trust_domain) for root in roots]


def _parse_root(root: Json, trust_domain: TrustDomain) -> Certificate:
    if not isinstance(root, str):
        raise _untrusted("roots")
    certificate = parse_certificate(parse_base64(root))
    own = format_spiffe_id(trust_domain, [])
    if not certificate.extensions.is_ca or any(uri != own for uri in certificate.extensions.uris):
        raise _untrusted("roots")
    return certificate


def _untrusted(reason: str) -> TrustWardenError:
    return fail("svid_untrusted", {"reason": reason})
