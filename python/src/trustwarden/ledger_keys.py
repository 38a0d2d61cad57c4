"""The keys of a ledger: one from its beginning, and another from each shard on whose predecessor names it at its end.

Nothing else makes a key the ledger's. Where the shards begin is the server's word, which only narrows what a key may
sign.

See: docs/decisions/0093
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from .answers import Members
from .errors import TrustWardenError, fail
from .log_proof import origin_of_note, parse_tlog_proof
from .merkle import leaf_hash, verify_inclusion
from .notes import Checkpoint, NoteKey, parse_vkey
from .shards import encode_shard_end, is_same_log_key, shard_rank, verify_shard_checkpoint, vkey_for

_MAX_KEYS = 1000
"""A turn is an operator's act; more keys are somebody who wastes a reader's time."""

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class LedgerKey:
    """One key of a ledger, and from where on it is the one."""

    vkey: str
    """Under the ledger's own name, as promises are signed."""
    key: NoteKey
    origin: str
    """The first log that it signs."""
    first: int
    """Position in the ledger of that log's entry 0."""


@dataclass(frozen=True, slots=True)
class ListedShard:
    """A shard as it is listed, nothing verified."""

    vkey: str
    first: int
    named_by: str | None
    """C2SP tlog-proof of the end before it, where its key is another than before."""


def first_ledger_key(vkey: str) -> LedgerKey:
    """What a reader begins with. Raises `checkpoint_malformed`."""
    key = parse_vkey(vkey)
    return LedgerKey(vkey, key, key.name, 0)


def follow_ledger_keys(known: Sequence[LedgerKey], shards: Sequence[ListedShard]) -> list[LedgerKey]:
    """All keys that a list of shards proves, from those that are known on; at least one is.

    Raises: TrustWardenError `checkpoint_malformed`, `checkpoint_untrusted`, `proof_malformed`, `proof_invalid`.
    """
    if len(shards) > _MAX_KEYS:
        raise _untrusted("no ledger")
    last = known[0]
    ledger = last.key.name
    keys = [last]
    for shard in shards:
        if is_same_log_key(shard.vkey, last.vkey):
            continue
        if shard.named_by is None:
            raise _untrusted("a key that no shard names")
        _require_named(shard.vkey, shard.named_by, last)
        own = vkey_for(shard.vkey, ledger)
        last = LedgerKey(own, parse_vkey(own), parse_vkey(shard.vkey).name, shard.first)
        keys.append(last)
    if [key.vkey for key in keys[: len(known)]] != [key.vkey for key in known]:
        raise _untrusted("other keys than before")
    return keys


def _require_named(vkey: str, text: str, by: LedgerKey) -> None:
    claim = parse_tlog_proof(text)
    ledger = by.key.name
    head = verify_shard_checkpoint(claim.checkpoint, by.vkey)
    rank = shard_rank(ledger, head.origin)
    is_of_key = rank >= shard_rank(ledger, by.origin)
    if not is_of_key or claim.index != head.size - 1 or shard_rank(ledger, parse_vkey(vkey).name) <= rank:
        raise _untrusted("a key that no shard's end names")
    leaf = leaf_hash(encode_shard_end(vkey))
    verify_inclusion(index=claim.index, size=head.size, leaf=leaf, proof=claim.proof, root=head.root)


def _untrusted(reason: str) -> TrustWardenError:
    return fail("checkpoint_untrusted", {"reason": reason})


class FollowedKeys:
    """The keys that this process followed to, from the one that first contact pinned; they only become more."""

    def __init__(self, vkey: str, read_shards: Callable[[], Sequence[Members]]) -> None:
        self._read_shards = read_shards
        self._lock = threading.Lock()
        self._keys = [first_ledger_key(vkey)]
        self.vkey = vkey
        """Key of the ledger's first log, by which the ledger is known."""

    def with_key_at(self, position: int, verify: Callable[[NoteKey], _T]) -> _T:
        """Verifies what is promised for a position, by its shard's key. Raises what `verify` raises."""
        return self._with_key(
            lambda: next((key for key in reversed(self._keys) if key.first <= position), self._keys[0]),
            lambda key: verify(key.key),
        )

    def verify_checkpoint(self, note: str) -> Checkpoint:
        """A checkpoint of any shard. Raises `checkpoint_malformed`, `checkpoint_untrusted`."""
        ledger = self._keys[0].key.name
        rank = shard_rank(ledger, origin_of_note(note))
        return self._with_key(
            lambda: next(
                (key for key in reversed(self._keys) if shard_rank(ledger, key.origin) <= rank), self._keys[0]
            ),
            lambda key: verify_shard_checkpoint(note, key.vkey),
        )

    def _with_key(self, key_of: Callable[[], LedgerKey], verify: Callable[[LedgerKey], _T]) -> _T:
        """Another key is looked for only when the known one does not do: nothing is asked before that."""
        known = key_of()
        try:
            return verify(known)
        except TrustWardenError:
            self._follow()
            if key_of() == known:
                raise
        return verify(key_of())

    def _follow(self) -> None:
        with self._lock:
            try:
                self._keys = follow_ledger_keys(self._keys, [_parse_shard(one) for one in self._read_shards()])
            except TrustWardenError:
                # Safe: the known keys stay, and what they did not verify is refused.
                return


def _parse_shard(shard: Members) -> ListedShard:
    return ListedShard(shard.text("vkey"), shard.integer("first"), shard.text_or_none("named_by"))
