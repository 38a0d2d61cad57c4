"""From a ticket or a grant to an identity: nonce, proof of possession, SVID.

Also reads what a ticket or grant says, for the holder's own convenience; whether that is true is proven by the server,
which has the keys to check it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from ._bytes import encode_base64url, parse_base64url, parse_utf8
from ._codes import ErrorCode
from ._crypto import sha256
from ._fields import Fields
from ._json import Json, JsonObject, parse_json_object
from .answers import IdentityAnswer, Members, parse_identity
from .contact import ServerAddress
from .credential import Credential
from .dsse import issue_envelope, parse_envelope, parse_unverified_payload
from .errors import TrustWardenError, fail
from .keys import InstanceKey
from .models import Composition
from .server import ServerCall, TrustServer, encode_body
from .spiffe import parse_spiffe_id, trust_domain_of
from .work import MAX_WORK_BITS, find_work

_ENROL_SECONDS = 15.0
"""Enrolment waits for durable writes."""
_MAX_WORK_ATTEMPTS = 4
"""Others of the same owner register meanwhile, and the price rises."""
_MAX_VALUE_CHARS = 131_072
_MAX_DOCUMENT_CHARS = 65_535
_SERVER_URL = re.compile(
    r"https://(?:[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?|\[[0-9a-f:.]{2,45}\])(?::[1-9][0-9]{0,4})?"
)
_COMPOSITION_PARTS = ("model", "prompts", "skills", "tools")


@dataclass(frozen=True)
class HeldEnrolment:
    """A ticket or grant as its holder reads it."""

    address: ServerAddress
    envelope: str = field(repr=False)
    """Sent as it is: a bearer secret until it is used."""
    unverified: JsonObject
    """What it says; nobody here has proven it."""


@dataclass(frozen=True)
class Enrolled:
    """A new identity and its first credential."""

    answer: IdentityAnswer
    credential: Credential


def read_ticket(text: str | None) -> HeldEnrolment:
    """What a ticket's text says. Raises `ticket_missing`, `ticket_invalid`."""
    if not text:
        raise fail("ticket_missing")
    return _read_enrolment(text.strip().removeprefix("TRUSTWARDEN_TICKET="), "tw1.", "ticket", "ticket_invalid")


def read_grant(text: str) -> HeldEnrolment:
    """What a grant's text says. Raises `grant_invalid`."""
    return _read_enrolment(text, "twg1.", "grant", "grant_invalid")


def read_value(text: str, prefix: str, code: ErrorCode, max_chars: int = _MAX_VALUE_CHARS) -> JsonObject:
    """The members of a `tw…1.` text. Raises the code."""
    if len(text) > max_chars or not text.startswith(prefix):
        raise fail(code, {"field": "prefix"})
    try:
        return parse_json_object(parse_utf8(parse_base64url(text[len(prefix) :])), max_chars)
    except TrustWardenError as cause:
        raise fail(code, {"field": "encoding"}) from cause


def enrol(server: TrustServer, key: InstanceKey, envelope: str, composition: Composition | None) -> Enrolled:
    """Enrols a new key. Raises the server's refusal, `server_untrusted`, `server_unreachable`."""
    digest = encode_base64url(sha256(envelope.encode()))
    rest: dict[str, Json] = {"enrolment": envelope, **_declared(composition)}
    answer = parse_identity(
        call_with_work(server, "/v1/instances", lambda bits: prove_key(server, key, digest, rest, bits))
    )
    return Enrolled(answer, Credential(answer, key, server))


def call_with_work(server: TrustServer, target: str, prove: Callable[[int], bytes]) -> Members:
    """Asks again with work when the owner registers many agents at once, and no more work than nobody notices."""
    bits = 0
    for _ in range(_MAX_WORK_ATTEMPTS - 1):
        try:
            return server.call(ServerCall("POST", target, prove(bits), timeout=_ENROL_SECONDS))
        except TrustWardenError as error:
            asked = error.details.get("work_bits")
            if error.code != "registration_costly" or not isinstance(asked, int) or asked > MAX_WORK_BITS:
                raise
            bits = asked
    return server.call(ServerCall("POST", target, prove(bits), timeout=_ENROL_SECONDS))


def renew_credential(
    server: TrustServer,
    current: Credential,
    sign: Callable[[bytes], Mapping[str, str]],
    composition: Composition | None,
) -> Credential:
    """The next credential, under a new key, asked for with the current one. Raises the server's refusal."""
    # One connection for what is read and what is asked: many that renew at one moment make half the handshakes.
    server.refresh(current.server_pool)
    key = InstanceKey()
    body = prove_key(server, key, current.svid.leaf.sha256, _declared(composition))
    call = ServerCall("POST", "/v1/svids/renew", body, sign(body), timeout=_ENROL_SECONDS)
    answer = parse_identity(server.call(call, current.server_pool))
    if answer.spiffe_id != current.svid.id:
        raise fail("server_untrusted", {"reason": "other id"})
    return Credential(answer, key, server)


def issue_possession(nonce: str, enrolment_sha256: str, key: InstanceKey) -> str:
    """The proof that whoever asks holds the private key, for one document and one nonce."""
    payload: JsonObject = {
        "v": 1,
        "nonce": nonce,
        "thumbprint": key.thumbprint,
        "enrolment_sha256": enrolment_sha256,
    }
    return issue_envelope("possession", payload, key.sign, key.thumbprint)


def prove_key(
    server: TrustServer, key: InstanceKey, enrolment_sha256: str, rest: JsonObject, work_bits: int = 0
) -> bytes:
    """A body that proves possession of a key, for one document and with as much work as was asked for."""
    possession = issue_possession(server.take_nonce(), enrolment_sha256, key)
    work: dict[str, Json] = {} if work_bits == 0 else {"work": find_work(possession, work_bits)}
    return encode_body({**rest, **work, "possession": possession, "spki": encode_base64url(key.spki)})


def declared_of(composition: Composition | None) -> dict[str, str] | None:
    """A composition as requests have it."""
    if composition is None:
        return None
    return {part: digest for part in _COMPOSITION_PARTS if (digest := composition.get(part)) is not None}


def _declared(composition: Composition | None) -> dict[str, Json]:
    parts = declared_of(composition)
    return {} if parts is None else {"composition": parts}


def _read_enrolment(text: str, prefix: str, member: str, code: ErrorCode) -> HeldEnrolment:
    fields = Fields(read_value(text, prefix, code), code)
    authorities, url = fields.digest("authorities_sha256"), fields.text("server")
    envelope = fields.text(member, max_chars=_MAX_DOCUMENT_CHARS)
    fields.end()
    if _SERVER_URL.fullmatch(url) is None:
        raise fail(code, {"field": "server"})
    unverified = parse_unverified_payload(parse_envelope(envelope))
    audience = unverified.get("aud")
    if not isinstance(audience, str):
        raise fail(code, {"field": "aud"})
    trust_domain = trust_domain_of(parse_spiffe_id(audience))
    return HeldEnrolment(ServerAddress(url, trust_domain, authorities), envelope, unverified)
