"""SPIFFE IDs: the one spelling of an identity.

An id is compared byte for byte everywhere, so these parsers accept exactly one spelling and return their input. They
never decode, lower-case or join: a path helper that resolves `..` lets one workload impersonate another
(Cure53 SPI-01-003).

See: SPIFFE-ID §2; upper-case schemes and trust domains are refused, although §2.4 calls them equal to lower case.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NewType

from ._bytes import count_units
from .errors import TrustWardenError

SpiffeId = NewType("SpiffeId", str)
"""A well-formed SPIFFE ID; equal ids are equal strings."""
TrustDomain = NewType("TrustDomain", str)
"""A well-formed trust domain name, without the scheme."""

MAX_ID_BYTES = 2048
"""What every implementation must support (SPIFFE-ID §2.3)."""
MAX_TRUST_DOMAIN_BYTES = 255
_SCHEME = "spiffe://"
_TRUST_DOMAIN = re.compile(r"[a-z0-9._-]+")
_SEGMENT = re.compile(r"[A-Za-z0-9._-]+")


def parse_spiffe_id(text: str) -> SpiffeId:
    """The SPIFFE ID of untrusted text, unchanged; an id without a path (of the trust domain itself) is accepted.

    Raises: TrustWardenError `spiffe_id_malformed`.
    """
    if count_units(text) > MAX_ID_BYTES:
        raise _malformed("longer than 2048 bytes")
    if not text.startswith(_SCHEME):
        raise _malformed("scheme")
    trust_domain, slash, path = text[len(_SCHEME) :].partition("/")
    parse_trust_domain(trust_domain)
    if slash:
        for segment in path.split("/"):
            _require_segment(segment)
    return SpiffeId(text)


def parse_trust_domain(text: str) -> TrustDomain:
    """The trust domain of untrusted text, unchanged.

    Raises: TrustWardenError `spiffe_id_malformed`.
    """
    if len(text) > MAX_TRUST_DOMAIN_BYTES or not _TRUST_DOMAIN.fullmatch(text):
        raise _malformed("trust domain")
    return TrustDomain(text)


def trust_domain_of(spiffe_id: SpiffeId) -> TrustDomain:
    """The trust domain of an id."""
    return TrustDomain(spiffe_id[len(_SCHEME) :].partition("/")[0])


def path_of(spiffe_id: SpiffeId) -> str:
    """The path of an id with its leading slash, or the empty text for the id of a trust domain."""
    _, slash, path = spiffe_id[len(_SCHEME) :].partition("/")
    return slash + path


def format_spiffe_id(trust_domain: TrustDomain, segments: Sequence[str]) -> SpiffeId:
    """An id from a trust domain and literal path segments; none give the id of the trust domain itself.

    Raises: TrustWardenError `spiffe_id_malformed` for a segment that a path may not hold, or above 2048 bytes.
    """
    for segment in segments:
        _require_segment(segment)
    return parse_spiffe_id("/".join([f"{_SCHEME}{trust_domain}", *segments]))


def instance_id_of(spiffe_id: SpiffeId) -> str | None:
    """The `inst-...` segment of an instance's id, or None for any other id; there is always a class before it."""
    segments = path_of(spiffe_id).split("/")[1:]
    last = segments[-1] if len(segments) > 1 else ""
    return last if last.startswith("inst-") and len(last) > len("inst-") else None


def _require_segment(segment: str) -> None:
    if not _SEGMENT.fullmatch(segment) or segment in (".", ".."):
        raise _malformed("path segment")


def _malformed(reason: str) -> TrustWardenError:
    return TrustWardenError("spiffe_id_malformed", {"reason": reason})
