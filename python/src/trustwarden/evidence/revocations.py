"""What the log says was revoked, and whom it touches: instances that were issued before.

An agent may be enrolled anew after it was stopped, by a document that was signed later; its new instance is not the one
that was meant. Before and after are told by epochs, which the store gives in the order of its commits.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ..records import ControlRecord, seconds_of


class Revocations:
    """Owns the revocations of one audit, by what was named: an owner, an agent, an instance or its SPIFFE ID."""

    def __init__(self) -> None:
        self._by_name: dict[str, list[tuple[int, int]]] = {}

    def add(self, control: ControlRecord) -> None:
        """Notes an event that ended something, as an agent that was given away did; passes over all others."""
        if is_ending(control) and control.subject is not None:
            self._by_name.setdefault(control.subject, []).append((control.epoch, seconds_of(control.time)))

    def find(self, names: Iterable[str], *, after: int, until: int) -> tuple[str, int] | None:
        """A revocation of one of these names, later than one epoch and not later than another."""
        for name in names:
            for epoch, _ in self._by_name.get(name, ()):
                if after < epoch <= until:
                    return name, epoch
        return None

    def last_at(self, names: Iterable[str], until: int) -> int | None:
        """When one of these names was last revoked, as of an epoch; Unix seconds."""
        times = [at for name in names for epoch, at in self._by_name.get(name, ()) if epoch <= until]
        return max(times) if times else None


def is_ending(control: ControlRecord) -> bool:
    """Whether nothing that was alive below the subject is alive afterwards."""
    is_given = control.kind == "transfer" and control.details.get("change") == "accept"
    return control.allow and (control.kind == "revoke" or is_given)


def names_of(spiffe_id: str, chain: Sequence[str]) -> list[str]:
    """The names under which an instance can be revoked."""
    return [*(link.removeprefix("owner:") for link in chain), spiffe_id, spiffe_id.rpartition("/")[2]]
