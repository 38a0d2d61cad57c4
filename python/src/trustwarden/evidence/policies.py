"""The policies that decided, in an evidence bundle: code and data, under the digest by which decisions name them.

`policies/<hex digest>/policy.wasm` and `data.json` are one policy; `policies/<hex digest>/parts` says of which policies
one is the sum. The digest is all that proves them, and a decision's own signature is over that.

See: docs/decisions/0031
"""

from __future__ import annotations

import re
from collections.abc import Container, Mapping

from .._bytes import encode_base64url, parse_base64url, parse_utf8
from .._crypto import sha256
from ..errors import TrustWardenError

_PATH = re.compile(r"policies/([0-9a-f]{64})/(policy\.wasm|data\.json|parts)")
_DIGEST = re.compile(r"[A-Za-z0-9_-]{43}")
_MAX_PARTS = 8


def verify_policy_files(files: Mapping[str, bytes]) -> frozenset[str]:
    """Proves what a bundle says the policies are, and gives their digests, base64url.

    Raises: TrustWardenError `evidence_bundle_invalid` for a file that is not what its name says.
    """
    folders: dict[str, dict[str, bytes]] = {}
    for path, content in files.items():
        if path.startswith("policies/"):
            found = _PATH.fullmatch(path)
            if found is None:
                raise _invalid(path)
            folders.setdefault(found[1], {})[found[2]] = content
    proven: set[str] = set()
    for folder, content in folders.items():
        digest = _digest_of(content, folders)
        if digest is None or _hex_of(digest) != folder:
            raise _invalid(f"policies/{folder}")
        proven.add(digest)
    return frozenset(proven)


def _digest_of(content: Mapping[str, bytes], folders: Container[str]) -> str | None:
    """What the files of a folder come to; None for another set of files."""
    if set(content) == {"policy.wasm", "data.json"}:
        return encode_base64url(sha256(sha256(content["policy.wasm"]) + sha256(content["data.json"])))
    if set(content) != {"parts"}:
        return None
    digests = parse_utf8(content["parts"]).split(" ")
    is_here = (_DIGEST.fullmatch(one) is not None and _hex_of(one) in folders for one in digests)
    if len(digests) > _MAX_PARTS or not all(is_here):
        return None
    return encode_base64url(sha256(" ".join(digests).encode()))


def _hex_of(digest: str) -> str:
    return parse_base64url(digest).hex()


def _invalid(place: str) -> TrustWardenError:
    return TrustWardenError("evidence_bundle_invalid", {"reason": "policy", "place": place})
