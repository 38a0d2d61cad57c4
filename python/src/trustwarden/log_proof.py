"""Proofs about the ledger as texts that verify offline, years later, and the policies that say whose word counts.

A policy names the keys of logs and of witnesses, and which sets of witnesses make a quorum. The `extra` line of a proof
is not under any signature and is never read.

See: C2SP tlog-proof v1, tlog-policy, tlog-cosignature; docs/decisions/0031
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from ._bytes import count_units
from ._crypto import is_ed25519_signature
from ._json import MAX_SAFE_INTEGER
from .errors import TrustWardenError
from .merkle import leaf_hash, verify_inclusion
from .notes import (
    ALGORITHM_COSIGNATURE,
    ALGORITHM_ED25519,
    Checkpoint,
    NoteKey,
    parse_hash,
    parse_note,
    parse_vkey,
    require_origin,
    signatures_of,
    verify_checkpoint,
)
from .shards import is_shard_origin, vkey_for

_MAX_DEFINITIONS = 128
_MAX_POLICY_CHARS = 65_536
_MAX_PROOF_CHARS = 196_608
# A path in a tree of 2^63 entries; of a range, two on each level of a tree of 2^53.
_MAX_HASHES, _MAX_RANGE_HASHES, _MAX_RANGE_CHARS = 63, 106, 8192
_NONE = "none"
_FORBIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f]")
_THRESHOLD = re.compile(r"[1-9][0-9]{0,3}")
_INDEX = re.compile(r"index (0|[1-9][0-9]{0,15})")
_EXTRA = re.compile(r"extra [A-Za-z0-9+/]*={0,2}")
_RANGE = re.compile(r"range (0|[1-9][0-9]{0,15}) (0|[1-9][0-9]{0,15})")


@dataclass(frozen=True, slots=True)
class Cosignature:
    """One witness's statement that a checkpoint existed by a time."""

    witness: str
    cosigned_at: int
    """Unix seconds."""


@dataclass(frozen=True, slots=True)
class TlogPolicy:
    """Whose word about a log counts."""

    logs: tuple[tuple[str, NoteKey], ...]
    """Each log's vkey, and the key."""
    witnesses: tuple[tuple[str, NoteKey], ...]
    """Each witness's name inside the policy, and its key."""
    groups: Mapping[str, tuple[int, tuple[str, ...]]]
    """By name: how many of which members make it; a group names only what stands before it."""
    quorum: str
    """Name of a witness or a group, or `none`."""


@dataclass(frozen=True, slots=True)
class UnverifiedTlogProof:
    """The parts of a proof; nothing is verified."""

    index: int
    proof: tuple[bytes, ...]
    checkpoint: str
    """Signed note, verbatim."""


@dataclass(frozen=True, slots=True)
class UnverifiedRangeProof:
    """A proof of the entries [start, end), as written; nothing is verified."""

    start: int
    end: int
    proof: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class ProvenEntry:
    """What a proof proves."""

    index: int
    checkpoint: Checkpoint
    cosignatures: tuple[Cosignature, ...]


def parse_tlog_proof(text: str) -> UnverifiedTlogProof:
    """The parts of a proof of one entry.

    Raises: TrustWardenError `proof_malformed`.
    """
    head, blank, checkpoint = text.partition("\n\n")
    if blank == "" or count_units(text) > _MAX_PROOF_CHARS:
        raise _malformed("blank line")
    header, *lines = head.split("\n")
    if header != "c2sp.org/tlog-proof@v1":
        raise _malformed("header")
    if lines and lines[0].startswith("extra "):
        if not _EXTRA.fullmatch(lines[0]):
            raise _malformed("extra")
        lines = lines[1:]
    index = _INDEX.fullmatch(lines[0] if lines else "")
    if index is None or int(index[1]) > MAX_SAFE_INTEGER:
        raise _malformed("index")
    if len(lines) - 1 > _MAX_HASHES:
        raise _malformed("hashes")
    return UnverifiedTlogProof(int(index[1]), tuple(parse_proof_hash(line) for line in lines[1:]), checkpoint)


def verify_tlog_proof(text: str, *, entry: bytes, policy: TlogPolicy) -> ProvenEntry:
    """Proves that the log holds an entry, under the caller's policy.

    Raises: TrustWardenError `proof_malformed`, `proof_invalid`, `checkpoint_malformed`, `checkpoint_untrusted` when no
    log of the policy signed, or `checkpoint_unwitnessed` when too few of its witnesses did.
    """
    claim = parse_tlog_proof(text)
    checkpoint, cosignatures = verify_witnessed_checkpoint(claim.checkpoint, policy)
    verify_inclusion(
        index=claim.index, size=checkpoint.size, leaf=leaf_hash(entry), proof=claim.proof, root=checkpoint.root
    )
    return ProvenEntry(claim.index, checkpoint, cosignatures)


