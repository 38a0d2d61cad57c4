"""The guides of the frameworks of this folder."""

from __future__ import annotations

from pathlib import Path

import pytest
from guides import expect_blocks_do_what_they_say

GUIDES = {
    "python-agent-framework": "agent_framework",
    "python-claude-agent": "claude_agent",
    "python-llama-index": "llama_index",
    "python-openai-agents": "openai_agents",
    "python-pydantic-ai": "pydantic_ai",
}


@pytest.mark.parametrize("page", GUIDES)
def test_the_blocks_of_the_guide_do_what_it_says(page: str, reader: dict[str, str], tmp_path: Path) -> None:
    expect_blocks_do_what_they_say(page, GUIDES[page], "desk.researcher", reader, tmp_path)
