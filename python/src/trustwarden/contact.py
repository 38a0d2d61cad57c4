"""First contact with a server: nothing is trusted but the digest in the ticket.

The trust bundle is read from a peer that nobody has proven yet; it counts only when its authorities are those that the
ticket pins, or follow from those by successions that they signed, and the peer only when its SVID chains to them.
Nothing else is sent before that, so an impostor learns neither the ticket nor the new key.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ._bytes import parse_utf8
from ._json import parse_json_object
from .answers import Members
from .bundle import TrustBundle, digest_of_roots, parse_trust_bundle
from .errors import TrustWardenError, fail
from .runtime import monotonic, now_seconds
from .spiffe import SpiffeId, TrustDomain, parse_spiffe_id, path_of, trust_domain_of
from .succession import require_succession
from .tls import PeerCheck
from .transport import Answer, HttpsCall, Origin, Pool
from .x509 import X509Svid, verify_x509_svid

BUNDLE_PATH = "/v1/bundle"
_CONTACT = {"trustwarden-contact": "1"}
"""Asks for discovery beside the bundle, which spares a request."""
_SUCCESSIONS_PATH = "/v1/successions"
_MAX_BUNDLE_BYTES = 262_144
_ORIGIN = re.compile(
    r"https://(?P<host>[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?|\[(?P<v6>[0-9a-f:.]{2,45})\])(?::(?P<port>[1-9][0-9]{0,4}))?/?",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class ServerAddress:
    """Where the server is and what proves it; from a ticket or a grant."""

    url: str
    trust_domain: TrustDomain
    authorities_sha256: str


@dataclass(frozen=True)
class BroughtDiscovery:
    """What the server says of itself, as base64url of JSON that nobody has read yet."""

    text: str
    asked_at: float
    """Monotonic."""


@dataclass(frozen=True)
class Contact:
    """A server that first contact proved, and the connection on which it did."""

    bundle: TrustBundle
    svid: X509Svid
    pool: Pool
    """Goes on with that connection, and with others to servers that the bundle of contact proves."""
    discovery: BroughtDiscovery | None
    """When it came beside the bundle, on the connection that the bundle proved."""


def parse_origin(text: str) -> Origin:
    """An https origin and nothing else. Raises `server_untrusted`."""
    match = _ORIGIN.fullmatch(text)
    port = int(match["port"] or 443) if match else 0
    if match is None or port > 65_535:
        raise fail("server_untrusted", {"reason": "not an https origin"})
    return Origin((match["v6"] or match["host"]).lower(), port)


def is_server_id(spiffe_id: SpiffeId, trust_domain: TrustDomain) -> bool:
    """Whether an id is a server of the trust domain."""
    return trust_domain_of(spiffe_id) == trust_domain and path_of(spiffe_id).startswith("/trustwarden/server/")


def read_pinned_trust_domain(origin: Origin, authorities_sha256: str) -> TrustDomain:
    """Which trust domain has the authorities that a pin names, where nobody said; proves nothing about the peer.

    Raises `server_untrusted`, `server_unreachable`.
    """
    pool = Pool(None)
    try:
        body = _read_document(pool.send(HttpsCall(origin, "GET", BUNDLE_PATH, {})))
    finally:
        pool.close()
    try:
        unproven = parse_trust_bundle(parse_utf8(body), TrustDomain("unproven"))
        names = unproven.x509_authorities[0].extensions.uris if unproven.x509_authorities else ()
        if names and digest_of_roots(unproven.x509_authorities) == authorities_sha256:
            return trust_domain_of(parse_spiffe_id(names[0]))
    except TrustWardenError as cause:
        raise fail("server_untrusted", {"reason": "bundle"}) from cause
    raise fail("server_untrusted", {"reason": "pin"})


def make_contact(origin: Origin, address: ServerAddress) -> Contact:
    """Reads the trust bundle that the ticket pins, and keeps the connection to the peer that it proves.

    Raises `server_untrusted`, `server_unreachable`; nothing stays open then.
    """
    pool = Pool(None)
    try:
        asked_at = monotonic()
        answer = pool.send(HttpsCall(origin, "GET", BUNDLE_PATH, _CONTACT))
        brought = answer.header("trustwarden-discovery")
        chain = answer.connection.chain
        bundle, svid = _require_proven(_read_document(answer), chain, address.trust_domain)
        # Should that connection end now, the next one must not be anybody's.
        domain = address.trust_domain
        pool.check = PeerCheck(
            lambda: bundle, lambda peer: is_server_id(parse_spiffe_id(peer), domain), "server_untrusted"
        )
        _require_pinned(pool, origin, address, bundle)
    except BaseException:
        pool.close()
        raise
    return Contact(bundle, svid, pool, None if brought is None else BroughtDiscovery(brought, asked_at))


def _read_document(answer: Answer) -> bytes:
    """A server too busy to give it has not proven to be another one; why it is, is not believed before it is proven."""
    body = answer.read(_MAX_BUNDLE_BYTES)
    if answer.status == 429 or answer.status >= 500:
        raise fail("server_unreachable", {"reason": "no document", "status": answer.status})
    if answer.status != 200:
        raise fail("server_untrusted", {"reason": "no document", "status": answer.status})
    return body


def _require_proven(body: bytes, chain: Sequence[bytes], trust_domain: TrustDomain) -> tuple[TrustBundle, X509Svid]:
    """That the peer has a server's SVID under the bundle it shows; whether that is the right one comes next."""
    try:
        bundle = parse_trust_bundle(parse_utf8(body), trust_domain)
        svid = verify_x509_svid(chain, {trust_domain: bundle}, now_seconds())
    except TrustWardenError as cause:
        raise fail("server_untrusted", {"reason": "bundle or chain"}) from cause
    if not is_server_id(svid.id, trust_domain):
        raise fail("server_untrusted", {"reason": "not a server", "peer": svid.id})
    return bundle, svid


def _require_pinned(pool: Pool, origin: Origin, address: ServerAddress, bundle: TrustBundle) -> None:
    """The roots are the pinned ones, or they were rotated since: then only the word of those leads to today's."""
    target = digest_of_roots(bundle.x509_authorities)
    if target == address.authorities_sha256:
        return
    body = _read_document(pool.send(HttpsCall(origin, "GET", _SUCCESSIONS_PATH, {})))
    try:
        successions = Members(parse_json_object(parse_utf8(body), _MAX_BUNDLE_BYTES)).texts("successions")
        require_succession(successions, address.trust_domain, pin=address.authorities_sha256, target=target)
    except TrustWardenError as cause:
        raise fail("server_untrusted", {"reason": "pin"}) from cause
