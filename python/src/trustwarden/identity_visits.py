"""What an identity asks of services: one request, or a client for libraries that take one."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import httpx

from ._json import Json, JsonObject
from ._threads import in_thread
from .client import AgentClient, AgentTransport, AsyncAgentClient, AsyncAgentTransport, client_options
from .fetch import Meaning, agent_fetch
from .plain_response import whole_within
from .routes import Place
from .session import AgentSession

_MAX_KNOWN_URLS = 64
"""Most agents ask the same few again and again, and reading one costs as much as signing for it."""


class IdentityVisits:
    """The half of `AgentIdentity` that visits services; each request is one signed intent."""

    _session: AgentSession
    _place: Place

    def fetch(
        self,
        url: str,
        *,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        content: bytes | str | None = None,
        json: Json = None,
        action: str | None = None,
        resource: str | None = None,
        params: JsonObject | None = None,
        verifier: str | None = None,
        approval: str | None = None,
        job: str | None = None,
        timeout: float = 30.0,
    ) -> httpx.Response:
        """One request with one signed intent, over a connection to a proven service; its answer is read whole.

        `timeout` is seconds until the answer's headers are here, and between parts of its body; the whole of it has ten
        times as long, and 64 MiB. It comes as it is sent, undecoded unless `headers` ask for a coding. For answers that
        stream, and for libraries that take a client, see `client`. Raises as `agent_fetch`.
        """
        meaning = Meaning(action, resource, params, verifier, approval, job)
        timeouts = dict.fromkeys(("connect", "read", "write", "pool"), timeout)
        sent = httpx.Request(
            method, _parsed(url), headers=headers, content=content, json=json, extensions={"timeout": timeouts}
        )
        response = agent_fetch(self._session, self._place.routes, sent, meaning, whole_within(timeout))
        try:
            response.read()
        finally:
            response.close()
        return response

    async def afetch(
        self,
        url: str,
        *,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        content: bytes | str | None = None,
        json: Json = None,
        action: str | None = None,
        resource: str | None = None,
        params: JsonObject | None = None,
        verifier: str | None = None,
        approval: str | None = None,
        job: str | None = None,
        timeout: float = 30.0,
    ) -> httpx.Response:
        """As `fetch`, off the event loop."""
        return await in_thread(
            lambda: self.fetch(
                url,
                method=method,
                headers=headers,
                content=content,
                json=json,
                action=action,
                resource=resource,
                params=params,
                verifier=verifier,
                approval=approval,
                job=job,
                timeout=timeout,
            )
        )

    def client(self, **options: Any) -> httpx.Client:
        """An `httpx` client for libraries that take one; each of its requests is a `fetch`, and may stream.

        `options` are those of `httpx.Client`; raises `TypeError` for one that decides where requests go or to whom.
        """
        return AgentClient(**client_options(options), transport=AgentTransport(self._visit))

    def async_client(self, **options: Any) -> httpx.AsyncClient:
        """The same for asyncio."""
        return AsyncAgentClient(**client_options(options), transport=AsyncAgentTransport(self._visit))

    def _visit(self, request: httpx.Request, meaning: Meaning) -> httpx.Response:
        return agent_fetch(self._session, self._place.routes, request, meaning)


@lru_cache(_MAX_KNOWN_URLS)
def _parsed(url: str) -> httpx.URL:
    """A URL never changes once it is read. Raises `httpx.InvalidURL`."""
    return httpx.URL(url)
