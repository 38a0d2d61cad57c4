from __future__ import annotations

import threading
from collections.abc import Sequence

import pytest

from trustwarden import TrustWardenError, TrustWardenWarning, outcomes
from trustwarden.outcomes import OutcomeSpool

UNREACHABLE = TrustWardenError("server_unreachable")
REFUSED = TrustWardenError("outcome_refused", {"status": 403, "from": "server"})


class Ledger:
    """Takes outcomes while it is up."""

    def __init__(self) -> None:
        self.failure: TrustWardenError | None = None
        self.taken: list[str] = []
        self.has_taken = threading.Event()

    def send(self, sent: Sequence[str]) -> None:
        if self.failure is not None:
            raise self.failure
        self.taken += sent
        self.has_taken.set()


def test_what_the_server_takes_is_not_kept() -> None:
    ledger = Ledger()
    spool = OutcomeSpool(ledger.send)
    spool.report("one")
    assert (ledger.taken, spool.waiting) == (["one"], 0)


def test_what_could_not_be_reported_is_tried_again_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outcomes, "_FIRST_RETRY_SECONDS", 0.001)
    ledger = Ledger()
    spool = OutcomeSpool(ledger.send)
    ledger.failure = UNREACHABLE
    with pytest.warns(TrustWardenWarning, match="server_unreachable"):
        spool.report("one")
        ledger.failure = None
        assert ledger.has_taken.wait(20)
    assert ledger.taken == ["one"]
    spool.close()


@pytest.mark.filterwarnings("error::trustwarden.TrustWardenWarning")
def test_a_program_that_makes_warnings_errors_loses_no_outcome() -> None:
    ledger = Ledger()
    spool = OutcomeSpool(ledger.send)
    ledger.failure = UNREACHABLE
    spool.report("one")
    ledger.failure = None
    spool.close()
    assert ledger.taken == ["one"]


def test_what_the_server_refuses_for_good_is_given_up_loudly() -> None:
    ledger = Ledger()
    spool = OutcomeSpool(ledger.send)
    ledger.failure = REFUSED
    with pytest.warns(TrustWardenWarning, match="outcome_refused"):
        spool.report("one")
    assert spool.waiting == 0


def test_closing_tries_everything_once_more_and_says_what_is_lost() -> None:
    ledger = Ledger()
    spool = OutcomeSpool(ledger.send)
    ledger.failure = UNREACHABLE
    with pytest.warns(TrustWardenWarning, match="lost"):
        spool.report("one")
        spool.close()
    ledger.failure = None
    again = OutcomeSpool(ledger.send)
    ledger.failure = UNREACHABLE
    with pytest.warns(TrustWardenWarning):
        again.report("two")
    ledger.failure = None
    again.close()
    assert ledger.taken == ["two"]


def test_nothing_new_is_begun_when_the_spool_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outcomes, "_MAX_WAITING", 2)
    spool = OutcomeSpool(Ledger().send)
    give_back, _ = spool.reserve(), spool.reserve()
    with pytest.raises(TrustWardenError) as failed:
        spool.reserve()
    assert failed.value.code == "ledger_unavailable"
    give_back()
    spool.reserve()
