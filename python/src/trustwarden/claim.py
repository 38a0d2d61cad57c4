"""An agent that registers itself: it asks with its key, shows a code to a human, and comes for what that one signed.

Until then it has a key and nothing else. See docs/decisions/0086-agents-that-ask-to-be-claimed.md.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ._bytes import encode_base64url
from ._crypto import sha256
from ._json import JsonObject, encode_canonical_json, is_json_list
from .answers import Members
from .dsse import parse_envelope, parse_unverified_payload
from .enrol import call_with_work, prove_key
from .errors import TrustWardenError, fail
from .grant import Expected
from .keys import InstanceKey
from .runtime import monotonic, now_seconds
from .scope import is_subset, parse_label, parse_scope, parse_ttl
from .server import ServerCall, TrustServer

_POLL_SECONDS = 2.0
"""A human needs longer than this."""
_KEPT_SECONDS = 600
"""What an owner gave is kept for ten minutes after the code's end at the latest."""
_PASSING = ("claim_waiting", "server_unreachable", "overloaded", "store_unavailable")
"""What passes while a human takes minutes."""
_DEFAULT_TTL = "8h"


@dataclass(frozen=True)
class ClaimCode:
    """What a human is to see."""

    code: str
    """Such as `7K2M-Q9TR-0XWF-3BHN`: for `warden agent claim`, or *Agents* in the console."""
    expires_at: int
    """Unix seconds."""


@dataclass(frozen=True)
class Wish:
    """What an agent asks to be, and of whom."""

    name: str
    path: str
    scope: Sequence[str]
    ttl: str | None
    owner: str | None


class Patience:
    """How long somebody waits: until a moment, or until whoever asked has left."""

    def __init__(self, timeout: float | None) -> None:
        self._ends_at = None if timeout is None else monotonic() + timeout
        self.left = threading.Event()

    def pause(self) -> bool:
        """Waits for the next look; whether there is one. Raises `call_aborted` for who has left."""
        remaining = _POLL_SECONDS if self._ends_at is None else min(_POLL_SECONDS, self._ends_at - monotonic())
        if self.left.wait(max(remaining, 0.0)):
            raise fail("call_aborted")
        return remaining > 0


def wait_to_be_claimed(
    server: TrustServer, key: InstanceKey, wish: Wish, on_code: Callable[[ClaimCode], None], patience: Patience
) -> tuple[str, Expected]:
    """The ticket that an owner signed for this key, and what it must make. Raises as `AgentIdentity.register`."""
    asked = wish_of(wish)
    digest = digest_of_wish(asked)
    answer = call_with_work(server, "/v1/claims", lambda bits: prove_key(server, key, digest, {"wish": asked}, bits))
    expires_at = answer.integer("expires_at")
    on_code(ClaimCode(answer.text("code"), expires_at))
    claimed = _collect(server, key, answer.text("claim_id"), expires_at, patience)
    return claimed.text("ticket"), require_asked(claimed, asked, key.thumbprint)


def wish_of(wish: Wish) -> JsonObject:
    """A wish as it is sent. Raises `name_malformed`, `scope_malformed`, `ttl_malformed`."""
    parse_label(wish.path, wish.name)
    return {
        "path": wish.path,
        "name": wish.name,
        "scope": parse_scope(wish.scope),
        "ttl_seconds": parse_ttl(wish.ttl or _DEFAULT_TTL),
        "owner": wish.owner,
    }


def digest_of_wish(wish: JsonObject) -> str:
    """base64url SHA-256 of what a proof of possession binds itself to."""
    return encode_base64url(sha256(encode_canonical_json(wish)))


def _collect(server: TrustServer, key: InstanceKey, claim_id: str, expires_at: int, patience: Patience) -> Members:
    """Asks until there is an answer; the server says when it is too late."""
    digest = encode_base64url(sha256(claim_id.encode()))
    while True:
        goes_on = patience.pause()
        try:
            body = prove_key(server, key, digest, {"claim_id": claim_id})
            return server.call(ServerCall("POST", "/v1/claims/collection", body))
        except TrustWardenError as error:
            is_over = now_seconds() > expires_at + _KEPT_SECONDS or not goes_on
            if is_over or error.code not in _PASSING:
                raise


def require_asked(claimed: Members, wish: JsonObject, thumbprint: str) -> Expected:
    """The ticket is for this agent and this key; whether an owner signed it, the server proves when it is used."""
    ticket = parse_unverified_payload(parse_envelope(claimed.text("ticket")))
    atoms = ticket.get("scope")
    given = parse_scope([str(atom) for atom in atoms] if is_json_list(atoms) else [])
    owner = claimed.text("owner_id")
    if ticket.get("owner") != owner or wish["owner"] not in (None, owner):
        raise fail("ticket_mismatch", {"field": "owner"})
    is_ours = all(ticket.get(member) == wish[member] for member in ("name", "path"))
    if not is_ours or ticket.get("holder_thumbprint") != thumbprint:
        raise fail("ticket_mismatch", {"field": "holder"})
    wished = wish["scope"]
    if not is_subset(parent=[str(atom) for atom in wished] if is_json_list(wished) else [], child=given):
        raise fail("ticket_mismatch", {"field": "scope"})
    return Expected(str(ticket.get("name")), given)
