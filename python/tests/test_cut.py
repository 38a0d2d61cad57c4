"""A visit that is cut: everybody who asked to hear of it does, and the watch over all other visits goes on."""

from __future__ import annotations

import asyncio
import threading

import pytest

from trustwarden import AgentIdentity
from trustwarden.adapters import _cut
from trustwarden.adapters._agent_run import AgentRun, RunEnded
from trustwarden.errors import TrustWardenError, fail
from trustwarden.service.live_visits import LiveVisits
from trustwarden.service.visit import Cut


def refuse() -> None:
    raise fail("identity_revoked")


def fail_itself() -> None:
    raise ValueError("a listener of somebody else's")


def test_a_listener_that_fails_keeps_no_other_from_hearing() -> None:
    cut, heard = Cut(), threading.Event()
    cut.on_cut(fail_itself)
    cut.on_cut(heard.set)
    cut.cut(fail("identity_revoked"))
    assert heard.is_set()


def test_a_listener_that_fails_ends_no_watch_over_other_visits() -> None:
    visits, heard = LiveVisits(), threading.Event()
    first, second = Cut(), Cut()
    first.on_cut(fail_itself)
    second.on_cut(heard.set)
    visits.watch(first, refuse)
    visits.watch(second, refuse)
    assert heard.wait(30)
    later, told = Cut(), threading.Event()
    later.on_cut(told.set)
    visits.watch(later, refuse)
    assert told.wait(30)


def test_a_listener_that_comes_late_hears_at_once_and_may_fail() -> None:
    cut = Cut()
    cut.cut(fail("identity_revoked"))
    heard = threading.Event()
    cut.on_cut(fail_itself)
    cut.on_cut(heard.set)
    assert heard.is_set()
    assert isinstance(_error_of(cut), TrustWardenError)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), asyncio.CancelledError(), GeneratorExit()])
def test_what_somebody_else_ends_is_never_told_as_a_stop(orchestrator: AgentIdentity, error: BaseException) -> None:
    cut = _cut.Cut(AgentRun(orchestrator, None, is_owned=False))
    cut.begin()
    cut._stop()  # pyright: ignore[reportPrivateUsage]
    assert cut.end(type(error), error, None) is None
    assert isinstance(cut.end(ValueError, ValueError(), None), RunEnded)


def _error_of(cut: Cut) -> Exception | None:
    try:
        cut.raise_if_cut()
    except TrustWardenError as error:
        return error
    return None
