"""The guide of CrewAI."""

from __future__ import annotations

from pathlib import Path

from guides import expect_blocks_do_what_they_say


def test_the_blocks_of_the_guide_do_what_it_says(reader: dict[str, str], tmp_path: Path) -> None:
    expect_blocks_do_what_they_say("python-crewai", "crewai", "desk.clerk.researcher", reader, tmp_path)
