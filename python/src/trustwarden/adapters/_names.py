"""Names of the agents that adapters make."""

from __future__ import annotations

import hashlib
import re

MAX_NAME_CHARS = 63
_NOT_IN_NAMES = re.compile(r"[^a-z0-9._-]+")


def child_name(parent: str, name: str) -> str:
    """A name that only children of this parent have: names belong to their first parent."""
    plain = _NOT_IN_NAMES.sub("-", name.lower()).strip("-._") or "agent"
    full = f"{parent}.{plain}"
    if len(full) <= MAX_NAME_CHARS:
        return full
    digest = hashlib.sha256(full.encode()).hexdigest()[:12]
    return f"{full[: MAX_NAME_CHARS - 13]}-{digest}"
