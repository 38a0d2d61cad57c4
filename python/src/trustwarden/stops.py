"""Hears of a stop while something runs: agents hold no lease, so they look at the revocation list for as long.

One question a server, a process, however many calls run; none while none does. A list that cannot be read stops
nothing: the next action is refused by whoever decides about it.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography import x509

from . import scheduler
from .errors import TrustWardenError
from .runtime import notify

if TYPE_CHECKING:
    from .server import TrustServer
    from .x509 import Certificate

_POLL_SECONDS = 0.3
"""With the answer's own time well below the second in which a stop is to be felt."""
_LIST_PATH = "/v1/crl.pem"
_END = b"-----END X509 CRL-----"


@dataclass(frozen=True)
class _Watched:
    leaf: Callable[[], Certificate]
    on_stop: Callable[[], None]

    def tell(self) -> None:
        """Calls the listener; reports it when it fails."""
        try:
            self.on_stop()
        except Exception as error:
            notify("internal", "A listener for a stop failed.", {"reason": type(error).__name__})


class StopWatch:
    """Owns the one timer of a server, which runs while something is watched."""

    def __init__(self, server: TrustServer) -> None:
        self._server = server
        self._lock = threading.Lock()
        self._numbers = itertools.count()
        self._watched: dict[int, _Watched] = {}
        self._is_asking = False
        self._etag: str | None = None
        self._lists: tuple[x509.CertificateRevocationList, ...] = ()

    def watch(self, leaf: Callable[[], Certificate], on_stop: Callable[[], None]) -> Callable[[], None]:
        """Calls `on_stop` once, on another thread, when the instance of this SVID is stopped; the answer ends it."""
        number = next(self._numbers)
        with self._lock:
            self._watched[number] = _Watched(leaf, on_stop)
            if not self._is_asking:
                self._is_asking = True
                scheduler.after(_POLL_SECONDS, self._ask)
        return lambda: self._forget(number)

    def _forget(self, number: int) -> None:
        with self._lock:
            self._watched.pop(number, None)

    def _ask(self) -> None:
        with self._lock:
            if not self._watched:
                self._is_asking = False
                return
        try:
            self._read()
            self._tell()
        except (TrustWardenError, ValueError):
            # Safe to go on: it is asked again, and a stopped agent is refused whatever it does next.
            pass
        finally:
            scheduler.after(_POLL_SECONDS, self._ask)

    def _read(self) -> None:
        changed = self._server.read_changed(_LIST_PATH, self._etag)
        if changed is not None:
            self._lists = tuple(map(x509.load_pem_x509_crl, _parts_of(changed.body)))
            self._etag = changed.etag

    def _tell(self) -> None:
        with self._lock:
            stopped = [(number, each) for number, each in self._watched.items() if self._is_stopped(each.leaf())]
            for number, _ in stopped:
                del self._watched[number]
        for _, each in stopped:
            # In the order in which they came: whoever listens within a call hears of it after the call is cut.
            each.tell()

    def _is_stopped(self, leaf: Certificate) -> bool:
        serial = int(leaf.serial_hex, 16)
        return any(one.get_revoked_certificate_by_serial_number(serial) is not None for one in self._lists)


def _parts_of(pem: bytes) -> list[bytes]:
    return [part + _END for part in pem.split(_END)[:-1]]
