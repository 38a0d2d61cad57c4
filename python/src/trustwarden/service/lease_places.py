"""Where a lease is asked for: at the server's stop listener, or at relays, one after the other.

A relay is known by its SVID, as the server is, and one that was stopped is not gone back to. With relays the server
itself is never asked: ten thousand verifiers that lost their relays would be too many for it. See
docs/guides/relays.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from ..contact import parse_origin
from ..errors import fail
from ..runtime import random_bytes
from ..spiffe import TrustDomain, instance_id_of, parse_spiffe_id, path_of, trust_domain_of
from ..tls import PeerCheck
from ..transport import Origin
from .frames import RevocationTarget

_RELAYS = "/trustwarden/relay/"
_MAX_RELAYS = 64
"""A deployment has a handful."""


def parse_relays(relays: Sequence[str]) -> tuple[Origin, ...]:
    """Origins of relays. Raises `config_invalid` for more than 64, `server_untrusted` for an origin that is none."""
    if len(relays) > _MAX_RELAYS:
        raise fail("config_invalid", {"field": "relays", "count": len(relays), "max": _MAX_RELAYS})
    return tuple(map(parse_origin, relays))


def relay_instance_of(text: str, trust_domain: TrustDomain) -> str | None:
    """The `inst-...` of a relay of this trust domain; None for every other id."""
    spiffe_id = parse_spiffe_id(text)
    is_relay = trust_domain_of(spiffe_id) == trust_domain and path_of(spiffe_id).startswith(_RELAYS)
    return instance_id_of(spiffe_id) if is_relay else None


class LeasePlaces:
    """Knows which place comes next, and whom to take for it. Used by the lease's own thread alone."""

    def __init__(self, server: Callable[[], Origin], relays: Sequence[Origin], check: PeerCheck) -> None:
        self._server = server
        self._relays = tuple(relays)
        # Not all verifiers of a fleet begin at the same relay.
        self._next = random_bytes(1)[0] % len(relays) if relays else 0
        self._trust_domain = lambda: check.bundle().trust_domain
        self._refused: set[str] = set()
        # Of the relay that the latest connection proved.
        self._relay: str | None = None
        self.check = replace(check, accept_peer=self._accept_relay) if relays else check
        """Accepts who may be at the place."""

    @property
    def are_relays(self) -> bool:
        """Whether these are relays, which know the server's word only at second hand."""
        return bool(self._relays)

    @property
    def origin(self) -> Origin:
        """Where to connect now."""
        return self._relays[self._next] if self._relays else self._server()

    def move_on(self) -> None:
        """After a connection failed or ended."""
        self._relay = None
        if self._relays:
            self._next = (self._next + 1) % len(self._relays)

    def refuse_stopped(self, targets: Iterable[RevocationTarget]) -> bool:
        """Whether the relay at hand was stopped by this; then it is not gone back to."""
        relay = self._relay
        if relay is None or not any(target.kind == "instance" and target.id == relay for target in targets):
            return False
        self._refused.add(relay)
        return True

    def _accept_relay(self, text: str) -> bool:
        instance = relay_instance_of(text, self._trust_domain())
        if instance is None or instance in self._refused:
            return False
        self._relay = instance
        return True
