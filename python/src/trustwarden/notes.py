"""Signed notes with Ed25519 keys, the verifier keys ("vkeys") that name them, and what the ledger signs in them.

A checkpoint is the log's word on its size and root; an acknowledgement is its promise that an entry is durable at an
index. Signatures of unknown keys are ignored, a bad signature of the known key rejects the whole note.

See: C2SP signed-note v1.1, tlog-checkpoint, tlog-cosignature
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from ._bytes import count_units, parse_base64
from ._crypto import is_ed25519_signature, parse_ed25519_public_key, sha256
from ._json import MAX_SAFE_INTEGER
from .errors import TrustWardenError
from .merkle import HASH_BYTES

ALGORITHM_ED25519 = 0x01
"""Signature type of plain Ed25519 notes."""
ALGORITHM_COSIGNATURE = 0x04
"""Signature type of a witness's timestamped cosignature."""
MAX_NOTE_CHARS = 131_072
"""Longer than 16 post-quantum signatures; the specification requires at least 16 signatures to be taken."""
MAX_SIGNATURES = 64
_PREFIX = "\u2014 "
_CONTROL = re.compile("[\x00-\x09\x0b-\x1f]")
# White space as every reader of the specification has it, and the next-line character.
_NOT_A_NAME = re.compile("[\t-\r \xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\ufeff+\x85]")
_SURROGATE = re.compile("[\ud800-\udfff]")
_DECIMAL = re.compile(r"0|[1-9][0-9]{0,15}")
# y coordinates (little-endian, sign bit cleared) of the points of small order, and of the encodings of 0 and 1 that
# exceed the field prime: under such a key one signature fits many texts.
_SMALL_ORDER_Y = frozenset(
    bytes.fromhex(text)
    for text in (
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    )
)


@dataclass(frozen=True)
class NoteKey:
    """A key that can check notes, with the name it must sign under."""

    name: str
    algorithm: int
    key_id: bytes
    public_key: Ed25519PublicKey
    raw: bytes
    """The 32 bytes of the key."""


