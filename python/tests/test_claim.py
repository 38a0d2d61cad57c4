"""An agent that registers itself, and the human who reads its code."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from itertools import count
from typing import Any, cast

import pytest

from live import TRUST_DOMAIN, LiveServer
from trustwarden import AgentIdentity, ClaimCode, TrustWardenError, claim
from trustwarden._json import JsonObject
from trustwarden.answers import Members
from trustwarden.dsse import issue_envelope
from trustwarden.grant import Expected
from trustwarden.keys import InstanceKey
from trustwarden.runtime import format_ulid

SCOPE = ["read:transactions", "write:reports"]
_numbers = count()


@pytest.fixture(autouse=True)
def impatience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A human takes minutes; tests do not."""
    monkeypatch.setattr("trustwarden.claim._POLL_SECONDS", 0.1)


def accept(live: LiveServer, code: ClaimCode, **changes: Any) -> None:
    """What an owner does who is shown the code; `changes` are to what was asked for."""
    view = live.owner("/v1/claims/search", {"code": code.code})
    now = int(time.time())
    ticket: JsonObject = {
        "v": 1,
        "kind": "agent",
        "jti": format_ulid(),
        "aud": f"spiffe://{TRUST_DOMAIN}",
        "iat": now,
        "exp": now + 600,
        "owner": live.owner_id,
        "limits": {"depth": 0, "fan_out": 0, "budget": None},
        "holder_thumbprint": view["thumbprint"],
        **{member: view[member] for member in ("path", "name", "scope", "ttl_seconds")},
        **changes,
    }
    signed = issue_envelope("ticket", ticket, live.owner_key.sign, live.keyid)
    live.owner("/v1/claims/acceptance", {"code": code.code, "ticket": signed})


def pinned(live: LiveServer) -> dict[str, Any]:
    pin = {"server": live.url, "authorities_sha256": live.discovery["authorities_sha256"]}
    return {**pin, "name": f"volunteer-{next(_numbers)}", "path": "team/new", "scope": SCOPE}


def test_an_agent_has_what_the_human_who_read_its_code_signed(live: LiveServer) -> None:
    codes: list[ClaimCode] = []

    def show(code: ClaimCode) -> None:
        codes.append(code)
        accept(live, code, scope=["read:transactions"])

    with AgentIdentity.register(**pinned(live), on_code=show) as agent:
        assert agent.scope == ("read:transactions",)
        assert agent.id.startswith(f"spiffe://{TRUST_DOMAIN}/team/new/volunteer-")
        with agent.act("read:transactions", "db://rows") as action:
            assert action.receipt.allow
    assert codes[0].expires_at > time.time()


def test_who_is_not_answered_hears_that(live: LiveServer) -> None:
    with pytest.raises(TrustWardenError) as refused:
        AgentIdentity.register(**pinned(live), on_code=lambda _: None, timeout=0.3)
    assert refused.value.code == "claim_waiting"


@pytest.mark.parametrize(
    ("wish", "code"),
    [
        ({"name": "Volunteer"}, "name_malformed"),
        ({"path": "trustwarden"}, "name_malformed"),
        ({"path": "a/../b"}, "name_malformed"),
        ({"scope": ["everything"]}, "scope_malformed"),
        ({"ttl": "soon"}, "ttl_malformed"),
        ({"authorities_sha256": "A" * 43}, "server_untrusted"),
    ],
)
def test_a_wish_that_nobody_could_grant_asks_nobody(live: LiveServer, wish: dict[str, Any], code: str) -> None:
    def unexpected(_: ClaimCode) -> None:
        raise AssertionError("nobody was asked")

    with pytest.raises(TrustWardenError) as refused:
        AgentIdentity.register(**{**pinned(live), **wish}, on_code=unexpected)
    assert refused.value.code == code


@pytest.mark.parametrize(
    ("member", "other"),
    [("name", "another"), ("path", "elsewhere"), ("owner", "own_01J00000000000000000000000"), ("scope", ())],
)
def test_an_answer_for_another_wish_is_not_taken(
    live: LiveServer, monkeypatch: pytest.MonkeyPatch, member: str, other: object
) -> None:
    require = claim.require_asked

    def of_another_wish(claimed: Members, wish: JsonObject, thumbprint: str) -> Expected:
        """The agent remembers another wish than the one that the owner answered."""
        return require(claimed, cast("JsonObject", {**wish, member: other}), thumbprint)

    monkeypatch.setattr("trustwarden.claim.require_asked", of_another_wish)
    with pytest.raises(TrustWardenError) as refused:
        AgentIdentity.register(**pinned(live), on_code=lambda code: accept(live, code))
    assert refused.value.code == "ticket_mismatch"


def test_an_answer_for_another_key_is_not_taken(live: LiveServer, monkeypatch: pytest.MonkeyPatch) -> None:
    require = claim.require_asked

    def of_another_key(claimed: Members, wish: JsonObject, _: str) -> Expected:
        return require(claimed, wish, InstanceKey().thumbprint)

    monkeypatch.setattr("trustwarden.claim.require_asked", of_another_key)
    with pytest.raises(TrustWardenError) as refused:
        AgentIdentity.register(**pinned(live), on_code=lambda code: accept(live, code))
    assert refused.value.code == "ticket_mismatch"


def test_whoever_is_cancelled_waits_for_no_human(live: LiveServer) -> None:
    shown = threading.Event()

    async def give_up(begin: Callable[[], Any]) -> float:
        task = asyncio.ensure_future(begin())
        await asyncio.to_thread(shown.wait, 60)
        started = time.monotonic()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return time.monotonic() - started

    def begin() -> Any:
        return AgentIdentity.aregister(**pinned(live), on_code=lambda _: shown.set())

    assert asyncio.run(give_up(begin)) < 5
