"""An agent's identity in its own process: made before the agent does anything, used for everything it does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import httpx

from .act import Action
from .models import Composition, Json, JsonObject, KeptReceipt, Limits, RevocationAnswer


class IdentityRequest:
    """A child's request to a parent in another process, and the key it is for."""

    text: str
    """Hand this to the parent; it holds no secret."""

    def complete(self, grant: str) -> AgentIdentity:
        """Becomes the identity that the parent granted."""
        raise NotImplementedError

    async def acomplete(self, grant: str) -> AgentIdentity:
        """As `complete`, off the event loop."""
        raise NotImplementedError


class AgentIdentity:
    """A live instance of an agent. Close it when its work is done, or use it as a context manager."""

    @classmethod
    def create(
        cls,
        *,
        name: str,
        scope: Sequence[str] | None = None,
        ttl: str | None = None,
        parent: str | AgentIdentity | None = None,
        limits: Limits | None = None,
        composition: Composition | None = None,
        ticket: str | None = None,
    ) -> AgentIdentity:
        """Creates an instance: with its owner's ticket, or as the child of a live identity of this process."""
        raise NotImplementedError

    @classmethod
    async def acreate(
        cls,
        *,
        name: str,
        scope: Sequence[str] | None = None,
        ttl: str | None = None,
        parent: str | AgentIdentity | None = None,
        limits: Limits | None = None,
        composition: Composition | None = None,
        ticket: str | None = None,
    ) -> AgentIdentity:
        """As `create`, off the event loop."""
        raise NotImplementedError

    @classmethod
    def request(
        cls,
        *,
        name: str,
        scope: Sequence[str],
        ttl: str | None = None,
        limits: Limits | None = None,
        composition: Composition | None = None,
    ) -> IdentityRequest:
        """Starts an identity whose parent lives in another process. The new key stays here."""
        raise NotImplementedError

    @property
    def id(self) -> str:
        """SPIFFE ID of this instance."""
        raise NotImplementedError

    @property
    def agent_id(self) -> str:
        """`agt_…` of the agent that this is an instance of."""
        raise NotImplementedError

    @property
    def instance_id(self) -> str:
        """`inst-…`."""
        raise NotImplementedError

    @property
    def name(self) -> str:
        """The agent's name."""
        raise NotImplementedError

    @property
    def scope(self) -> tuple[str, ...]:
        """As issued, canonical; what is effective is decided along the whole chain at each action."""
        raise NotImplementedError

    @property
    def chain(self) -> tuple[str, ...]:
        """`owner:<id>`, then agent ids from the root down to this one."""
        raise NotImplementedError

    @property
    def expires_at(self) -> int:
        """End of the instance, Unix seconds."""
        raise NotImplementedError

    @property
    def svid_expires_at(self) -> int:
        """End of the SVID at hand, Unix seconds; renewed at half life."""
        raise NotImplementedError

    @property
    def ttl_shortened(self) -> bool:
        """Whether the lifetime asked for was cut to what the parent had left."""
        raise NotImplementedError

    @property
    def receipts(self) -> tuple[KeptReceipt, ...]:
        """Proven receipts of recent actions, oldest first; a bounded list."""
        raise NotImplementedError

    def spawn(
        self,
        *,
        name: str,
        scope: Sequence[str],
        ttl: str | None = None,
        limits: Limits | None = None,
        composition: Composition | None = None,
    ) -> AgentIdentity:
        """Makes a child in this process."""
        raise NotImplementedError

    async def aspawn(
        self,
        *,
        name: str,
        scope: Sequence[str],
        ttl: str | None = None,
        limits: Limits | None = None,
        composition: Composition | None = None,
    ) -> AgentIdentity:
        """As `spawn`, off the event loop."""
        raise NotImplementedError

    def grant(self, request: str) -> str:
        """Grants what a child in another process requested, for the next minute and once."""
        raise NotImplementedError

    def act(
        self,
        action: str,
        resource: str,
        params: JsonObject | None = None,
        *,
        approval: str | None = None,
        job: str | None = None,
    ) -> Action:
        """An action in this process that no service guards (`enforcement: self`)."""
        raise NotImplementedError

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
        """One request with one signed intent, over a connection to a proven service."""
        raise NotImplementedError

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
        raise NotImplementedError

    def client(self) -> httpx.Client:
        """An `httpx` client for libraries that take one; each of its requests is a `fetch`."""
        raise NotImplementedError

    def async_client(self) -> httpx.AsyncClient:
        """The same for asyncio."""
        raise NotImplementedError

    def wait_for_approval(self, request: str, *, timeout: float = 900.0) -> str:
        """Asks the owner about a call that ended with `approval_required`, and waits for the answer."""
        raise NotImplementedError

    async def await_approval(self, request: str, *, timeout: float = 900.0) -> str:
        """As `wait_for_approval`, off the event loop."""
        raise NotImplementedError

    def revoke(self, reason: str = "", *, child: str | AgentIdentity | None = None) -> RevocationAnswer:
        """Ends this identity and everything below it, or one descendant and everything below that."""
        raise NotImplementedError

    async def arevoke(self, reason: str = "", *, child: str | AgentIdentity | None = None) -> RevocationAnswer:
        """As `revoke`, off the event loop."""
        raise NotImplementedError

    def jwt(self, audience: str) -> str:
        """A JWT-SVID for one audience, for systems that take no certificate; our own services refuse it."""
        raise NotImplementedError

    async def ajwt(self, audience: str) -> str:
        """As `jwt`, off the event loop."""
        raise NotImplementedError

    def renew(self) -> None:
        """Takes a new key and SVID now, as happens by itself at half life."""
        raise NotImplementedError

    def close(self) -> None:
        """Forgets the key and closes the connections. The identity stays valid until it ends; `revoke` ends it."""
        raise NotImplementedError

    async def aclose(self) -> None:
        """As `close`, off the event loop."""
        raise NotImplementedError
