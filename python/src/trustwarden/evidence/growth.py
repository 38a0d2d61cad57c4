"""That the log of an evidence bundle was not rewritten since an earlier checkpoint.

`checkpoint.prev` is a checkpoint as somebody held it, and `consistency.txt` the proof that the tree of its shard in the
bundle grew out of it. From there on every shard of the bundle begins with exactly the tree that the one before has.

See: docs/decisions/0072
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from .._bytes import parse_utf8
from ..errors import TrustWardenError
from ..log_proof import origin_of_note, parse_proof_hash
from ..merkle import verify_consistency
from ..notes import Checkpoint, verify_checkpoint
from ..shards import parse_shard_start
from .contents import OpenedBundle
from .heads import BundleHead, invalid

EARLIER_FILE = "checkpoint.prev"
GROWTH_FILE = "consistency.txt"

_HEADER = "trustwarden.dev/consistency-proof@v1"
_SIZES = re.compile(r"sizes ([1-9][0-9]{0,15}) ([1-9][0-9]{0,15})")
_MAX_HASHES = 110
_MAX_CHARS = 8192


@dataclass(frozen=True, slots=True)
class EarlierCheckpoint:
    """What a bundle shows to have grown into its trees."""

    checkpoint: Checkpoint
    is_yours: bool
    """Whether it is the one that the auditor holds; else somebody has to compare it."""


def verify_growth(opened: OpenedBundle, heads: Sequence[BundleHead], held: str | None) -> EarlierCheckpoint | None:
    """The earlier checkpoint that a bundle grew out of; None without one.

    Raises: TrustWardenError `evidence_bundle_invalid` for another tree than the auditor holds, or shards that do not
    connect; `checkpoint_malformed`, `checkpoint_untrusted`, `proof_malformed`, `proof_invalid`.
    """
    note, text = opened.files.get(EARLIER_FILE), opened.files.get(GROWTH_FILE)
    if note is None and text is None:
        return None
    if note is None or text is None:
        raise _invalid("a checkpoint or its proof is missing")
    given = parse_utf8(note)
    at = next((at for at, head in enumerate(heads) if head.checkpoint.origin == origin_of_note(given)), None)
    if at is None:
        raise _invalid("its shard is not here")
    before = heads[at]
    earlier = verify_checkpoint(given, before.vkey)
    old_size, new_size, proof = _parse_proof(parse_utf8(text))
    if (old_size, new_size) != (earlier.size, before.checkpoint.size):
        raise _invalid("a proof of other trees")
    new_root = before.checkpoint.root
    verify_consistency(old_size=old_size, old_root=earlier.root, new_size=new_size, new_root=new_root, proof=proof)
    if held is not None and not _is_of(held, before.vkey, earlier):
        raise _invalid("another tree than you hold")
    for head in heads[at + 1 :]:
        start = parse_shard_start(opened.entries.get(head.first, b""))
        if start is None or not _is_of(start.note, before.vkey, before.checkpoint):
            raise _invalid("a shard after it does not begin with the tree before")
        before = head
    return EarlierCheckpoint(earlier, held is not None)


def _parse_proof(text: str) -> tuple[int, int, list[bytes]]:
    lines = text.split("\n")
    sizes = _SIZES.fullmatch(lines[1]) if len(lines) > 2 else None
    is_form = len(text) <= _MAX_CHARS and lines[0] == _HEADER and lines[-1] == ""
    if sizes is None or not is_form or len(lines) - 3 > _MAX_HASHES:
        raise TrustWardenError("proof_malformed", {"reason": "form"})
    return int(sizes[1]), int(sizes[2]), [parse_proof_hash(line) for line in lines[2:-1]]


def _is_of(note: str, vkey: str, tree: Checkpoint) -> bool:
    """Whether a note is of a tree. Raises `checkpoint_malformed`, `checkpoint_untrusted` for another signature."""
    return origin_of_note(note) == tree.origin and verify_checkpoint(note, vkey) == tree


def _invalid(detail: str) -> TrustWardenError:
    return invalid("earlier checkpoint", detail)
