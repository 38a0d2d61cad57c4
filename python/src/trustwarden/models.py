"""The values that callers hand in and get back; no behaviour of their own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypedDict

from ._json import Json, JsonObject
from .receipts import Receipt

__all__ = ["Composition", "Json", "JsonObject", "KeptReceipt", "Limits", "Receipt", "RevocationAnswer"]


class Limits(TypedDict, total=False):
    """What an agent may hand on."""

    depth: int
    """Generations below it that may still be made."""
    fan_out: int
    """Live direct children."""
    budget: int | None
    """Integer units; None is unlimited."""


class Composition(TypedDict, total=False):
    """SHA-256 digests (base64url) of what an agent is made of; bound to the instance for its life."""

    model: str
    prompts: str
    skills: str
    tools: str


@dataclass(frozen=True)
class KeptReceipt:
    """A proven receipt with what the agent needs to show later what it was about."""

    receipt: Receipt
    allow: bool
    reasons: tuple[str, ...]
    action: str
    resource: str
    params: JsonObject | None
    params_salt: str | None
    """base64url; opens the intent's commitment to `params`. None without parameters."""


@dataclass(frozen=True)
class RevocationAnswer:
    """What a revocation reached; it answers when every live lease has acknowledged it or run out."""

    epoch: int
    instances: int
    """Live instances that died by this."""
    acked: int
    """Verifiers that acknowledged the epoch."""
    expired: int
    """Verifiers whose lease ran out instead."""
    elapsed_ms: float
    stopped_by: str
    """RFC 3339: no verifier allows after this instant."""
    event_id: str
    recorded: bool
    """False: in force, but the ledger could not record it yet."""
