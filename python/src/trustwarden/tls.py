"""TLS between SPIFFE identities: who we are, who they are, and not one byte before both are settled.

The peer's chain is verified by our own code after the handshake and before the connection is handed to anybody: TLS
libraries pool all roots and accept a leaf with two URI names. No session is ever resumed, since a resumed one skips
the chain check. Host names prove nothing here and are not looked at. See X509-SVID section 5 and
docs/decisions/0034-the-python-client.md for how a key gets to OpenSSL.
"""

from __future__ import annotations

import ipaddress
import os
import secrets
import socket
import ssl
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat

from ._codes import ErrorCode
from .errors import TrustWardenError, fail
from .keys import InstanceKey
from .runtime import now_seconds
from .x509 import X509Svid, verify_x509_svid

if TYPE_CHECKING:
    from collections.abc import Generator

    from .bundle import TrustBundle

_HANDSHAKE_SECONDS = 10.0
"""TCP and TLS handshake together."""
_MAX_CHAIN = 4
"""Leaf, intermediates, and one to spare; a longer chain is an attempt to make us work."""
_DEV_FD = Path("/dev/fd")


class TlsIdentity(Protocol):
    """What a process presents to its peers."""

    def context(self) -> ssl.SSLContext:
        """Key and chain, TLS 1.3."""
        ...


class ConnectionCheck(Protocol):
    """Who we are and whom we accept; asked for each connection."""

    @property
    def identity(self) -> TlsIdentity | None:
        """Our SVID; without one the connection is anonymous."""
        ...

    def require(self, chain: Sequence[bytes]) -> X509Svid:
        """The SVID of a peer that is accepted; raises for any other."""
        ...


@dataclass(frozen=True)
class PeerCheck:
    """Who we are and whom we accept; asked for each connection."""

    bundle: Callable[[], TrustBundle]
    accept_peer: Callable[[str], bool]
    refusal: ErrorCode = "peer_untrusted"
    identity: TlsIdentity | None = None
    """Our SVID; without one the connection is anonymous."""

    def require(self, chain: Sequence[bytes]) -> X509Svid:
        """As `require_peer`."""
        return require_peer(chain, self)


def anonymous_context() -> ssl.SSLContext:
    """What a client without an SVID presents: nothing."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    # Our own check decides, before the connection is handed out.
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.options |= ssl.OP_NO_TICKET
    context.set_alpn_protocols(["http/1.1"])
    return context


def client_context(key: InstanceKey, chain: Sequence[bytes]) -> ssl.SSLContext:
    """What a client with an SVID presents. `chain` is DER, leaf first."""
    context = anonymous_context()
    load_key(context, key, chain)
    return context


def server_context(
    key: InstanceKey, chain: Sequence[bytes], roots: Sequence[bytes], mode: ssl.VerifyMode
) -> ssl.SSLContext:
    """What a server with an SVID presents, and the roots (DER) that a client's chain has to lead to, if it shows one.

    No session is ever resumed.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.options |= ssl.OP_NO_TICKET
    context.num_tickets = 0
    load_key(context, key, chain)
    if roots:
        context.load_verify_locations(cadata=b"".join(roots))
    context.verify_mode = mode
    return context


def load_key(context: ssl.SSLContext, key: InstanceKey, chain: Sequence[bytes]) -> None:
    """Hands a key to OpenSSL, which takes paths only: encrypted under a passphrase that exists in memory alone."""
    passphrase = secrets.token_bytes(32)
    try:
        pem = key.lend_to_tls().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(passphrase))
        certificates = "".join(map(ssl.DER_cert_to_PEM_cert, chain)).encode()
        with _readable_once(certificates) as chain_path, _readable_once(pem) as key_path:
            context.load_cert_chain(chain_path, key_path, passphrase)
    finally:
        # What reports crashes copies the variables of each frame: with this one it would have the key.
        del passphrase


