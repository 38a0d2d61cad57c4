"""The trees that entries of a bundle are in, and the proofs that they are: one log, or shards one after the other.

See: docs/decisions/0043
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from .._bytes import parse_utf8
from .._json import MAX_SAFE_INTEGER
from ..errors import TrustWardenError
from ..log_proof import (
    Cosignature,
    TlogPolicy,
    origin_of_note,
    parse_range_proof,
    parse_tlog_proof,
    verify_witnessed_checkpoint,
    vkey_under,
)
from ..merkle import leaf_hash, verify_inclusion, verify_range
from ..notes import Checkpoint, parse_vkey
from ..shards import parse_shard_end, parse_shard_start, shard_rank, verify_shard_checkpoint, vkey_for
from .archive import malformed
from .contents import CHECKPOINT_FILE, RANGE_FILE, OpenedBundle, file_of

_SHARD_PATH = re.compile(r"shards/(0|[1-9][0-9]{0,15})\.checkpoint")


@dataclass(frozen=True, slots=True)
class BundleHead:
    """A tree under the auditor's policy."""

    first: int
    """Position of its entry 0 in the ledger."""
    note: str
    range_path: str
    checkpoint: Checkpoint
    cosignatures: tuple[Cosignature, ...]
    vkey: str
    """Key that signed it."""
    following: str | None
    """Key of the shard that its last entry names, when the bundle has that and it is the end of a shard."""


def verify_heads(opened: OpenedBundle, policy: TlogPolicy, vkey: str) -> list[BundleHead]:
    """The trees of a bundle, oldest first, at least one. The vkey is that of the ledger's first log.

    The end of a shard may name another key for the next one; that it is in its tree is shown like of any other entry.

    Raises: TrustWardenError `evidence_bundle_malformed`, `evidence_bundle_invalid`, `checkpoint_malformed`,
    `checkpoint_untrusted`, `checkpoint_unwitnessed`.
    """
    newest = parse_utf8(file_of(opened.files, CHECKPOINT_FILE))
    firsts = sorted(int(match[1]) for path in opened.files if (match := _SHARD_PATH.fullmatch(path)))
    paths = [(first, f"shards/{first}.checkpoint", f"shards/{first}.range.proof") for first in firsts]
    heads: list[BundleHead] = []
    key: str | None = None
    for first, path, range_path in paths or [(0, CHECKPOINT_FILE, RANGE_FILE)]:
        note = parse_utf8(file_of(opened.files, path))
        own = vkey_under(policy, origin_of_note(note), key)
        checkpoint, cosignatures = verify_witnessed_checkpoint(note, policy, own)
        following = parse_shard_end(opened.entries.get(first + checkpoint.size - 1, b""))
        heads.append(BundleHead(first, note, range_path, checkpoint, cosignatures, own, following))
        key = following or own
    if heads[-1].note != newest:
        raise malformed("the newest shard is not the one of the checkpoint")
    if all(vkey != known for known, _ in policy.logs):
        raise invalid("manifest", "the manifest names another log")
    for head in heads:
        is_first_log = shard_rank(parse_vkey(vkey).name, head.checkpoint.origin) == (0, 0, 0)
        if is_first_log != (head.first == 0) or head.first > MAX_SAFE_INTEGER:
            raise invalid("shard", "begins elsewhere", head.checkpoint.origin)
    return heads


def require_in_log(opened: OpenedBundle, heads: Sequence[BundleHead]) -> None:
    """Requires each entry to be in the tree of its shard.

    Raises: TrustWardenError `evidence_bundle_invalid`, `evidence_bundle_malformed`, `proof_malformed`, `proof_invalid`.
    """
    span = opened.unverified_manifest.range
    if span is not None:
        _require_range(opened, heads, span)
    for index, entry in opened.entries.items():
        head = next((head for head in reversed(heads) if head.first <= index), None)
        if head is None:
            raise invalid("proof", "an entry of no shard", f"entry {index}")
        # The beginning of a shard is proven by itself also where it lies in the range.
        is_start = index > 0 and head.first == index
        if span is not None and span[0] <= index < span[1] and not is_start:
            continue
        proof = parse_tlog_proof(parse_utf8(file_of(opened.files, f"proofs/{index}.tlog-proof")))
        if proof.index != index - head.first or proof.checkpoint != head.note:
            raise invalid("proof", "a proof of another entry or tree", f"entry {index}")
        size, root = head.checkpoint.size, head.checkpoint.root
        verify_inclusion(index=proof.index, size=size, leaf=leaf_hash(entry), proof=proof.proof, root=root)


