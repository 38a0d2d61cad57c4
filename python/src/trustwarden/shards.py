"""Shards of a ledger: logs one after the other, chained at both ends.

The first log has the ledger's own name, the next ones are `<ledger>/<year>q<quarter>`. The last entry of a shard names
the next one with its key, which may be another. Entry 0 of a shard is the final checkpoint of the one before, and says
at which position of the ledger it stands.

See: docs/decisions/0043, docs/decisions/0093
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ._bytes import encode_base64, parse_utf8
from ._crypto import sha256
from ._json import MAX_SAFE_INTEGER
from .errors import TrustWardenError
from .notes import ALGORITHM_ED25519, Checkpoint, parse_vkey, verify_checkpoint

_NAME = re.compile(r"([1-9][0-9]{3})q([1-4])(?:\.([2-9]|[1-9][0-9]{1,2}))?")
_END = re.compile(r"trustwarden\.dev/shard-end@v1\nnext ([^\n]+)\n")
_START = re.compile(r"trustwarden\.dev/shard-start@v1\nfirst (0|[1-9][0-9]{0,15})\n\n(.*)", re.DOTALL)
_MAX_MARK_BYTES = 65_535


@dataclass(frozen=True, slots=True)
class UnverifiedShardStart:
    """What entry 0 of a shard says; nothing is verified."""

    first: int
    """Position of this entry in the ledger."""
    note: str
    """The final checkpoint of the shard before."""


def is_shard_origin(ledger: str, origin: str) -> bool:
    """Whether an origin is that of a shard of a ledger which is not its first."""
    return _name_of(ledger, origin) is not None


def shard_rank(ledger: str, origin: str) -> tuple[int, int, int]:
    """Where a log stands among those of a ledger: the first one is (0, 0, 0), and later ones are greater.

    Raises: TrustWardenError `checkpoint_untrusted` for a log of another ledger.
    """
    if origin == ledger:
        return (0, 0, 0)
    name = _name_of(ledger, origin)
    if name is None:
        raise TrustWardenError("checkpoint_untrusted", {"reason": "other origin"})
    return (int(name[1]), int(name[2]), int(name[3] or 1))


def is_shard_successor(origin: str, following: str) -> bool:
    """Whether one log of a ledger can come after another."""
    for ledger in (origin, origin.rpartition("/")[0]):
        if is_shard_origin(ledger, following) and (origin == ledger or is_shard_origin(ledger, origin)):
            return shard_rank(ledger, origin) < shard_rank(ledger, following)
    return False


def _name_of(ledger: str, origin: str) -> re.Match[str] | None:
    start = f"{ledger}/"
    return _NAME.fullmatch(origin, len(start)) if origin.startswith(start) else None


def vkey_for(vkey: str, origin: str) -> str:
    """The key of a shard whose log signs with the same key as that of a vkey.

    Raises: TrustWardenError `checkpoint_malformed`.
    """
    typed = bytes([ALGORITHM_ED25519]) + parse_vkey(vkey).raw
    key_id = sha256(f"{origin}\n".encode("utf-8", "surrogatepass") + typed)[:4]
    return f"{origin}+{key_id.hex()}+{encode_base64(typed)}"


def is_same_log_key(left: str, right: str) -> bool:
    """Whether two logs sign with one key, under whatever names. Raises `checkpoint_malformed`."""
    return parse_vkey(left).raw == parse_vkey(right).raw


def verify_shard_checkpoint(note: str, vkey: str) -> Checkpoint:
    """A checkpoint of any shard of a ledger; the vkey is of its first log, or of a key that the chain has led to.

    Raises: TrustWardenError `checkpoint_malformed`, `checkpoint_untrusted`.
    """
    origin = note.partition("\n")[0]
    shard_rank(parse_vkey(vkey).name, origin)
    return verify_checkpoint(note, vkey_for(vkey, origin))


def parse_shard_start(entry: bytes) -> UnverifiedShardStart | None:
    """What entry 0 of a shard says; None for any other entry."""
    if len(entry) > _MAX_MARK_BYTES:
        return None
    try:
        found = _START.fullmatch(parse_utf8(entry))
    except TrustWardenError:
        return None
    if found is None or int(found[1]) > MAX_SAFE_INTEGER:
        return None
    return UnverifiedShardStart(int(found[1]), found[2])


def encode_shard_end(vkey: str) -> bytes:
    """The last entry of a shard, which names the key of the next one."""
    return f"trustwarden.dev/shard-end@v1\nnext {vkey}\n".encode()


def parse_shard_end(entry: bytes) -> str | None:
    """Key of the next shard that the last entry of one names; None for any other entry.

    Raises: TrustWardenError `checkpoint_malformed` for an end that names what is no key of a log.
    """
    found = _END.fullmatch(entry.decode("latin-1")) if len(entry) <= _MAX_MARK_BYTES else None
    if found is None:
        return None
    if parse_vkey(found[1]).algorithm != ALGORITHM_ED25519:
        raise TrustWardenError("checkpoint_malformed", {"reason": "no key of a log"})
    return found[1]
