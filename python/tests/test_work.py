"""Work that a registration brings when its owner registers many agents."""

from __future__ import annotations

from trustwarden.work import find_work, work_bits_of


def test_work_is_the_same_number_in_every_language() -> None:
    # core/agentid/registration-work.test.ts has the same.
    assert work_bits_of('{"the":"proof"}', "1733") == 13
    assert find_work('{"the":"proof"}', 12) == "1733"


def test_work_has_the_bits_that_were_asked_for_and_is_worth_nothing_with_another_proof() -> None:
    work = find_work("one", 14)
    assert work_bits_of("one", work) >= 14
    assert work_bits_of("another", work) < 14
