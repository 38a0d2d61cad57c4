"""What a hostile server, service or name can do to an SDK that carries an identity: the peers of P30 to P33."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from typing import Any

import httpx
import pytest

from live import LiveServer, Program
from trustwarden import AgentIdentity, TrustWardenError
from trustwarden._bytes import encode_base64url, parse_base64url
from trustwarden._json import encode_canonical_json

SCOPE = ["read:rows", "read:transactions"]
LINKS_AN_AGENT_MAY_KEEP = 20
_numbers = count()


@dataclass(frozen=True)
class Heard:
    requests: int
    told: list[str]
    intents: int


class Hostile:
    """Every hostile peer, with identities of this deployment, of another one, and of nobody."""

    def __init__(self, live: LiveServer, finance: str) -> None:
        socket = live.root / "data" / "admin.sock"
        self._program = Program(["attacks/support/hostile-peers.ts", live.url, str(socket), finance])
        self.peers: dict[str, Any] = self._program.ready

    def ask(self, path: str, what: str = "") -> Heard:
        answer = httpx.get(f"{self.peers['control']}{path}", params={"what": what}).json()
        return Heard(answer["heard"], answer["told"], answer["intents"])

    def close(self) -> None:
        self._program.close()


@pytest.fixture(scope="module")
def hostile(live: LiveServer, finance: str) -> Iterator[Hostile]:
    peers = Hostile(live, finance)
    yield peers
    peers.close()


@pytest.fixture
def agent(live: LiveServer) -> Iterator[AgentIdentity]:
    name = f"visitor-{next(_numbers)}"
    with AgentIdentity.create(name=name, ticket=live.ticket(name, SCOPE)) as identity:
        yield identity


def code_of(agent: AgentIdentity, url: str, *, verifier: str | None = None, timeout: float = 30.0) -> str:
    try:
        answer = agent.fetch(url, verifier=verifier, timeout=timeout)
    except TrustWardenError as error:
        return error.code
    return f"answered {answer.status_code}"


def ticket_at(live: LiveServer, name: str, server: str) -> str:
    """A genuine ticket that leads to another address: what whoever answers there could have made of it."""
    value = json.loads(parse_base64url(live.ticket(name, SCOPE).removeprefix("tw1.")))
    return "tw1." + encode_base64url(encode_canonical_json({**value, "server": server}))


def test_no_impostor_of_the_server_learns_more_than_is_public(live: LiveServer, hostile: Hostile) -> None:
    impostors: list[dict[str, str]] = hostile.peers["impostors"]
    assert len(impostors) == 7
    for impostor in impostors:
        name = f"guest-{next(_numbers)}"
        with pytest.raises(TrustWardenError) as refused:
            AgentIdentity.create(name=name, ticket=ticket_at(live, name, impostor["url"]))
        assert hostile.ask("/heard", impostor["url"]).told == [], impostor["what"]
        assert refused.value.code == impostor["code"], impostor["what"]


def test_no_intent_leaves_for_who_is_not_proven(agent: AgentIdentity, hostile: Hostile, finance: str) -> None:
    assert code_of(agent, f"{finance}/transactions") == "answered 200"
    strangers: list[dict[str, str]] = hostile.peers["strangers"]
    assert len(strangers) == 7
    for stranger in strangers:
        code = code_of(agent, f"{stranger['url']}/rows")
        assert hostile.ask("/heard", stranger["url"]).intents == 0, stranger["what"]
        assert code == stranger["code"], stranger["what"]


def test_success_that_is_not_proven_is_thrown_away(agent: AgentIdentity, hostile: Hostile) -> None:
    liar: str = hostile.peers["liar"]
    assert code_of(agent, f"{liar}/rows") == "answered 200"
    lies: list[dict[str, str]] = hostile.peers["lies"]
    assert len(lies) == 7
    for lie in lies:
        hostile.ask("/lie", lie["what"])
        assert code_of(agent, f"{liar}{lie['path']}") == "receipt_invalid", lie["what"]


def test_a_redirect_is_not_followed_and_counts_for_nothing_without_a_receipt(
    agent: AgentIdentity, hostile: Hostile
) -> None:
    assert code_of(agent, f"{hostile.peers['mover']}/rows") == "receipt_invalid"
    assert hostile.ask("/heard", hostile.peers["sink"]).requests == 0


def test_an_answer_that_never_comes_is_not_waited_for(agent: AgentIdentity, hostile: Hostile) -> None:
    assert code_of(agent, f"{hostile.peers['silent']}/rows", timeout=0.5) == "server_unreachable"


def test_a_name_that_is_led_elsewhere_gets_nothing_of_the_service_that_is_meant(
    agent: AgentIdentity, hostile: Hostile
) -> None:
    name, liar = hostile.peers["name"], hostile.peers["liar"]
    assert code_of(agent, f"{name}/transactions", verifier="finance") == "answered 200"
    before = hostile.ask("/move", liar).intents
    for path in ("/transactions", "/rows", "/rows"):
        code = "server_unreachable"
        for _ in range(LINKS_AN_AGENT_MAY_KEEP):
            # A link that was just cut says nothing of whom the agent would have believed.
            code = code_of(agent, f"{name}{path}", verifier="finance")
            if code != "server_unreachable":
                break
        assert hostile.ask("/heard", liar).intents == before
        assert code == "peer_untrusted"
    assert code_of(agent, f"{liar}/rows", verifier="finance") == "peer_untrusted"
    assert hostile.ask("/heard", liar).intents == before


def test_threads_that_meet_a_stranger_together_send_it_nothing(agent: AgentIdentity, hostile: Hostile) -> None:
    url: str = hostile.peers["strangers"][0]["url"]
    codes: list[str] = []
    threads = [threading.Thread(target=lambda: codes.append(code_of(agent, f"{url}/rows"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert codes == ["peer_untrusted"] * 8
    assert hostile.ask("/heard", url).intents == 0
