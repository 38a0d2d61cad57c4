"""What the server answers, as typed values; anything that is not an answer of ours is `server_unreachable`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NoReturn

from ._bytes import parse_base64url, parse_utf8
from ._json import Json, JsonObject, is_json_list, is_json_object, is_safe_integer, parse_json_object
from .errors import TrustWardenError, fail, is_error_code
from .models import RevocationAnswer
from .receipts import Receipt, parse_receipt

_BITS = re.compile(r"[0-9]{1,2}")


class Members:
    """Reads the members of an answer; those that nobody asks for are left alone."""

    def __init__(self, json: Json) -> None:
        if not is_json_object(json):
            _refuse("object")
        self._json: JsonObject = json

    def text(self, name: str) -> str:
        """Text, possibly empty."""
        value = self._json.get(name)
        return value if isinstance(value, str) else _refuse(name)

    def text_or_none(self, name: str) -> str | None:
        """Text, or None where it is null or absent."""
        return None if self._json.get(name) is None else self.text(name)

    def texts(self, name: str) -> tuple[str, ...]:
        """A list of texts."""
        value = self._json.get(name)
        if not is_json_list(value):
            _refuse(name)
        return tuple(item if isinstance(item, str) else _refuse(name) for item in value)

    def integer(self, name: str) -> int:
        """A safe integer."""
        value = self._json.get(name)
        return value if is_safe_integer(value) else _refuse(name)

    def integer_or_none(self, name: str) -> int | None:
        """A safe integer, or None where it is null or absent."""
        return None if self._json.get(name) is None else self.integer(name)

    def number(self, name: str) -> float:
        """Any number."""
        value = self._json.get(name)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            _refuse(name)
        return value

    def boolean(self, name: str) -> bool:
        """True or false."""
        value = self._json.get(name)
        return value if isinstance(value, bool) else _refuse(name)

    def object(self, name: str) -> Members:
        """An object inside."""
        return Members(self._json.get(name))

    def object_or_none(self, name: str) -> Members | None:
        """An object inside, or None where it is null or absent."""
        return None if self._json.get(name) is None else self.object(name)

    def objects(self, name: str) -> tuple[Members, ...]:
        """A list of objects."""
        value = self._json.get(name)
        return tuple(map(Members, value)) if is_json_list(value) else _refuse(name)

    def json(self, name: str) -> JsonObject:
        """An object as it is."""
        value = self._json.get(name)
        return value if is_json_object(value) else _refuse(name)


@dataclass(frozen=True)
class IdentityAnswer:
    """Answer of enrolment and renewal."""

    spiffe_id: str
    agent_id: str | None
    instance_id: str
    name: str
    path: str
    scope: tuple[str, ...]
    depth: int
    fan_out: int
    budget: int | None
    chain: tuple[str, ...]
    svid_chain: tuple[bytes, ...]
    instance_expires_at: int
    ttl_shortened: bool


@dataclass(frozen=True)
class Discovery:
    """What a server says of itself."""

    trust_domain: str
    server_id: str
    log_vkey: str
    stop_url: str
    gateway_url: str | None
    sequence: int
    """Of the bundle; it is fetched again when this rose."""
    renew: tuple[str, ...]
    """Key identifiers (hex) of intermediates whose SVIDs must be renewed now."""
    nonce: str | None


@dataclass(frozen=True)
class DecisionAnswer:
    """The server's answer to "may it?"; nothing of it counts before its receipt is proven."""

    allow: bool
    action_class: str
    epoch: int
    enforcement: str
    spiffe_id: str
    chain: tuple[str, ...]
    receipt: Receipt


def parse_answer(status: int, body: bytes, work_bits: str | None = None) -> Members:
    """The members of a good answer. Raises the server's code, or `server_unreachable`.

    `work_bits` is the header `trustwarden-work`.
    """
    if not 200 <= status <= 299:
        raise parse_refusal(status, body, work_bits)
    try:
        return Members(parse_json_object(parse_utf8(body), 4_194_304))
    except TrustWardenError as cause:
        raise fail("server_unreachable", {"reason": "unexpected answer", "status": status}) from cause


def parse_refusal(status: int, body: bytes, work_bits: str | None = None) -> TrustWardenError:
    """The refusal in an answer; what is no refusal of ours keeps its status and says nothing else."""
    try:
        error = Members(parse_json_object(parse_utf8(body))).object("error")
        code, counterexample = error.text("code"), error.text_or_none("counterexample")
    except TrustWardenError:
        return fail("server_unreachable", {"reason": "unexpected answer", "status": status})
    more = {} if counterexample is None else {"counterexample": counterexample}
    work = {"work_bits": int(work_bits)} if work_bits is not None and _BITS.fullmatch(work_bits) else {}
    return fail(code if is_error_code(code) else "internal", {"status": status, "from": "server", **more, **work})


def parse_identity(answer: Members) -> IdentityAnswer:
    """The answer of enrolment and renewal."""
    limits = answer.object("limits")
    return IdentityAnswer(
        spiffe_id=answer.text("spiffe_id"),
        agent_id=answer.text_or_none("agent_id"),
        instance_id=answer.text("instance_id"),
        name=answer.text("name"),
        path=answer.text("path"),
        scope=answer.texts("scope"),
        depth=limits.integer("depth"),
        fan_out=limits.integer("fan_out"),
        budget=limits.integer_or_none("budget"),
        chain=answer.texts("chain"),
        svid_chain=tuple(map(parse_base64url, answer.texts("svid_chain"))),
        instance_expires_at=answer.integer("instance_expires_at"),
        ttl_shortened=answer.boolean("ttl_shortened"),
    )


def parse_discovery(answer: Members) -> Discovery:
    """What a server says of itself."""
    authority = answer.object("authority")
    return Discovery(
        trust_domain=answer.text("trust_domain"),
        server_id=answer.text("server_id"),
        log_vkey=answer.text("log_vkey"),
        stop_url=answer.text("stop_url"),
        gateway_url=answer.text_or_none("gateway_url"),
        sequence=authority.integer("sequence"),
        renew=authority.texts("renew"),
        nonce=answer.text_or_none("nonce"),
    )


def parse_decision(answer: Members) -> DecisionAnswer:
    """The answer to one question."""
    agent = answer.object("agent")
    return DecisionAnswer(
        allow=answer.boolean("allow"),
        action_class=answer.text("class"),
        epoch=answer.integer("epoch"),
        enforcement=answer.text("enforcement"),
        spiffe_id=agent.text("spiffe_id"),
        chain=agent.texts("chain"),
        receipt=parse_receipt(answer.json("receipt")),
    )


def parse_revocation(answer: Members) -> RevocationAnswer:
    """What a revocation reached."""
    return RevocationAnswer(
        epoch=answer.integer("epoch"),
        instances=answer.integer("instances"),
        acked=answer.integer("acked"),
        expired=answer.integer("expired"),
        elapsed_ms=answer.number("elapsed_ms"),
        stopped_by=answer.text("stopped_by"),
        event_id=answer.text("event_id"),
        recorded=answer.boolean("recorded"),
    )


def _refuse(name: str) -> NoReturn:
    raise fail("server_unreachable", {"reason": "unexpected answer", "member": name})
