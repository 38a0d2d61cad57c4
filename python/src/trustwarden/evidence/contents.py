"""What an evidence bundle holds: a manifest that a server signed, the digests of all other files, entries with proofs.

Nothing is proven here; `verify` does. What the bundle says of whom to trust is never believed.

See: docs/decisions/0031
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from .._bytes import encode_base64url, parse_utf8
from .._crypto import sha256
from .._fields import Fields
from .._json import (
    Json,
    JsonObject,
    format_canonical_json,
    is_json_list,
    is_json_object,
    is_safe_integer,
    parse_json_object,
)
from ..dsse import UnverifiedEnvelope, parse_envelope, parse_unverified_payload
from ..errors import TrustWardenError
from .archive import malformed, parse_archive

MANIFEST_FILE = "manifest.json"
SUMS_FILE = "SHA256SUMS"
CHECKPOINT_FILE = "checkpoint"
EVENTS_FILE = "events.json"
RANGE_FILE = "range.proof"
TRUST_FILE = "trust/bundle.json"
_MAX_EVENTS_CHARS = 4_000_000
_ENTRY_PATH = re.compile(r"entries/(0|[1-9][0-9]{0,15})\.json")


@dataclass(frozen=True, slots=True)
class EvidenceSelection:
    """What was asked for."""

    kind: str
    """`event`, `agent`, `job` or `range`."""
    value: str | None
    since: str | None
    until: str | None


@dataclass(frozen=True, slots=True)
class EvidenceManifest:
    """What a server says of a bundle; its signature is over this."""

    time: str
    trust_domain: str
    log_vkey: str
    log_size: int
    log_root: str
    witnessed: bool
    """Whether the checkpoint carries the cosignatures that its policy asks for, as the server says."""
    selection: EvidenceSelection
    range: tuple[int, int] | None
    """Entries that are there without exception, start and end; None where single events were chosen."""
    events: int
    entries: int
    withheld: tuple[str, ...]
    """What is left out, in words."""
    sums_sha256: str


@dataclass(frozen=True, slots=True)
class EventIndexes:
    """Log indexes of one event's records."""

    event_id: str
    indexes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class OpenedBundle:
    """An archive whose files are those that its manifest names; who signed the manifest is not known yet."""

    files: Mapping[str, bytes]
    unverified_manifest: EvidenceManifest
    envelope: UnverifiedEnvelope
    events: tuple[EventIndexes, ...]
    entries: Mapping[int, bytes]
    """By log index, in order."""


def open_evidence_bundle(data: bytes) -> OpenedBundle:
    """Reads a bundle.

    Raises: TrustWardenError `evidence_bundle_malformed`.
    """
    files = parse_archive(data)
    try:
        envelope = parse_envelope(parse_utf8(file_of(files, MANIFEST_FILE)))
        manifest = _parse_manifest(parse_unverified_payload(envelope))
        _require_sums(files, manifest)
        events, support = _parse_event_list(parse_utf8(file_of(files, EVENTS_FILE)))
    except TrustWardenError as cause:
        if cause.code == "evidence_bundle_malformed":
            raise
        raise malformed(cause.code) from cause
    found = ((int(match[1]), content) for path, content in files.items() if (match := _ENTRY_PATH.fullmatch(path)))
    entries = dict(sorted(found))
    # Every entry is there for a reason, and each reason is there.
    named = [index for event in events for index in event.indexes] + list(support)
    if len(named) != len(entries) or set(named) != set(entries):
        raise malformed("entries that events.json does not name")
    if not events:
        raise malformed("no event")
    return OpenedBundle(files, manifest, envelope, events, entries)


def file_of(files: Mapping[str, bytes], path: str) -> bytes:
    """Content of a file that every bundle has.

    Raises: TrustWardenError `evidence_bundle_malformed`.
    """
    content = files.get(path)
    if content is None:
        raise malformed(f"{path} is missing")
    return content


def _require_sums(files: Mapping[str, bytes], manifest: EvidenceManifest) -> None:
    rest = sorted(path for path in files if path not in (MANIFEST_FILE, SUMS_FILE))
    lines = "".join(f"{sha256(files[path]).hex()}  {path}\n" for path in rest)
    sums = file_of(files, SUMS_FILE)
    if lines.encode("ascii") != sums:
        raise malformed("a file is not what SHA256SUMS says")
    if encode_base64url(sha256(sums)) != manifest.sums_sha256:
        raise malformed("SHA256SUMS is not what the manifest says")


def _parse_manifest(json: JsonObject) -> EvidenceManifest:
    fields = Fields(json, "evidence_bundle_malformed")
    log, selection = fields.object("log"), fields.object("selection")
    fields.version()
    manifest = EvidenceManifest(
        time=fields.time("time"),
        trust_domain=fields.text("trust_domain"),
        log_vkey=log.text("vkey"),
        log_size=log.integer("size"),
        log_root=log.text("root"),
        witnessed=fields.boolean("witnessed"),
        selection=EvidenceSelection(
            selection.one_of("kind", ("event", "agent", "job", "range")),
            selection.text_or_null("value"),
            selection.text_or_null("since"),
            selection.text_or_null("until"),
        ),
        range=_parse_range(fields),
        events=fields.integer("events"),
        entries=fields.integer("entries"),
        withheld=fields.texts("withheld"),
        sums_sha256=fields.digest("sums_sha256"),
    )
    for part in (log, selection, fields):
        part.end()
    return manifest


def _parse_range(fields: Fields) -> tuple[int, int] | None:
    if fields.is_null("range"):
        return fields.null("range")
    part = fields.object("range")
    value = (part.integer("start"), part.integer("end"))
    part.end()
    return value


def _parse_event_list(text: str) -> tuple[tuple[EventIndexes, ...], tuple[int, ...]]:
    json = parse_json_object(text, _MAX_EVENTS_CHARS)
    events = json.get("events")
    if format_canonical_json(json) != text or set(json) != {"events", "support"} or not is_json_list(events):
        raise malformed(EVENTS_FILE)
    return tuple(_parse_event(event) for event in events), _parse_indexes(json["support"])


def _parse_event(value: Json) -> EventIndexes:
    if not is_json_object(value) or set(value) != {"event_id", "indexes"}:
        raise malformed(EVENTS_FILE)
    event_id, indexes = value["event_id"], _parse_indexes(value["indexes"])
    if not isinstance(event_id, str) or not indexes:
        raise malformed(EVENTS_FILE)
    return EventIndexes(event_id, indexes)


def _parse_indexes(value: Json) -> tuple[int, ...]:
    if not is_json_list(value):
        raise malformed(EVENTS_FILE)
    indexes: list[int] = []
    for index in value:
        if not is_safe_integer(index) or index < 0:
            raise malformed(EVENTS_FILE)
        indexes.append(index)
    return tuple(indexes)