def parse_range_proof(text: str) -> UnverifiedRangeProof:
    """The parts of a proof of consecutive entries.

    Raises: TrustWardenError `proof_malformed`.
    """
    lines = text.split("\n")
    found = _RANGE.fullmatch(lines[1]) if len(lines) > 2 else None
    is_form = count_units(text) <= _MAX_RANGE_CHARS and lines[0] == "trustwarden.dev/range-proof@v1"
    if not is_form or found is None or lines[-1] != "" or len(lines) - 3 > _MAX_RANGE_HASHES:
        raise _malformed("form")
    return UnverifiedRangeProof(int(found[1]), int(found[2]), tuple(parse_proof_hash(line) for line in lines[2:-1]))


def parse_proof_hash(line: str) -> bytes:
    """A line of a proof, in whichever of its formats.

    Raises: TrustWardenError `proof_malformed`.
    """
    try:
        return parse_hash(line)
    except TrustWardenError as cause:
        raise _malformed("hash") from cause


def verify_witnessed_checkpoint(
    note: str, policy: TlogPolicy, vkey: str | None = None
) -> tuple[Checkpoint, tuple[Cosignature, ...]]:
    """The checkpoint of a note that satisfies a policy: signed by one of its logs and by a quorum of its witnesses.

    The vkey is the log's, where the chain of shards has led to another one than the policy names.

    Raises: TrustWardenError `checkpoint_malformed`; `checkpoint_untrusted` for a log that the policy does not name and
    for a bad line of one that it does; `checkpoint_unwitnessed`.
    """
    checkpoint = verify_checkpoint(note, vkey or vkey_under(policy, origin_of_note(note)))
    found = {name: cosigned for name, key in policy.witnesses if (cosigned := _verify_cosignature(note, key))}
    if not is_quorum(policy, found.keys()):
        raise TrustWardenError("checkpoint_unwitnessed", {"cosignatures": len(found)})
    return checkpoint, tuple(found.values())


def origin_of_note(note: str) -> str:
    """The log that a note says to be of; nothing is verified."""
    return note.split("\n", 1)[0]


def vkey_under(policy: TlogPolicy, origin: str, changed: str | None = None) -> str:
    """The key of a log under a policy: one that names a ledger is about all its shards of the same key.

    `changed` is a key of the ledger that the chain of shards has led to, instead of the policy's own.

    Raises: TrustWardenError `checkpoint_untrusted`.
    """
    named = next((vkey for vkey, key in policy.logs if key.name == origin), None)
    if named is not None:
        return named
    ledger = next((vkey for vkey, key in policy.logs if is_shard_origin(key.name, origin)), None)
    if ledger is None:
        raise TrustWardenError("checkpoint_untrusted", {"reason": "no log of the policy"})
    return vkey_for(changed or ledger, origin)


def is_quorum(policy: TlogPolicy, witnesses: AbstractSet[str]) -> bool:
    """Whether a set of witnesses, by their names in the policy, is enough."""
    # A group names only what stands before it, so one pass in their order settles them all.
    settled = set(witnesses)
    for name, (threshold, members) in policy.groups.items():
        if sum(member in settled for member in members) >= threshold:
            settled.add(name)
    return policy.quorum == _NONE or policy.quorum in settled


def parse_tlog_policy(text: str) -> TlogPolicy:
    """The policy of a text.

    Raises: TrustWardenError `witness_policy_malformed` with the line.
    """
    if count_units(text) > _MAX_POLICY_CHARS or _FORBIDDEN.search(text):
        raise _policy_malformed("size or control character", 0)
    reader = _PolicyReader()
    for number, line in enumerate(text.split("\n"), 1):
        items = [item for item in re.split("[ \t]+", line) if item != ""]
        if items and not line.strip().startswith("#"):
            reader.read(items[0], items[1:], number)
    if reader.quorum is None:
        raise _policy_malformed("no quorum", 0)
    return TlogPolicy(tuple(reader.logs), tuple(reader.witnesses), reader.groups, reader.quorum)


