"""The Merkle tree of RFC 6962: leaf and node hashes, inclusion, consistency and range proofs.

Pure and storage-free: it judges proofs and never makes one.

See: RFC 6962 section 2.1; the verifications are those of RFC 9162 sections 2.1.3.2 and 2.1.4.2
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from ._crypto import sha256
from ._json import is_safe_integer
from .errors import TrustWardenError

HASH_BYTES = 32
"""Bytes of one hash."""
EMPTY_ROOT = sha256(b"")
"""Root of the tree without entries."""


def leaf_hash(entry: bytes) -> bytes:
    """Hash of one entry: SHA-256(0x00 || entry). Without the prefix an inner node could be passed off as an entry."""
    return sha256(b"\x00" + entry)


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash of an inner node: SHA-256(0x01 || left || right)."""
    return sha256(b"\x01" + left + right)


def split_point(size: int) -> int:
    """Where RFC 6962 splits a tree of `size` > 1 leaves: the largest power of two below `size`."""
    return 1 << ((size - 1).bit_length() - 1)


def verify_inclusion(*, index: int, size: int, leaf: bytes, proof: Sequence[bytes], root: bytes) -> None:
    """Refuses a proof that does not lead from the leaf at `index` to the root of the tree of `size` entries.

    `leaf` is the entry's `leaf_hash`; `proof` goes from its sibling up to the root's child.

    Raises: TrustWardenError `proof_malformed` for impossible numbers or hash lengths, `proof_invalid` otherwise.
    """
    _require_counts(index, size)
    if index >= size:
        raise _invalid("index beyond the tree")
    _require_hashes((leaf, root, *proof))
    node, last, found = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            raise _invalid("too long")
        if node % 2 == 1 or node == last:
            found = node_hash(sibling, found)
            node, last = _climb(node, last)
        else:
            found = node_hash(found, sibling)
        node, last = node // 2, last // 2
    if last != 0:
        raise _invalid("too short")
    if found != root:
        raise _invalid("other root")


def verify_consistency(
    *, old_size: int, old_root: bytes, new_size: int, new_root: bytes, proof: Sequence[bytes]
) -> None:
    """Refuses a proof that does not show the old tree to be a prefix of the new one: a forked or shortened history.

    Raises: TrustWardenError `proof_malformed` for impossible numbers or hash lengths, `proof_invalid` otherwise.
    """
    _require_counts(old_size, new_size)
    _require_hashes((old_root, new_root, *proof))
    if old_size > new_size:
        raise _invalid("shrunk")
    if old_size in (0, new_size):
        if proof:
            raise _invalid("too long")
        if old_root != (new_root if old_size == new_size else EMPTY_ROOT):
            raise _invalid("other root")
        return
    if _fold_roots(old_size, old_root, new_size, proof) != (old_root, new_root):
        raise _invalid("other root")


def verify_range(
    *, start: int, end: int, size: int, leaves: Sequence[bytes], proof: Sequence[bytes], root: bytes
) -> None:
    """Refuses entries that are not exactly [start, end) of the tree of `size` entries with this root.

    Raises: TrustWardenError `proof_malformed` for impossible numbers or hash lengths, `proof_invalid` otherwise.
    """
    _require_counts(start, end, size)
    if start >= end or end > size or len(leaves) != end - start:
        raise _invalid("not a range of the tree")
    _require_hashes((root, *leaves, *proof))
    rest = list(reversed(proof))

    def hash_of(first: int, behind: int) -> bytes:
        if behind <= start or first >= end:
            if not rest:
                raise _invalid("too short")
            return rest.pop()
        if behind - first == 1:
            return leaves[first - start]
        middle = first + split_point(behind - first)
        left = hash_of(first, middle)
        return node_hash(left, hash_of(middle, behind))

    found = hash_of(0, size)
    if rest:
        raise _invalid("too long")
    if found != root:
        raise _invalid("other root")


def root_of(hashes: Iterable[bytes], join: Callable[[bytes, bytes], bytes] = node_hash) -> bytes:
    """Root over leaf hashes in order; an odd last one of a level moves up unchanged."""
    level = list(hashes)
    while len(level) > 1:
        above = [join(level[at], level[at + 1]) for at in range(0, len(level) - 1, 2)]
        level = above + level[len(level) - len(level) % 2 :]
    return level[0] if level else EMPTY_ROOT


def _fold_roots(old_size: int, old_root: bytes, new_size: int, proof: Sequence[bytes]) -> tuple[bytes, bytes]:
    """Both roots as the proof gives them."""
    node, last = old_size - 1, new_size - 1
    while node % 2 == 1:
        node, last = node // 2, last // 2
    # `node` is 0 exactly when the old size is a power of two: then the old root itself begins the proof.
    path = [old_root, *proof] if node == 0 else list(proof)
    if not path:
        raise _invalid("too short")
    before = after = path[0]
    for item in path[1:]:
        if last == 0:
            raise _invalid("too long")
        if node % 2 == 1 or node == last:
            before, after = node_hash(item, before), node_hash(item, after)
            node, last = _climb(node, last)
        else:
            after = node_hash(after, item)
        node, last = node // 2, last // 2
    if last != 0:
        raise _invalid("too short")
    return before, after


def _climb(node: int, last: int) -> tuple[int, int]:
    while node % 2 == 0 and node != 0:
        node, last = node // 2, last // 2
    return node, last


def _require_counts(*values: int) -> None:
    if not all(is_safe_integer(value) and value >= 0 for value in values):
        raise TrustWardenError("proof_malformed", {"reason": "count"})


def _require_hashes(hashes: Iterable[bytes]) -> None:
    if any(len(item) != HASH_BYTES for item in hashes):
        raise TrustWardenError("proof_malformed", {"reason": "hash length"})


def _invalid(reason: str) -> TrustWardenError:
    return TrustWardenError("proof_invalid", {"reason": reason})
