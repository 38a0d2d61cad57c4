from __future__ import annotations

from collections.abc import Iterator

import pytest
from guides import reader
from world import World

__all__ = ["reader", "world"]


@pytest.fixture(scope="session")
def world() -> Iterator[World]:
    """One server for all tests, each of which uses names of its own."""
    world = World()
    yield world
    world.close()
