"""How long a lease waits, with the time given."""

from __future__ import annotations

from time import monotonic
from typing import Any, cast

import pytest

from trustwarden import TrustWardenError
from trustwarden.service import lease
from trustwarden.service.lease_patience import LeasePatience


@pytest.mark.parametrize(("jitter", "seconds"), [(0.0, 1.4), (1.0, 2.8)])
def test_a_silent_connection_is_left_after_a_while_of_its_own(jitter: float, seconds: float) -> None:
    patience = LeasePatience(lambda: jitter)
    patience.begin(0)
    now = 0.0
    while not patience.is_over(now):
        patience.beat()
        now += patience.next_beat_seconds(now)
    assert seconds <= now < seconds * 1.25


def test_a_suspended_process_sends_its_beats_before_it_leaves() -> None:
    patience = LeasePatience(lambda: 0.0)
    patience.begin(0)
    patience.beat()
    assert not patience.is_over(60)
    patience.beat()
    patience.beat()
    assert patience.is_over(60)


def test_beats_become_rarer_while_nobody_answers_them() -> None:
    patience = LeasePatience(lambda: 0.0)
    patience.begin(0)
    assert [patience.next_beat_seconds(now) for now in (0, 0.699, 1.6, 60)] == [0.2, 0.2, 0.4, 4.0]
    assert patience.hear(60)
    assert patience.next_beat_seconds(60) == 0.2
    assert not patience.hear(60.2)


def test_what_was_in_vain_makes_it_longer_and_calm_makes_it_short_again() -> None:
    patience = LeasePatience(lambda: 1.0)
    assert [patience.fail(0) for _ in range(6)] == [0.1, 0.2, 0.4, 0.8, 1.6, 2.0]
    assert patience.upgrade_seconds == 40
    patience.begin(0)
    for tick in range(1, 50):
        patience.hear(tick / 5)
    assert patience.upgrade_seconds == 40
    patience.hear(10)
    assert patience.upgrade_seconds == 5


@pytest.mark.parametrize(("jitter", "waits"), [(0.0, (3, 60)), (0.5, (4.5, 90)), (1.0, (6, 120))])
def test_what_a_server_asks_for_is_waited_and_by_each_a_little_longer(
    jitter: float, waits: tuple[float, float]
) -> None:
    assert (LeasePatience(lambda: jitter).fail(0, 3), LeasePatience(lambda: jitter).fail(0, 86_400)) == waits


@pytest.mark.parametrize(
    ("line", "asked_for"),
    [("", None), ("Retry-After: 7\r\n", 7), ("retry-after:60\r\n", 60), ("Retry-After: soon\r\n", None)],
)
def test_a_busy_listener_says_when_to_come_again(line: str, asked_for: int | None) -> None:
    head = f"HTTP/1.1 503 Service Unavailable\r\n{line}Connection: close\r\n\r\n".encode()
    with pytest.raises(TrustWardenError) as refused:
        lease._read_upgraded(lambda _: head, lambda _: None, monotonic() + 60)  # pyright: ignore[reportPrivateUsage]
    assert (refused.value.code, refused.value.details["reason"]) == ("server_unreachable", "status 503")
    assert refused.value.details.get("retryAfterSeconds") == asked_for


class SilentLease:
    """What a connection sees of a lease whose view waits for a hello."""

    _is_over = False

    def _next_beat(self) -> None:
        return None


def test_a_place_that_upgrades_and_does_not_even_say_hello_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    waits: list[float] = []

    def receive(_: int) -> bytes:
        assert clock[0] < 60
        clock[0] += waits[-1]
        raise TimeoutError

    monkeypatch.setattr(lease, "monotonic", lambda: clock[0])
    silent = cast("Any", SilentLease())
    following = lease._Following(  # pyright: ignore[reportPrivateUsage]
        silent, LeasePatience(lambda: 0.0), receive, lambda _: None, waits.append
    )
    with pytest.raises(TrustWardenError) as left:
        following.run(b"")
    assert (left.value.code, clock[0] < 2) == ("server_unreachable", True)


def test_a_place_that_drips_its_answer_is_left_when_the_try_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]

    def drip(_: int) -> bytes:
        clock[0] += 1
        return b"H"

    monkeypatch.setattr(lease, "monotonic", lambda: clock[0])
    with pytest.raises(TrustWardenError) as left:
        lease._read_upgraded(drip, lambda _: None, 5.0)  # pyright: ignore[reportPrivateUsage]
    assert (left.value.code, clock[0]) == ("server_unreachable", 5)
