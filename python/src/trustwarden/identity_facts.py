"""What an identity says of itself, as it was issued: nothing here asks anybody or changes anything."""

from __future__ import annotations

from .models import KeptReceipt
from .session import AgentSession


class IdentityFacts:
    """The read-only half of `AgentIdentity`."""

    _session: AgentSession

    @property
    def id(self) -> str:
        """SPIFFE ID of this instance."""
        return self._session.answer.spiffe_id

    @property
    def agent_id(self) -> str:
        """`agt_…` of the agent that this is an instance of."""
        return self._session.answer.agent_id or ""

    @property
    def instance_id(self) -> str:
        """`inst-…`."""
        return self._session.answer.instance_id

    @property
    def name(self) -> str:
        """The agent's name."""
        return self._session.answer.name

    @property
    def scope(self) -> tuple[str, ...]:
        """As issued, canonical; what is effective is decided along the whole chain at each action."""
        return self._session.answer.scope

    @property
    def chain(self) -> tuple[str, ...]:
        """`owner:<id>`, then agent ids from the root down to this one."""
        return self._session.answer.chain

    @property
    def expires_at(self) -> int:
        """End of the instance, Unix seconds."""
        return self._session.answer.instance_expires_at

    @property
    def svid_expires_at(self) -> int:
        """End of the SVID at hand, Unix seconds; renewed at half life."""
        return self._session.holder.current().expires_at

    @property
    def ttl_shortened(self) -> bool:
        """Whether the lifetime asked for was cut to what the parent had left."""
        return self._session.answer.ttl_shortened

    @property
    def receipts(self) -> tuple[KeptReceipt, ...]:
        """Proven receipts of recent actions, oldest first; a bounded list."""
        return self._session.receipts
