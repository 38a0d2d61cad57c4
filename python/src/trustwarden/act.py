"""`act`: an action inside the agent's own process, decided by the server before and reported after."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import TypeVar

from .models import JsonObject, KeptReceipt

F = TypeVar("F", bound=Callable[..., object])


class Action:
    """One action of an agent: a context manager, an async one, and a decorator.

    Entering asks and waits; the body runs only when the answer is yes and fresh. Leaving reports what came of it.
    As a decorator each call is an action of its own. One object is entered once.
    """

    action: str
    resource: str
    params: JsonObject | None

    @property
    def receipt(self) -> KeptReceipt:
        """The proven decision; there is one from entering on."""
        raise NotImplementedError

    def __enter__(self) -> Action:
        """Asks. Raises `DeniedError`, `ApprovalRequiredError`, `lease_expired`, `server_unreachable`."""
        raise NotImplementedError

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        raise NotImplementedError

    async def __aenter__(self) -> Action:
        """As `__enter__`, off the event loop."""
        raise NotImplementedError

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        raise NotImplementedError

    def __call__(self, function: F) -> F:
        """Guards each call of a function, sync or async."""
        raise NotImplementedError