@dataclass
class _PolicyReader:
    """Takes the lines of one policy, in their order."""

    logs: list[tuple[str, NoteKey]] = field(default_factory=list[tuple[str, NoteKey]])
    witnesses: list[tuple[str, NoteKey]] = field(default_factory=list[tuple[str, NoteKey]])
    groups: dict[str, tuple[int, tuple[str, ...]]] = field(default_factory=dict[str, tuple[int, tuple[str, ...]]])
    quorum: str | None = None
    names: set[str] = field(default_factory=set[str])
    # A key is one party, under however many names.
    keys: set[bytes] = field(default_factory=set[bytes])
    # Each name counts in one way only, or one witness could make a quorum by itself.
    members: set[str] = field(default_factory=set[str])

    def read(self, keyword: str, items: Sequence[str], line: int) -> None:
        """Takes one line."""
        if len(self.names) + len(self.logs) >= _MAX_DEFINITIONS:
            raise _policy_malformed("too many lines", line)
        if keyword == "log" and 1 <= len(items) <= 2:
            self.logs.append((items[0], self._key(items[0], ALGORITHM_ED25519, line)))
            _require_url(items[1:], line)
        elif keyword == "witness" and 2 <= len(items) <= 3:
            self._define(items[0], line)
            self.witnesses.append((items[0], self._key(items[1], ALGORITHM_COSIGNATURE, line)))
            _require_url(items[2:], line)
        elif keyword == "group" and len(items) >= 3:
            self._read_group(items[0], items[1], items[2:], line)
        elif keyword == "quorum" and len(items) == 1 and self.quorum is None:
            if items[0] != _NONE and items[0] not in self.names:
                raise _policy_malformed("quorum that is not defined before", line)
            self.quorum = items[0]
        else:
            raise _policy_malformed("keyword", line)

    def _read_group(self, name: str, threshold: str, members: Sequence[str], line: int) -> None:
        for member in members:
            if member not in self.names or member in self.members:
                raise _policy_malformed("member", line)
            self.members.add(member)
        self._define(name, line)
        self.groups[name] = (_parse_threshold(threshold, len(members), line), tuple(members))

    def _define(self, name: str, line: int) -> None:
        if name == _NONE or name in self.names:
            raise _policy_malformed("name", line)
        self.names.add(name)

    def _key(self, vkey: str, algorithm: int, line: int) -> NoteKey:
        try:
            key = parse_vkey(vkey)
            if key.algorithm == ALGORITHM_ED25519:
                require_origin(key.name)
        except TrustWardenError as cause:
            raise _policy_malformed("vkey", line) from cause
        if key.algorithm != algorithm or key.raw in self.keys:
            raise _policy_malformed("vkey of another kind, or a key that stands there already", line)
        self.keys.add(key.raw)
        return key


def _verify_cosignature(note: str, witness: NoteKey) -> Cosignature | None:
    """The cosignature of a known witness, with its earliest time; None when it put none."""
    parsed = parse_note(note)
    times: list[int] = []
    for line in signatures_of(parsed.signatures, witness):
        if len(line.signature) != 72:
            raise TrustWardenError("checkpoint_malformed", {"reason": "cosignature length"})
        time = int.from_bytes(line.signature[:8], "big")
        data = f"cosignature/v1\ntime {time}\n{parsed.unverified_text}".encode()
        if time > MAX_SAFE_INTEGER or not is_ed25519_signature(witness.public_key, data, line.signature[8:]):
            raise TrustWardenError("checkpoint_untrusted", {"reason": "bad cosignature"})
        times.append(time)
    return Cosignature(witness.name, min(times)) if times else None


def _parse_threshold(text: str, count: int, line: int) -> int:
    if text in ("any", "all"):
        return 1 if text == "any" else count
    if not _THRESHOLD.fullmatch(text) or int(text) > count:
        raise _policy_malformed("threshold", line)
    return int(text)


def _require_url(items: Sequence[str], line: int) -> None:
    """An http(s) prefix without anything that could be mistaken for a part of the path. Nobody here calls it."""
    for text in items:
        try:
            url = urlsplit(text)
            is_plain = url.scheme in ("https", "http") and bool(url.hostname) and "@" not in url.netloc
        except ValueError as cause:
            raise _policy_malformed("url", line) from cause
        if not is_plain or "?" in text or "#" in text:
            raise _policy_malformed("url", line)


def _malformed(reason: str) -> TrustWardenError:
    return TrustWardenError("proof_malformed", {"reason": reason})


def _policy_malformed(reason: str, line: int) -> TrustWardenError:
    return TrustWardenError("witness_policy_malformed", {"reason": reason, "line": line})