@contextmanager
def _readable_once(data: bytes) -> Generator[str, None, None]:
    """A path at which OpenSSL reads some bytes: a pipe, or an encrypted file's moment where there is no /dev/fd."""
    if not _DEV_FD.exists():
        with _temporary_file(data) as path:
            yield path
        return
    reader, writer = os.pipe()
    try:
        with os.fdopen(writer, "wb") as sink:
            sink.write(data)
        yield f"{_DEV_FD}/{reader}"
    finally:
        os.close(reader)


@contextmanager
def _temporary_file(data: bytes) -> Generator[str, None, None]:
    handle, name = tempfile.mkstemp()
    try:
        with os.fdopen(handle, "wb") as sink:
            sink.write(data)
        yield name
    finally:
        Path(name).unlink()


def connect_tls(host: str, port: int, check: ConnectionCheck | None, timeout: float | None) -> TlsConnection:
    """A connection whose peer is proven, or, without a check, to nobody in particular.

    Raises the check's refusal, or `server_unreachable`.
    """
    wait = min(timeout or _HANDSHAKE_SECONDS, _HANDSHAKE_SECONDS)
    identity = check.identity if check is not None else None
    context = identity.context() if identity is not None else _ANONYMOUS
    try:
        plain = socket.create_connection((host, port), wait)
    except (OSError, UnicodeError) as cause:
        raise _unreachable(host, port, cause) from cause
    try:
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # An end that the peer did not announce may be anybody's on the way, and cuts an answer short: it is an error.
        name = None if _is_address(host) else host
        wrapped = context.wrap_socket(plain, server_hostname=name, suppress_ragged_eofs=False)
    except OSError as cause:
        plain.close()
        raise _unreachable(host, port, cause) from cause
    try:
        chain = peer_chain_of(wrapped)
        svid = None if check is None else check.require(chain)
    except BaseException:
        wrapped.close()
        raise
    return TlsConnection(wrapped, chain, svid)


@dataclass(frozen=True)
class TlsConnection:
    """An open connection, what its peer presented, and what that proved."""

    socket: ssl.SSLSocket
    chain: tuple[bytes, ...]
    svid: X509Svid | None


def require_peer(chain: Sequence[bytes], check: PeerCheck) -> X509Svid:
    """The SVID of a peer that is accepted. Raises the check's refusal."""
    bundle = check.bundle()
    try:
        svid = verify_x509_svid(chain, {bundle.trust_domain: bundle}, now_seconds())
    except TrustWardenError as cause:
        raise fail(check.refusal, {"reason": cause.code}) from cause
    if not check.accept_peer(svid.id):
        raise fail(check.refusal, {"reason": "another peer", "peer": svid.id})
    return svid


def peer_chain_of(wrapped: ssl.SSLSocket) -> tuple[bytes, ...]:
    """DER certificates that the peer presented, leaf first; nothing is verified yet.

    Raises `no_svid` without a certificate or on a resumed session, `svid_malformed` for a chain that is too long.
    """
    if wrapped.session_reused:
        raise fail("no_svid", {"reason": "resumed session"})
    chain = _unverified_chain(wrapped)
    if not chain:
        raise fail("no_svid", {"reason": "no certificate"})
    if len(chain) > _MAX_CHAIN:
        raise fail("svid_malformed", {"reason": "chain too long"})
    return chain


def _unverified_chain(wrapped: ssl.SSLSocket) -> tuple[bytes, ...]:
    if sys.version_info >= (3, 13):
        return tuple(wrapped.get_unverified_chain())
    # Public from 3.13 on; the method underneath is there since 3.10.
    inner = cast("Any", wrapped)._sslobj
    return tuple(certificate.public_bytes(2) for certificate in inner.get_unverified_chain() or ())


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _unreachable(host: str, port: int, cause: Exception) -> TrustWardenError:
    reason = "handshake timeout" if isinstance(cause, TimeoutError) else type(cause).__name__
    return fail("server_unreachable", {"host": f"{host}:{port}", "reason": reason})


_ANONYMOUS = anonymous_context()
