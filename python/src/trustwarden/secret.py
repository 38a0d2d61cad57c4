"""A secret that somebody gave us: shown to nobody by accident. Who needs the text asks for it."""

from __future__ import annotations

from typing import NoReturn

_SHOWN = "Secret(hidden)"


class Secret:
    """What a log, a pickler or an inspector sees of it is a word."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The secret itself; put it into a header or a request, and nowhere else."""
        return self._text

    def __repr__(self) -> str:
        return _SHOWN

    def __reduce__(self) -> NoReturn:
        """Never leaves the process, nor into a copy."""
        raise TypeError("a secret is neither copied nor pickled")
