"""`httpx` transports whose requests are an agent's: for libraries that bring their own calls and take a client."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import Any

import httpx

from ._threads import in_thread
from .fetch import Meaning
from .plain_response import PlainResponse, asks_for_coding

Visit = Callable[[httpx.Request, Meaning], httpx.Response]
"""One guarded request; the answer's body is still to be read."""

_OTHER_WAYS = frozenset(("cert", "mounts", "proxy", "transport", "verify"))
EXTENSION = "trustwarden"
"""Name of the request extension that says what a request means: a `Meaning`."""


def meaning_of(request: httpx.Request) -> Meaning:
    """What the caller says that a request means; nothing unless told."""
    meaning = request.extensions.get(EXTENSION)
    return meaning if isinstance(meaning, Meaning) else Meaning()


def client_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """What an agent's client is made with. Raises `TypeError` for what decides where requests go or to whom."""
    # Each of these would send requests past the guard, unsigned and to a peer that nobody has proven.
    other_ways = sorted(_OTHER_WAYS.intersection(options))
    if other_ways:
        raise TypeError(f"an agent's client goes its own way; it takes no {', '.join(other_ways)}")
    # An intent is for one target, and what the environment says of proxies is not who we talk to.
    headers = {"accept-encoding": "identity", **dict(options.get("headers") or {})}
    return {"timeout": 30.0, **options, "headers": headers, "follow_redirects": False, "trust_env": False}


class AgentClient(httpx.Client):
    """Follows no redirect, whoever asks for it: a service would have the agent do what it likes at another one."""

    def send(self, request: httpx.Request, *, follow_redirects: Any = False, **options: Any) -> httpx.Response:
        """As `httpx.Client.send`."""
        return super().send(request, follow_redirects=False, **options)


class AsyncAgentClient(httpx.AsyncClient):
    """The same for asyncio."""

    async def send(self, request: httpx.Request, *, follow_redirects: Any = False, **options: Any) -> httpx.Response:
        """As `httpx.AsyncClient.send`."""
        return await super().send(request, follow_redirects=False, **options)


class AgentTransport(httpx.BaseTransport):
    """Sends each request as the agent's own, with an intent of its own."""

    def __init__(self, visit: Visit) -> None:
        self._visit = visit

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Raises as `agent_fetch`."""
        return self._visit(request, meaning_of(request))


class AsyncAgentTransport(httpx.AsyncBaseTransport):
    """The same, off the event loop."""

    def __init__(self, visit: Visit) -> None:
        self._visit = visit

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Raises as `agent_fetch`."""
        body = await request.aread()
        sent = httpx.Request(
            request.method, request.url, headers=request.headers, content=body, extensions=request.extensions
        )
        response = await in_thread(lambda: self._visit(sent, meaning_of(request)), httpx.Response.close)
        make = httpx.Response if asks_for_coding(request.headers) else PlainResponse
        return make(
            response.status_code,
            headers=response.headers,
            stream=_AsyncBody(response),
            request=request,
            extensions=response.extensions,
        )


class _AsyncBody(httpx.AsyncByteStream):
    def __init__(self, response: httpx.Response) -> None:
        self._response = response
        self._parts: Iterator[bytes] = response.iter_raw()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while (part := await in_thread(lambda: next(self._parts, None))) is not None:
            yield part

    async def aclose(self) -> None:
        await in_thread(self._response.close)
