"""From evidence to an identity: where the platform that runs a process says what it is, no ticket is needed.

The evidence is asked for only after the server has proven itself, and for its nonce and its trust domain: nobody else
sees it or can use it. See docs/guides/attestation.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from ._bytes import encode_base64url
from ._crypto import sha256
from ._json import Json, JsonObject, encode_canonical_json
from .answers import parse_identity
from .credential import Credential
from .enrol import Enrolled, declared_of, issue_possession
from .errors import fail
from .keys import InstanceKey
from .models import Composition
from .server import ServerCall, TrustServer, encode_body
from .spiffe import format_spiffe_id

_ATTEST_SECONDS = 20.0
"""Enrolment waits for durable writes, and for the platform's own API where the server asks it."""


@dataclass(frozen=True)
class Exchange:
    """What evidence is to be made for."""

    nonce: str
    """The server's, for this enrolment only."""
    audience: str
    """`spiffe://<trust domain>`."""


class EvidenceSource(Protocol):
    """Gets evidence from the platform; see `evidence_sources` for the ones that are known here."""

    def __call__(self, exchange: Exchange, /) -> JsonObject:
        """Raises `evidence_unavailable`."""
        ...


def enrol_by_evidence(
    server: TrustServer,
    evidence: EvidenceSource,
    *,
    entry_id: str | None,
    name: str | None,
    composition: Composition | None,
) -> tuple[Enrolled, str]:
    """Enrols a new key by evidence; gives the agent's id too.

    Raises: TrustWardenError `evidence_unavailable`, the server's refusal, `server_untrusted`, `server_unreachable`.
    """
    key = InstanceKey()
    nonce = server.take_nonce()
    shown = evidence(Exchange(nonce, format_spiffe_id(server.trust_domain, [])))
    digest = encode_base64url(sha256(encode_canonical_json(shown)))
    body: dict[str, Json] = {
        "entry_id": entry_id,
        "evidence": shown,
        "composition": declared_of(composition),
        "spki": encode_base64url(key.spki),
        "possession": issue_possession(nonce, digest, key),
    }
    call = ServerCall("POST", "/v1/attested-instances", encode_body(body), timeout=_ATTEST_SECONDS)
    answer = parse_identity(server.call(call))
    if answer.agent_id is None or (name is not None and answer.name != name):
        raise fail("server_untrusted", {"reason": "not the identity that was asked for"})
    return Enrolled(answer, Credential(answer, key, server)), answer.agent_id
