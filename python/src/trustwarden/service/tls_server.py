"""The service's side of TLS: who it is to its visitors, and what they presented.

Python's `ssl` asks for a client's certificate only together with a check of its own, so a certificate that leads to no
root at hand ends the handshake here, before there is anything to answer; every certificate that passes is proven again
by our own code, against the bundle of its own trust domain. No session is ever resumed. Anybody may connect without a
certificate: the route table is public, and everything else is then refused as `no_svid`.
"""

from __future__ import annotations

import ssl
import sys
from collections.abc import Iterable
from typing import Any, cast

from ..bundle import TrustBundle
from ..credential import Credential
from ..errors import fail
from ..tls import server_context

_MAX_CHAIN = 4


class ServerTls:
    """Owns the TLS context of a service, and swaps what is behind it when the SVID or the roots change."""

    def __init__(self, credential: Credential, bundles: Iterable[TrustBundle]) -> None:
        self._current = _context(credential, bundles)
        # Servers keep the context that they were started with: this one hands each connection the one of the moment.
        self.context = _context(credential, bundles)
        self.context.sni_callback = self._choose

    def update(self, credential: Credential, bundles: Iterable[TrustBundle]) -> None:
        """Uses another SVID or other roots for every connection from now on."""
        self._current = _context(credential, bundles)

    def _choose(self, connection: ssl.SSLSocket | ssl.SSLObject, name: str | None, context: ssl.SSLContext) -> None:
        connection.context = self._current


def peer_chain_of(connection: object) -> tuple[bytes, ...]:
    """DER certificates that a visitor presented, leaf first: of an `SSLSocket` or `SSLObject`. Nothing is proven yet.

    Raises: TrustWardenError `no_svid` without TLS, without a certificate or on a resumed session; `svid_malformed` for
    a chain that is too long.
    """
    if not isinstance(connection, (ssl.SSLSocket, ssl.SSLObject)):
        raise fail("no_svid", {"reason": "no TLS"})
    if connection.session_reused:
        raise fail("no_svid", {"reason": "resumed session"})
    if connection.getpeercert(binary_form=True) is None:
        raise fail("no_svid", {"reason": "no certificate"})
    chain = _unverified_chain(connection)
    if len(chain) > _MAX_CHAIN:
        raise fail("svid_malformed", {"reason": "chain too long"})
    return chain


def parse_pem_chain(texts: Iterable[str]) -> tuple[bytes, ...]:
    """The certificates of some PEM texts, in their order.

    Raises: TrustWardenError `no_svid`, `svid_malformed`.
    """
    chain: list[bytes] = []
    for text in texts:
        for part in text.split("-----END CERTIFICATE-----")[:-1]:
            if len(chain) == _MAX_CHAIN:
                raise fail("svid_malformed", {"reason": "chain too long"})
            try:
                chain.append(ssl.PEM_cert_to_DER_cert(f"{part.strip()}\n-----END CERTIFICATE-----\n"))
            except ValueError as cause:
                raise fail("svid_malformed", {"reason": "pem"}) from cause
    if not chain:
        raise fail("no_svid", {"reason": "no certificate"})
    return tuple(chain)


def _context(credential: Credential, bundles: Iterable[TrustBundle]) -> ssl.SSLContext:
    roots = [root.der for bundle in bundles for root in bundle.x509_authorities]
    # Optional, since the route table is for everybody; whoever shows none is no agent.
    context = server_context(credential.key, credential.svid_chain, roots, ssl.CERT_OPTIONAL)
    context.set_alpn_protocols(["http/1.1"])
    return context


def _unverified_chain(connection: ssl.SSLSocket | ssl.SSLObject) -> tuple[bytes, ...]:
    if sys.version_info >= (3, 13):
        return tuple(connection.get_unverified_chain())
    # Public from 3.13 on; the method underneath is there since 3.10.
    inner = cast("Any", connection)._sslobj
    return tuple(certificate.public_bytes(2) for certificate in inner.get_unverified_chain() or ())
