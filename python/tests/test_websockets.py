"""WebSockets at a guarded ASGI service, under unmodified uvicorn."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from itertools import count

import pytest
from wsproto.utilities import RemoteProtocolError

from live import LiveServer
from sockets import Conversation, upgrade
from test_service import Bank
from trustwarden import parse_receipt_header
from visitors import Forger

SCOPE = ["talk:transactions", "talk:failure", "talk:refusal", "talk:torn", "talk:on", "read:transactions"]
TALK = ("/talk", "talk:transactions", "bank://ledger/talk")
_numbers = count()


@pytest.fixture(scope="module")
def bank(live: LiveServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bank]:
    service = Bank(live, "asgi", tmp_path_factory.mktemp("bank") / "log")
    yield service
    service.close()


@pytest.fixture(scope="module")
def forger(live: LiveServer) -> Iterator[Forger]:
    agent = Forger(live, f"talker-{next(_numbers)}", SCOPE)
    yield agent
    agent.close()


def talk(bank: Bank, forger: Forger, target: str, action: str, resource: str) -> Conversation:
    return Conversation(forger, bank.url, target, upgrade(forger, bank.id, target, action, resource))


def outcome_of(live: LiveServer, event_id: str) -> str | None:
    return next((event["outcome"] for event in live.events() if event["event_id"] == event_id), None)


def eventually(holds: Callable[[], bool]) -> bool:
    ends_at = time.monotonic() + 30
    while not holds():
        if time.monotonic() > ends_at:
            return False
        time.sleep(0.05)
    return True


def event_of(conversation: Conversation) -> str:
    return parse_receipt_header(conversation.headers["trustwarden-receipt"]).event_id


def test_a_conversation_is_one_visit_with_the_guards_receipt(bank: Bank, live: LiveServer, forger: Forger) -> None:
    with closing(talk(bank, forger, *TALK)) as conversation:
        assert conversation.status == 101
        event_id = event_of(conversation)
        conversation.say("hello")
        assert conversation.hear() == f"{forger.id} said hello"
        assert outcome_of(live, event_id) == "pending"
        conversation.leave()
        assert conversation.hear() == "[1000]"
    assert eventually(lambda: outcome_of(live, event_id) == "success")


def test_nothing_is_accepted_without_the_path(bank: Bank, forger: Forger) -> None:
    before = len(bank.done())
    target, action, resource = TALK
    good = upgrade(forger, bank.id, target, action, resource)
    cases = [
        (Conversation(forger, bank.url, target, {}), 401),
        (Conversation(forger, bank.url, target, good, is_known=False), 401),
        (Conversation(forger, bank.url, "/elsewhere", good), 404),
        (Conversation(forger, bank.url, f"{target}?more=1", good), 401),
        (talk(bank, forger, target, "read:transactions", resource), 401),
    ]
    for conversation, status in cases:
        with closing(conversation):
            assert conversation.status == status
    assert len(bank.done()) == before


def test_an_upgrade_counts_once(bank: Bank, forger: Forger) -> None:
    target, action, resource = TALK
    headers = upgrade(forger, bank.id, target, action, resource)
    statuses: list[int] = []
    for _ in range(2):
        with closing(Conversation(forger, bank.url, target, headers)) as conversation:
            statuses.append(conversation.status)
    assert statuses[0] == 101
    assert statuses[1] in (401, 409)


def test_what_is_out_of_scope_is_denied_with_a_receipt(bank: Bank, live: LiveServer) -> None:
    with (
        closing(Forger(live, f"reader-{next(_numbers)}", ["read:transactions"])) as reader,
        closing(talk(bank, reader, *TALK)) as conversation,
    ):
        assert (conversation.status, b"denied" in conversation.body) == (403, True)
        assert outcome_of(live, event_of(conversation)) != "success"


def test_a_conversation_is_cut_when_its_agent_is_stopped(bank: Bank, live: LiveServer) -> None:
    with closing(Forger(live, f"stopped-{next(_numbers)}", SCOPE)) as stopped:
        with closing(talk(bank, stopped, *TALK)) as conversation:
            conversation.say("hello")
            conversation.hear()
            event_id = event_of(conversation)
            target = {"kind": "instance", "id": stopped.enrolled.answer.instance_id}
            live.owner("/v1/revocations", {"target": target, "reason": "enough"})
            started = time.monotonic()
            assert conversation.hear() in ("[1008]", "gone")
            assert time.monotonic() - started < 5
        assert eventually(lambda: outcome_of(live, event_id) == "aborted")


def test_an_application_that_goes_on_hears_nothing_more_of_who_was_stopped(bank: Bank, live: LiveServer) -> None:
    with closing(Forger(live, f"stopped-{next(_numbers)}", SCOPE)) as stopped:
        with closing(talk(bank, stopped, "/talk/stubborn", "talk:on", "bank://ledger/talk/stubborn")) as conversation:
            event_id = event_of(conversation)
            target = {"kind": "instance", "id": stopped.enrolled.answer.instance_id}
            live.owner("/v1/revocations", {"target": target, "reason": "enough"})
            ends_at = time.monotonic() + 10
            with suppress(OSError):
                while time.monotonic() < ends_at:
                    conversation.say("pay me")
                    time.sleep(0.02)
            assert time.monotonic() < ends_at
        assert eventually(lambda: outcome_of(live, event_id) == "aborted")
    assert not [entry for entry in bank.said() if "heard" in entry]


def test_an_application_that_fails_or_refuses_is_no_success(bank: Bank, live: LiveServer, forger: Forger) -> None:
    with closing(talk(bank, forger, "/talk/broken", "talk:failure", "bank://ledger/talk/broken")) as conversation:
        assert conversation.status == 101
        event_id = event_of(conversation)
        assert conversation.hear() in ("[1011]", "gone")
    assert eventually(lambda: outcome_of(live, event_id) == "failure")
    with closing(talk(bank, forger, "/talk/closed", "talk:refusal", "bank://ledger/talk/closed")) as conversation:
        assert conversation.status == 403

    def refusals() -> list[str]:
        return [event["outcome"] for event in live.events() if event["action"] == "talk:refusal"]

    assert eventually(lambda: refusals() == ["failure"])


def test_a_refusal_that_the_application_began_is_the_only_one(bank: Bank, live: LiveServer, forger: Forger) -> None:
    before = len(bank.refused())
    # What had begun breaks off; a second head behind it would be another answer.
    with pytest.raises(RemoteProtocolError, match="Bad HTTP message"):
        talk(bank, forger, "/talk/torn", "talk:torn", "bank://ledger/talk/torn")

    def outcomes() -> list[str]:
        return [event["outcome"] for event in live.events() if event["action"] == "talk:torn"]

    assert eventually(lambda: outcomes() == ["failure"])
    assert bank.refused()[before:] == ["ValueError"]
    # The server would refuse to send more of them; nothing tried to.
    assert [entry["left"] for entry in bank.said() if "left" in entry] == ["websocket.http.response.start"]
