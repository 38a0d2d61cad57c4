"""Whether the instances of registration entries are what their owners signed.

The entry's own words, a workload that had what the entry asks for, and a node that the log knows. What a node or
attestor saw nobody can check later; that its word was for what the owner asked for, anybody can.
"""

from __future__ import annotations

from .._bytes import encode_base64url
from .._crypto import sha256
from .._json import Json, JsonObject, format_canonical_json, is_json_list, is_json_object
from ..errors import TrustWardenError
from ..records import ControlRecord, seconds_of


class EntryAuditor:
    """Owns the nodes that were admitted and the entries that were removed, as the log tells; lives for one audit."""

    def __init__(self) -> None:
        self._nodes: dict[str, str] = {}
        self._removed: set[str] = set()

    def add_node(self, control: ControlRecord) -> None:
        """An admitted node; that its key was its own is the caller's check.

        Raises: TrustWardenError `record_malformed`.
        """
        parts = (control.subject or "").split("/")
        name = parts[5] if len(parts) > 5 else None
        is_node = parts[3:5] == ["trustwarden", "node"]
        if control.subject is None or not is_node or name != control.details.get("name"):
            raise invalid("a node under another name")
        self._nodes[control.subject] = text_of(name)

    def add_change(self, control: ControlRecord) -> None:
        """A registered or removed entry."""
        if control.details.get("change") == "remove" and control.subject is not None:
            self._removed.add(control.subject)

    def require_match(self, entry: JsonObject, control: ControlRecord) -> None:
        """Refuses an instance that is not what its entry says. The entry's signature is the caller's check.

        Raises: TrustWardenError `record_malformed`.
        """
        name = f"ent_{joined(entry.get('jti'))}"
        if control.details.get("entry_id") != name:
            raise invalid("another entry than was signed")
        if name in self._removed:
            raise invalid("an entry that had been removed")
        ends_at = number_of(entry.get("exp"))
        if ends_at is None or seconds_of(control.time) >= ends_at:
            raise invalid("an entry that had expired")
        place = "/".join(joined(part) for part in (entry.get("path"), entry.get("name")) if part != "")
        if "/".join((control.subject or "").split("/")[3:-1]) != place:
            raise invalid("another name than was signed")
        self._require_workload(entry, control.details)

    def _require_workload(self, entry: JsonObject, details: JsonObject) -> None:
        attested = details.get("attested")
        if not is_json_object(attested):
            raise invalid("nothing was attested")
        known = list(dict.fromkeys(texts_of(attested.get("selectors"))))
        if not all(selector in known for selector in texts_of(entry.get("selectors"))):
            raise invalid("a selector of the entry that nobody attested")
        if attested.get("type") != "node":
            return
        name = self._nodes.get(text_of(attested.get("node")))
        if name is None:
            raise invalid("a node that nobody admitted")
        nodes = texts_of(entry.get("nodes"))
        if "*" not in nodes and name not in nodes:
            raise invalid("a node that the entry does not name")
        if [selector for selector in known if selector.startswith("node:")] != [f"node:{name}"]:
            raise invalid("a selector of another node")


def bound_digest_of(control: ControlRecord) -> str:
    """What the proof of the new key is bound to: evidence where there is some, else the document.

    Raises: TrustWardenError `record_malformed`.
    """
    details = control.details
    if control.kind == "node":
        return text_of(details.get("evidence_sha256"))
    attested = details.get("attested")
    if is_json_object(attested) and attested.get("type") != "node":
        return text_of(attested.get("evidence_sha256"))
    return encode_base64url(sha256(text_of(details.get("enrolment")).encode("utf-8", "surrogatepass")))


def text_of(value: Json) -> str:
    """A member that must be text.

    Raises: TrustWardenError `record_malformed`.
    """
    if not isinstance(value, str):
        raise invalid("a document or proof is missing")
    return value


def texts_of(value: Json) -> list[str]:
    """A member that must be a list of texts.

    Raises: TrustWardenError `record_malformed`.
    """
    if not is_json_list(value):
        raise invalid("a list is missing")
    return [text_of(item) for item in value]


def number_of(value: Json) -> float | None:
    """A member that is a number; None for anything else."""
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def joined(value: Json) -> str:
    """A member as text, for a comparison; lists by their items."""
    if isinstance(value, str):
        return value
    return ",".join(joined(item) for item in value) if is_json_list(value) else format_canonical_json(value)


def invalid(reason: str) -> TrustWardenError:
    """The refusal of a record that is not what its document says."""
    return TrustWardenError("record_malformed", {"reason": reason})
