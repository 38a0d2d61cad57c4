from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import pytest

from live import LiveServer, Program
from trustwarden import AgentIdentity, act

SCOPE = ["read:transactions", "write:transactions", "write:ledger", "write:reports"]
_numbers = count()


@pytest.fixture(scope="session", autouse=True)
def patience() -> None:
    """On a machine ten times slower a decision takes longer than its lease; one test looks at that limit alone."""
    act._DECISION_LASTS_SECONDS = 30.0  # pyright: ignore[reportPrivateUsage]


@pytest.fixture(scope="session")
def live() -> Iterator[LiveServer]:
    """One server for all tests, each of which uses names of its own."""
    server = LiveServer()
    yield server
    server.close()


@pytest.fixture(scope="session")
def finance(live: LiveServer) -> Iterator[str]:
    """URL of a service that agents visit."""
    program: Program = live.start_finance()
    yield str(program.ready["url"])
    program.close()


@pytest.fixture
def orchestrator(live: LiveServer) -> Iterator[AgentIdentity]:
    """An agent with a ticket of its own."""
    name = f"orchestrator-{next(_numbers)}"
    with AgentIdentity.create(name=name, ticket=live.ticket(name, SCOPE)) as identity:
        yield identity
