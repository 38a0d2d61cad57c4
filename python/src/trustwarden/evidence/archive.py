"""The container of an evidence bundle: a zip with exactly one spelling for given files.

Files are stored, not deflated, sorted by path and without times, so that nothing can blow up when it is read, and no
byte of the container is free: reading is parsing and writing again, and both must agree. A second file of one name, a
path that leads outside and a cut-off end have no spelling.

See: PKWARE APPNOTE.TXT 6.3.10, sections 4.3.7, 4.3.12 and 4.3.16; docs/decisions/0031
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Mapping

from ..errors import TrustWardenError

MAX_BUNDLE_BYTES = 16_000_000
"""Bytes of a whole bundle."""
_MAX_FILES = 20_000
_MAX_PATH_CHARS = 128
# One segment begins with a letter, a digit or an underscore, so `..` and absolute paths are none.
_PATH = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*(?:/[A-Za-z0-9_][A-Za-z0-9._-]*)*")
_LOCAL, _CENTRAL, _END = 0x04034B50, 0x02014B50, 0x06054B50
# Version 2.0, no flags, stored, midnight of 1980-01-01: the format has no way to say "no time".
_VERSION, _DATE = 20, 0x0021


def parse_archive(data: bytes) -> dict[str, bytes]:
    """The files of an untrusted zip, by path.

    Raises: TrustWardenError `evidence_bundle_malformed` unless it is byte for byte the one spelling of its files.
    """
    if len(data) > MAX_BUNDLE_BYTES:
        raise malformed("too long")
    files: dict[str, bytes] = {}
    at = 0
    while at + 30 <= len(data) and int.from_bytes(data[at : at + 4], "little") == _LOCAL:
        size, name_bytes = struct.unpack_from("<IH", data, at + 22)
        name_end = at + 30 + name_bytes
        if name_end + size > len(data):
            raise malformed("cut off")
        path = data[at + 30 : min(name_end, at + 256)].decode("latin-1")
        if len(path) > _MAX_PATH_CHARS or not _PATH.fullmatch(path) or path in files or len(files) >= _MAX_FILES:
            raise malformed("a file's name")
        files[path] = data[name_end : name_end + size]
        at = name_end + size
    if not files or _encode_archive(files) != data:
        raise malformed("not in the one spelling")
    return files


def _encode_archive(files: Mapping[str, bytes]) -> bytes:
    parts: list[bytes] = []
    directory: list[bytes] = []
    offset = 0
    for path in sorted(files):
        content, name = files[path], path.encode("ascii")
        crc = zlib.crc32(content)
        fields = struct.pack("<HHHHHIIIHH", _VERSION, 0, 0, 0, _DATE, crc, len(content), len(content), len(name), 0)
        parts += (struct.pack("<I", _LOCAL), fields, name, content)
        directory += (
            struct.pack("<IH", _CENTRAL, _VERSION),
            fields,
            struct.pack("<HHHII", 0, 0, 0, 0, offset),
            name,
        )
        offset += 30 + len(name) + len(content)
    central = b"".join(directory)
    count = len(files)
    end = struct.pack("<IHHHHIIH", _END, 0, 0, count, count, len(central), offset, 0)
    return b"".join((*parts, central, end))


def malformed(reason: str) -> TrustWardenError:
    """The refusal of a bundle that is not well formed."""
    return TrustWardenError("evidence_bundle_malformed", {"reason": reason})
