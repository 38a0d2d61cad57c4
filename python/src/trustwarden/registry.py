"""The live identities of this process, by SPIFFE ID.

`AgentIdentity.create(parent=orchestrator.id)` names a parent by text. A text proves nothing, so it counts only for an
identity whose key is in this very process; a forked child begins with none.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

from .errors import fail
from .runtime import now_seconds

if TYPE_CHECKING:
    from .identity import AgentIdentity


class LiveIdentities:
    """Holds capabilities, and hands them to nobody outside the package."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_id: dict[str, AgentIdentity] = {}
        self._swept_at = 0

    def add(self, identity: AgentIdentity) -> None:
        """Also lets go of those that ended without being closed."""
        now = now_seconds()
        with self._lock:
            if now != self._swept_at:
                self._swept_at = now
                self._by_id = {key: one for key, one in self._by_id.items() if now < one.expires_at}
            self._by_id[identity.id] = identity

    def remove(self, identity: AgentIdentity) -> None:
        """Forgets an identity."""
        with self._lock:
            self._by_id.pop(identity.id, None)

    def get(self, identity: str | AgentIdentity) -> AgentIdentity:
        """A live identity by its id, or itself. Raises `parent_proof_missing` unless it is alive in this process."""
        spiffe_id = identity if isinstance(identity, str) else identity.id
        with self._lock:
            found = self._by_id.get(spiffe_id)
        if found is None or now_seconds() >= found.expires_at:
            raise fail("parent_proof_missing", {"parent": spiffe_id[:256]})
        return found

    def all(self) -> list[AgentIdentity]:
        """Those that are not closed."""
        with self._lock:
            return list(self._by_id.values())

    def begin_anew(self) -> None:
        """In a forked child: nothing of its parent's is its own."""
        self._lock = threading.Lock()
        self._by_id = {}


LIVE = LiveIdentities()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=LIVE.begin_anew)
