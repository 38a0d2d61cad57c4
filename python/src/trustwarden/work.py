"""What a new agent costs when its owner registers many: a number whose hash begins with enough zero bits.

It is bound to the proof of possession, so to the server's nonce, the key and the ticket: good for one request alone.
"""

from __future__ import annotations

import hashlib

from ._bytes import encode_base64url
from ._crypto import sha256

MAX_WORK_BITS = 20
"""A second or two; whoever is asked for more hears of it instead."""


def work_bits_of(possession: str, work: str) -> int:
    """Leading zero bits of what is brought."""
    digest = sha256(f"{_challenge_of(possession)}.{work}".encode())
    return 256 - int.from_bytes(digest, "big").bit_length()


def find_work(possession: str, bits: int) -> str:
    """The first work of so many bits."""
    # The state before the number is hashed once; each try goes on from it.
    begun = hashlib.sha256(f"{_challenge_of(possession)}.".encode())
    end, counter = 1 << (256 - bits), 0
    while True:
        one = begun.copy()
        one.update(b"%d" % counter)
        if int.from_bytes(one.digest(), "big") < end:
            return str(counter)
        counter += 1


def _challenge_of(possession: str) -> str:
    return encode_base64url(sha256(possession.encode()))
