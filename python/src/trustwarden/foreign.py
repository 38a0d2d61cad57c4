"""An agent whose identity is given by somebody else: a workload of a federated SPIRE that acts here with its own SVID.

The registration that its owner was given says who it is here and which server to believe; the SVID and its key come
from the workload's own source, such as the Workload API, at the start and whenever the one at hand is half over.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, TypeAlias

from cryptography.hazmat.primitives.asymmetric import ec

from ._fields import Fields
from .answers import IdentityAnswer
from .contact import ServerAddress
from .credential import Credential
from .enrol import read_value
from .errors import TrustWardenError, fail
from .keys import InstanceKey
from .scope import parse_label, parse_scope
from .server import TrustServer
from .spiffe import parse_spiffe_id, trust_domain_of

_MAX_VALUE_CHARS = 65_536
_OWNER_ID = re.compile(r"own_[0-7][0-9A-HJKMNP-TV-Z]{25}")


class ForeignSvid(Protocol):
    """An X.509-SVID with its key, as the Workload API's client gives it."""

    @property
    def chain(self) -> Sequence[bytes]:
        """DER, leaf first, without the root."""
        ...

    @property
    def private_key(self) -> ec.EllipticCurvePrivateKey:
        """P-256."""
        ...


SvidSource: TypeAlias = Callable[[], ForeignSvid]
"""Gives the SVID of the moment; asked at the start and at each half life."""


@dataclass(frozen=True)
class Registration:
    """A registration as the workload reads it."""

    address: ServerAddress
    agent_id: str
    answer: IdentityAnswer
    """What enrolment would have answered; the server knows it from the registration."""


def read_registration(text: str) -> Registration:
    """What a `twf1.` text says. Raises `entry_invalid`, and the codes of a name, scope or id."""
    fields = Fields(read_value(text.strip(), "twf1.", "entry_invalid", _MAX_VALUE_CHARS), "entry_invalid")
    pin, url = fields.digest("authoritiesSha256"), fields.text("server")
    trust_domain = trust_domain_of(parse_spiffe_id(fields.text("trustDomain")))
    spiffe_id = parse_spiffe_id(fields.text("spiffeId"))
    agent_id, instance_id = fields.text("agentId"), fields.text("instanceId")
    fields.matching("ownerId", _OWNER_ID)
    path = fields.text("path") if fields.take("path") != "" else ""
    name = fields.text("name")
    atoms = fields.texts("scope")
    scope = parse_scope(atoms)
    if scope != atoms:
        fields.refuse("scope")
    chain = fields.texts("chain")
    expires_at = fields.integer("expiresAt")
    fields.end()
    parse_label(path, name)
    answer = IdentityAnswer(
        spiffe_id=spiffe_id,
        agent_id=agent_id,
        instance_id=instance_id,
        name=name,
        path=path,
        scope=scope,
        depth=0,
        fan_out=0,
        budget=0,
        chain=chain,
        svid_chain=(),
        instance_expires_at=expires_at,
        ttl_shortened=False,
    )
    return Registration(ServerAddress(url, trust_domain, pin), agent_id, answer)


def next_foreign_credential(answer: IdentityAnswer, source: SvidSource, server: TrustServer) -> Credential:
    """The credential of the SVID that the source has now.

    Raises `svid_mismatch` for the SVID of another workload, `svid_key_refused` for a key that is not P-256,
    `trust_domain_unknown` when the server federates with it no more, the other codes of a chain, and whatever the
    source raises.
    """
    svid = source()
    server.refresh_federated()
    key = InstanceKey(_require_p256(svid.private_key))
    shown = replace(answer, svid_chain=tuple(svid.chain))
    try:
        return Credential(shown, key, server)
    except TrustWardenError as cause:
        # What a credential blames the server for is here the source's doing.
        if cause.code != "server_untrusted":
            raise
        raise fail("svid_mismatch", cause.details) from cause


def _require_p256(private: object) -> ec.EllipticCurvePrivateKey:
    """A source is somebody else's code, so its word for what it gives is not enough."""
    if not isinstance(private, ec.EllipticCurvePrivateKey) or not isinstance(private.curve, ec.SECP256R1):
        raise fail("svid_key_refused", {"reason": "not a P-256 key"})
    return private
