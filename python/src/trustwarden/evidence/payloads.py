"""Payloads in an evidence bundle: what was asked and answered, with the salt that opens the commitments in the log.

`payloads/<event id>.json` is a request and, where the outcome commits to it, its answer. A payload that was erased is
not here; the record of its erasure is.

See: docs/decisions/0072
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from .._bytes import encode_base64url, parse_base64url, parse_utf8
from .._crypto import hmac_sha256, sha256
from .._json import JsonObject, encode_canonical_json, parse_canonical_object
from ..errors import TrustWardenError
from ..records import ControlRecord, Intent, OutcomeRecord
from .contents import EventIndexes, OpenedBundle
from .heads import invalid
from .log_records import UnverifiedRecord

_PATH = re.compile(r"payloads/([0-9a-f-]{36})\.json")
_MEMBERS = {"method", "target", "request", "answer", "salt"}
_MAX_CHARS = 24_000_000
_SALT_BYTES = 32


@dataclass(frozen=True, slots=True)
class DisclosedPayload:
    """A call's content, as the enforcement point kept it and the log commits to it."""

    method: str
    target: str
    request: bytes
    answer: bytes | None
    """None where no outcome commits to it."""
    salt: bytes


@dataclass(frozen=True, slots=True)
class ErasedPayload:
    """A payload that is gone, by the log's own word."""

    index: int
    """Log index of the record of its erasure."""


def verify_payload_files(
    opened: OpenedBundle, records: Mapping[int, UnverifiedRecord]
) -> dict[str, DisclosedPayload | ErasedPayload]:
    """What a bundle has of the payloads of its events, by event id.

    Raises: TrustWardenError `evidence_bundle_invalid` for content that the log does not commit to, and for what its own
    entries say was erased.
    """
    states: dict[str, DisclosedPayload | ErasedPayload] = {}
    for index, record in records.items():
        erased = _erased_event_of(record)
        if erased is not None:
            states.setdefault(erased, ErasedPayload(index))
    for path, content in opened.files.items():
        if not path.startswith("payloads/"):
            continue
        found = _PATH.fullmatch(path)
        if found is None or found[1] in states:
            raise invalid("payload", "was erased, or is no event's", path)
        payload = _parse(path, content)
        events = [event for event in opened.events if event.event_id == found[1]]
        if not any(_is_committed(event, payload, records) for event in events):
            raise invalid("payload", "is not what the log commits to", path)
        states[found[1]] = payload
    return states


def _erased_event_of(record: UnverifiedRecord) -> str | None:
    value = record.value
    if not isinstance(value, ControlRecord) or value.kind != "admin" or not value.allow:
        return None
    event_id = value.details.get("event_id")
    return event_id if value.details.get("change") == "erasure" and isinstance(event_id, str) else None


def _is_committed(event: EventIndexes, payload: DisclosedPayload, records: Mapping[int, UnverifiedRecord]) -> bool:
    own = [records[index].value for index in event.indexes if index in records]
    intent = next((value for value in own if isinstance(value, Intent)), None)
    outcome = next((value for value in own if isinstance(value, OutcomeRecord)), None)
    body = encode_base64url(sha256(payload.request))
    asked: JsonObject = {"body_sha256": body, "method": payload.method, "target": payload.target}
    if intent is None or intent.request != _commit(payload.salt, asked):
        return False
    if payload.answer is None:
        return True
    answered: JsonObject = {"answer_sha256": encode_base64url(sha256(payload.answer))}
    return outcome is not None and outcome.result == _commit(payload.salt, answered)


def _commit(salt: bytes, value: JsonObject) -> str:
    return encode_base64url(hmac_sha256(salt, encode_canonical_json(value)))


def _parse(path: str, content: bytes) -> DisclosedPayload:
    text = parse_utf8(content)
    json = parse_canonical_object(text, _MAX_CHARS)
    if json is None or set(json) != _MEMBERS:
        raise invalid("payload", "is not canonical, or has other members", path)

    def text_of(name: str) -> str:
        value = json[name]
        if not isinstance(value, str):
            raise TrustWardenError("evidence_bundle_malformed", {"field": name})
        return value

    answer = None if json["answer"] is None else parse_base64url(text_of("answer"))
    salt = parse_base64url(text_of("salt"))
    if len(salt) != _SALT_BYTES:
        raise invalid("payload", "has another salt", path)
    request = parse_base64url(text_of("request"))
    return DisclosedPayload(text_of("method"), text_of("target"), request, answer, salt)