def _require_range(opened: OpenedBundle, heads: Sequence[BundleHead], span: tuple[int, int]) -> None:
    """The range is whole in each shard that it touches, and the shards that it touches follow one another."""
    following = span[0]
    for head in heads:
        first, size, root = head.first, head.checkpoint.size, head.checkpoint.root
        if following < first or following >= min(span[1], first + size):
            continue
        start, end = following - first, min(span[1] - first, size)
        claim = parse_range_proof(parse_utf8(file_of(opened.files, head.range_path)))
        if (claim.start, claim.end) != (start, end):
            raise invalid("range", "a proof of another range")
        own = range(first + start, first + end)
        leaves = [leaf_hash(entry) for index, entry in opened.entries.items() if index in own]
        verify_range(start=start, end=end, size=size, leaves=leaves, proof=claim.proof, root=root)
        following = first + end
    if following != span[1] or span[0] >= span[1]:
        raise invalid("range", "a proof of another range")


def require_shard_starts(opened: OpenedBundle, heads: Sequence[BundleHead], vkey: str) -> set[int]:
    """Requires each shard but the first to begin where its own entry 0 says, as the one before ended and names it.

    Gives the indexes of entries that are no records: beginnings and ends.

    Raises: TrustWardenError `evidence_bundle_invalid`, `checkpoint_malformed`, `checkpoint_untrusted`.
    """
    marks: set[int] = set()
    ledger = parse_vkey(vkey).name
    for at, head in enumerate(heads):
        origin = head.checkpoint.origin
        if head.following is not None:
            if not _is_named(head, head.following, heads[at + 1 : at + 2], ledger):
                raise invalid("shard", "names another shard than follows", origin)
            marks.add(head.first + head.checkpoint.size - 1)
        if head.first == 0:
            continue
        start = parse_shard_start(opened.entries.get(head.first, b""))
        if start is None or start.first != head.first:
            raise invalid("shard", "begins elsewhere", origin)
        before = heads[at - 1] if at > 0 else None
        # A shard between two that are here has the key of the later one: every end that changes it is brought along.
        is_before = before is not None and before.checkpoint.origin == origin_of_note(start.note)
        key = before.vkey if before is not None and is_before else head.vkey
        ended = verify_shard_checkpoint(start.note, vkey_for(key, ledger))
        if not _is_behind(head, ended, before, ledger):
            raise invalid("shard", "does not follow the shard before", origin)
        marks.add(head.first)
    return marks


def _is_named(head: BundleHead, following: str, after: Sequence[BundleHead], ledger: str) -> bool:
    """Whether what a shard's end names is a later shard, and the next one here, where that begins right behind."""
    named = shard_rank(ledger, parse_vkey(following).name)
    if named <= shard_rank(ledger, head.checkpoint.origin):
        return False
    if not after:
        return True
    end = head.first + head.checkpoint.size
    if after[0].first == end:
        return after[0].vkey == following
    return after[0].first > end and shard_rank(ledger, after[0].checkpoint.origin) > named


def _is_behind(head: BundleHead, ended: Checkpoint, before: BundleHead | None, ledger: str) -> bool:
    """Whether a shard can follow the one that ended so, and that one the shard before it in the bundle."""
    rank = shard_rank(ledger, ended.origin)
    is_placed = ended.size == head.first if rank == (0, 0, 0) else ended.size < head.first
    if not is_placed or ended.size == 0 or rank >= shard_rank(ledger, head.checkpoint.origin):
        return False
    if before is None:
        return True
    known = before.checkpoint
    if known.origin != ended.origin:
        return before.first + known.size < head.first and shard_rank(ledger, known.origin) < rank
    is_same = known.size < ended.size or (known.size == ended.size and known.root == ended.root)
    return before.first + ended.size == head.first and is_same


def invalid(reason: str, detail: str, place: str | None = None) -> TrustWardenError:
    """A bundle that does not show what it says."""
    more = {} if place is None else {"place": place}
    return TrustWardenError("evidence_bundle_invalid", {"reason": reason, "detail": detail, **more})
