"""Reads the members of one signed JSON object, once each and closed.

Whatever is not read is refused, so that nothing rides along unseen under a signature. Which members a document has is
the business of its own parser.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime, timezone
from typing import NoReturn, TypeVar

from ._bytes import count_units
from ._codes import ErrorCode
from ._json import MAX_SAFE_INTEGER, Json, JsonObject, is_json_list, is_json_object, is_safe_integer
from .errors import TrustWardenError

MAX_TEXT_CHARS = 2048
MAX_ITEMS = 256
_DIGEST = re.compile(r"[A-Za-z0-9_-]{43}")
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z")
_EVENT_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")

_Text = TypeVar("_Text", bound=str)


class Fields:
    """Lives for the parse of one object; `end` must be called last. Every method raises the code it was made with."""

    def __init__(self, json: JsonObject, code: ErrorCode, path: str = "") -> None:
        self._json = json
        self._code: ErrorCode = code
        self._path = path
        self._read: set[str] = set()

    def version(self) -> int:
        """The member `v`, which is 1 in every document of ours."""
        value = self.take("v")
        return 1 if is_safe_integer(value) and value == 1 else self.refuse("v")

    def text(self, name: str, max_chars: int = MAX_TEXT_CHARS) -> str:
        """Text that is not empty, of at most 2048 characters."""
        value = self.take(name)
        if not isinstance(value, str) or value == "" or count_units(value) > max_chars:
            return self.refuse(name)
        return value

    def text_or_null(self, name: str) -> str | None:
        """`text`, or null."""
        return self.null(name) if self.is_null(name) else self.text(name)

    def texts(self, name: str) -> tuple[str, ...]:
        """At most 256 texts, each possibly empty."""
        value = self.take(name)
        if not is_json_list(value) or len(value) > MAX_ITEMS:
            return self.refuse(name)
        return tuple(
            item if isinstance(item, str) and count_units(item) <= MAX_TEXT_CHARS else self.refuse(name)
            for item in value
        )

    def matching(self, name: str, pattern: re.Pattern[str]) -> str:
        """Text that is a whole match."""
        value = self.text(name)
        return value if pattern.fullmatch(value) else self.refuse(name)

    def digest(self, name: str) -> str:
        """base64url of 32 bytes."""
        return self.matching(name, _DIGEST)

    def digest_or_null(self, name: str) -> str | None:
        """`digest`, or null."""
        return self.null(name) if self.is_null(name) else self.digest(name)

    def time(self, name: str) -> str:
        """RFC 3339 UTC with milliseconds."""
        value = self.matching(name, _TIME)
        return value if parse_time_ms(value) is not None else self.refuse(name)

    def integer(self, name: str) -> int:
        """A safe integer from 0."""
        value = self.take(name)
        return value if is_safe_integer(value) and 0 <= value <= MAX_SAFE_INTEGER else self.refuse(name)

    def boolean(self, name: str) -> bool:
        """True or false."""
        value = self.take(name)
        return value if isinstance(value, bool) else self.refuse(name)

    def null(self, name: str) -> None:
        """Null, and there."""
        if name not in self._json or self.take(name) is not None:
            self.refuse(name)

    def is_null(self, name: str) -> bool:
        """Whether the member is there and null."""
        return name in self._json and self._json[name] is None

    def has(self, name: str) -> bool:
        """Whether the member is there."""
        return name in self._json

    def one_of(self, name: str, allowed: Sequence[_Text]) -> _Text:
        """One of some texts."""
        value = self.text(name)
        for item in allowed:
            if item == value:
                return item
        return self.refuse(name)

    def event_id(self, name: str = "event_id") -> str:
        """An event's id: a lower-case UUIDv7."""
        value = self.text(name)
        if not _EVENT_ID.fullmatch(value):
            raise TrustWardenError("record_malformed", {"field": name})
        return value

    def object(self, name: str) -> Fields:
        """The members of an object inside; the caller ends it too."""
        return Fields(self.json(name), self._code, f"{self._path}{name}.")

    def json(self, name: str) -> JsonObject:
        """An object whose members are open."""
        value = self.take(name)
        return value if is_json_object(value) else self.refuse(name)

    def take(self, name: str) -> Json:
        """Any member, marked as read; None when there is none."""
        self._read.add(name)
        return self._json.get(name)

    def end(self) -> None:
        """Refuses whatever was not read."""
        for name in self._json:
            if name not in self._read:
                self.refuse(name[:64])

    def refuse(self, field: str) -> NoReturn:
        """The refusal, with the place."""
        raise TrustWardenError(self._code, {"field": f"{self._path}{field}"})


def parse_time_ms(text: str) -> int | None:
    """Unix milliseconds of a time as records write it; None for an instant that does not exist."""
    year, month, day, hour, minute = (int(text[at : at + size]) for at, size in _PARTS)
    second, ms = int(text[17:19]), int(text[20:23])
    if not (1 <= month <= 12 and 1 <= day <= 31 and minute < 60 and second < 60):
        return None
    # Midnight may be written as the end of a day, and a day of a short month runs on into the next one, as in every
    # reader that follows ECMAScript: both SDKs must take the same records.
    if hour > 24 or (hour == 24 and (minute or second or ms)):
        return None
    # 400 years of the calendar are a whole number of days, so year 0 is read as year 400.
    start = datetime(year if year else 400, month, 1, tzinfo=timezone.utc).timestamp() - (
        0 if year else _FOUR_CENTURIES
    )
    return ((round(start) + (day - 1) * 86_400 + hour * 3600 + minute * 60 + second) * 1000) + ms


_PARTS = ((0, 4), (5, 2), (8, 2), (11, 2), (14, 2))
_FOUR_CENTURIES = 146_097 * 86_400


def format_time(now_ms: float) -> str:
    """RFC 3339 UTC with milliseconds, of Unix milliseconds."""
    whole = int(now_ms)
    at = datetime.fromtimestamp(whole // 1000, tz=timezone.utc)
    return f"{at:%Y-%m-%dT%H:%M:%S}.{whole % 1000:03d}Z"