@dataclass(frozen=True, slots=True)
class UnverifiedNoteSignature:
    """One signature line, not yet checked."""

    name: str
    key_id: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class UnverifiedNote:
    """A note taken apart, nothing checked; the text ends in a newline."""

    unverified_text: str
    signatures: tuple[UnverifiedNoteSignature, ...]


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What the log commits to."""

    origin: str
    size: int
    """Number of entries."""
    root: bytes
    """Merkle root over them."""


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """What the log promises of one entry."""

    origin: str
    index: int
    leaf_hash: bytes
    acknowledged_at: int
    """When the entry was durable, Unix seconds."""


def parse_vkey(vkey: str) -> NoteKey:
    """The key that a vkey names.

    Raises: TrustWardenError `checkpoint_malformed` when the text, its key id or its algorithm is off, or the key is of
    small order; `public_key_refused`.
    """
    # The base64 part may itself contain a plus, so only the first two separate.
    parts = vkey.split("+", 2)
    if len(parts) != 3:
        raise _malformed("vkey")
    name, key_id_hex, encoded = parts
    require_key_name(name)
    typed = _parse_base64_field(encoded)
    algorithm, raw = typed[:1], typed[1:]
    if algorithm not in (bytes([ALGORITHM_ED25519]), bytes([ALGORITHM_COSIGNATURE])) or len(raw) != 32:
        raise _malformed("vkey algorithm")
    key_id = sha256(f"{name}\n".encode("utf-8", "surrogatepass") + typed)[:4]
    if key_id.hex() != key_id_hex:
        raise _malformed("vkey key id")
    if bytes([*raw[:31], raw[31] & 0x7F]) in _SMALL_ORDER_Y:
        raise _malformed("small-order key")
    return NoteKey(name, algorithm[0], key_id, parse_ed25519_public_key(raw), raw)


def parse_note(note: str) -> UnverifiedNote:
    """Text and signature lines of an untrusted note.

    Raises: TrustWardenError `checkpoint_malformed`.
    """
    if count_units(note) > MAX_NOTE_CHARS:
        raise _malformed("too long")
    if _CONTROL.search(note) or _SURROGATE.search(note):
        raise _malformed("control character")
    separator = note.rfind("\n\n")
    if separator < 0 or not note.endswith("\n"):
        raise _malformed("no signature block")
    lines = note[separator + 2 : -1].split("\n")
    if len(lines) > MAX_SIGNATURES:
        raise _malformed("too many signatures")
    return UnverifiedNote(note[: separator + 1], tuple(_parse_signature_line(line) for line in lines))


def verify_note(note: str, key: NoteKey) -> str:
    """The text of a note that the key signed.

    Raises: TrustWardenError `checkpoint_malformed`, or `checkpoint_untrusted` when the key did not sign it.
    """
    if key.algorithm != ALGORITHM_ED25519:
        raise _malformed("vkey algorithm")
    parsed = parse_note(note)
    own = signatures_of(parsed.signatures, key)
    if not own:
        raise TrustWardenError("checkpoint_untrusted", {"reason": "not signed by the key"})
    data = parsed.unverified_text.encode("utf-8")
    if not all(is_ed25519_signature(key.public_key, data, line.signature) for line in own):
        raise TrustWardenError("checkpoint_untrusted", {"reason": "bad signature"})
    return parsed.unverified_text


def signatures_of(lines: Iterable[UnverifiedNoteSignature], key: NoteKey) -> list[UnverifiedNoteSignature]:
    """The signature lines that claim to be of this key: the same name and key id."""
    return [line for line in lines if line.name == key.name and line.key_id == key.key_id]


def verify_checkpoint(note: str, vkey: str) -> Checkpoint:
    """The checkpoint of a note that the log's key signed; its origin is the key's name.

    Raises: TrustWardenError `checkpoint_malformed`, or `checkpoint_untrusted` for another key or origin.
    """
    key = parse_vkey(vkey)
    checkpoint = parse_checkpoint_text(verify_note(note, key))
    # One key could serve two logs; a checkpoint of the other one proves nothing here.
    if checkpoint.origin != key.name:
        raise TrustWardenError("checkpoint_untrusted", {"reason": "other origin"})
    return checkpoint


def parse_checkpoint_text(text: str) -> Checkpoint:
    """The three lines of a checkpoint.

    Raises: TrustWardenError `checkpoint_malformed`.
    """
    lines = text.split("\n")
    if len(lines) != 4 or lines[3] != "":
        raise _malformed("lines")
    origin, size, root = lines[:3]
    require_origin(origin)
    if not _DECIMAL.fullmatch(size) or int(size) > MAX_SAFE_INTEGER:
        raise _malformed("size")
    return Checkpoint(origin, int(size), parse_hash(root))


def verify_acknowledgement(note: str, key: NoteKey) -> Acknowledgement:
    """The promise that the log's key signed.

    Raises: TrustWardenError `receipt_invalid`.
    """
    try:
        lines = verify_note(note, key).split("\n")
        if len(lines) != 5 or lines[0] != f"{key.name}/ack" or lines[4] != "":
            raise _refused("not an acknowledgement of this log")
        leaf = parse_hash(lines[2])
    except TrustWardenError as cause:
        if cause.code == "receipt_invalid":
            raise
        raise _refused(cause.code) from cause
    return Acknowledgement(key.name, _parse_number(lines[1]), leaf, _parse_number(lines[3]))


def require_key_name(name: str) -> None:
    """Requires a name that is not empty, without spaces or plus.

    Raises: TrustWardenError `checkpoint_malformed`.
    """
    if name == "" or _NOT_A_NAME.search(name) or _CONTROL.search(name):
        raise _malformed("key name")


def require_origin(origin: str) -> None:
    """Refuses an origin that other implementations could read differently.

    Raises: TrustWardenError `checkpoint_malformed` for spaces, a plus, a scheme or a trailing slash.
    """
    require_key_name(origin)
    if "://" in origin or origin.endswith("/"):
        raise _malformed("origin")


def parse_hash(text: str) -> bytes:
    """The padded base64 of one hash.

    Raises: TrustWardenError `checkpoint_malformed`.
    """
    found = _parse_base64_field(text)
    if len(found) != HASH_BYTES:
        raise _malformed("hash length")
    return found


def _parse_signature_line(line: str) -> UnverifiedNoteSignature:
    parts = line.removeprefix(_PREFIX).split(" ")
    if not line.startswith(_PREFIX) or len(parts) != 2:
        raise _malformed("signature line")
    require_key_name(parts[0])
    blob = _parse_base64_field(parts[1])
    if len(blob) <= 4:
        raise _malformed("signature length")
    return UnverifiedNoteSignature(parts[0], blob[:4], blob[4:])


def _parse_base64_field(text: str) -> bytes:
    try:
        return parse_base64(text)
    except TrustWardenError as cause:
        raise _malformed("base64") from cause


def _parse_number(text: str) -> int:
    if not _DECIMAL.fullmatch(text) or int(text) > MAX_SAFE_INTEGER:
        raise _refused("number")
    return int(text)


def _malformed(reason: str) -> TrustWardenError:
    return TrustWardenError("checkpoint_malformed", {"reason": reason})


def _refused(reason: str) -> TrustWardenError:
    return TrustWardenError("receipt_invalid", {"reason": reason})
