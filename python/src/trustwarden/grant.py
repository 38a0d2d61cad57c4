"""What a child asks for and what its parent signs.

The holder of a ticket or grant also checks here that it says what was asked for, and that what was issued is what it
says: a mistaken ticket is a clear error at the start and not a missing permission later.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ._bytes import encode_base64url
from ._fields import Fields
from ._json import JsonObject, encode_canonical_json, is_json_list
from .answers import IdentityAnswer
from .bundle import digest_of_roots
from .credential import Credential
from .dsse import issue_envelope
from .enrol import read_value
from .errors import TrustWardenError, fail
from .models import Composition, Limits
from .runtime import format_ulid, now_seconds
from .scope import parse_name, parse_scope, parse_ttl
from .server import TrustServer
from .spiffe import format_spiffe_id, instance_id_of, parse_spiffe_id

_DEFAULT_TTL = "1h"
_MAX_GRANT_SECONDS = 60
_MAX_DEPTH = 32
_MAX_FAN_OUT = 1_000_000


@dataclass(frozen=True)
class Wanted:
    """What a child is to be."""

    name: str
    scope: Sequence[str] | None
    ttl: str | None = None
    limits: Limits | None = None
    composition: Composition | None = None


@dataclass(frozen=True)
class Expected:
    """What the server must have issued."""

    name: str
    scope: tuple[str, ...]


@dataclass(frozen=True)
class SignedGrant:
    """A grant in its two forms: the document, and the text that carries it to another process."""

    envelope: str
    text: str
    expected: Expected


def expected_of(wanted: Wanted) -> Expected:
    """What a child with these wishes must become. Raises `name_malformed`, `scope_malformed`."""
    # A child without a named scope would have to get its parent's, which is never right.
    if wanted.scope is None:
        raise fail("scope_malformed", {"reason": "a child needs a scope"})
    return Expected(parse_name(wanted.name), parse_scope(wanted.scope))


def format_request(wanted: Wanted, thumbprint: str) -> tuple[str, Expected]:
    """The `twr1.` text of a child's request."""
    expected = expected_of(wanted)
    limits = _signed({"depth": 0, "fan_out": 0, "budget": 0}, wanted.limits)
    text = _format_value(
        "twr1.",
        {
            "limits": limits,
            "name": expected.name,
            "scope": expected.scope,
            "thumbprint": thumbprint,
            "ttl_seconds": parse_ttl(wanted.ttl or _DEFAULT_TTL),
        },
    )
    return text, expected


def parse_request(text: str) -> tuple[Wanted, str]:
    """What a request asks for, and the thumbprint of its key. Raises `request_malformed` and its members' codes."""
    fields = Fields(read_value(text, "twr1.", "request_malformed"), "request_malformed")
    name = parse_name(fields.text("name"))
    atoms = fields.texts("scope")
    scope = parse_scope(atoms)
    ttl = f"{fields.integer('ttl_seconds')}s"
    parse_ttl(ttl)
    limits = _read_limits(fields.object("limits"))
    thumbprint = fields.digest("thumbprint")
    fields.end()
    if scope != atoms:
        fields.refuse("scope")
    return Wanted(name, scope, ttl, limits), thumbprint


def issue_grant(
    wanted: Wanted, thumbprint: str, parent: IdentityAnswer, credential: Credential, server: TrustServer
) -> SignedGrant:
    """Signs a grant with the parent's live SVID key: for this child's key, once, within a minute."""
    expected = expected_of(wanted)
    if instance_id_of(parse_spiffe_id(parent.spiffe_id)) is None:
        # A workload of a federated trust domain is nobody's parent here.
        raise fail("grant_invalid", {"field": "parent"})
    now = now_seconds()
    grant: JsonObject = {
        "v": 1,
        "jti": format_ulid(),
        "aud": format_spiffe_id(server.trust_domain, []),
        "iat": now,
        "exp": now + _MAX_GRANT_SECONDS,
        "name": expected.name,
        "scope": expected.scope,
        "path": parent.path,
        "ttl_seconds": parse_ttl(wanted.ttl or _DEFAULT_TTL),
        "limits": _signed(_default_limits(parent), wanted.limits),
        "child_thumbprint": thumbprint,
        "parent": parent.spiffe_id,
        "svid_sha256": credential.svid.leaf.sha256,
    }
    envelope = issue_envelope("grant", grant, credential.key.sign, credential.svid.leaf.sha256)
    # Of today, not of the parent's own ticket: the roots may have been rotated since.
    authorities = digest_of_roots(server.bundle.x509_authorities)
    value = {"authorities_sha256": authorities, "grant": envelope, "server": server.address.url}
    return SignedGrant(envelope, _format_value("twg1.", value), expected)


def require_ticket_for(wanted: Wanted, ticket: JsonObject) -> Expected:
    """Refuses a ticket that is not for this agent. Raises `ticket_mismatch`, naming the member that differs."""
    atoms = ticket.get("scope")
    granted = parse_scope([str(atom) for atom in atoms] if is_json_list(atoms) else [])
    if ticket.get("kind") != "agent":
        raise _mismatch("kind")
    if ticket.get("name") != wanted.name:
        raise _mismatch("name")
    if wanted.scope is not None and parse_scope(wanted.scope) != granted:
        raise _mismatch("scope")
    if wanted.ttl is not None and parse_ttl(wanted.ttl) != ticket.get("ttl_seconds"):
        raise _mismatch("ttl")
    if wanted.limits is not None:
        raise _mismatch("limits")
    return Expected(wanted.name, granted)


def require_issued_as(answer: IdentityAnswer, expected: Expected) -> str:
    """Refuses an identity that is not the one asked for; gives its agent id. Raises `server_untrusted`."""
    if answer.name != expected.name or answer.scope != expected.scope or answer.agent_id is None:
        raise fail("server_untrusted", {"reason": "not the identity that was asked for"})
    return answer.agent_id


def _signed(default: Limits, wanted: Limits | None) -> JsonObject:
    limits: Limits = {**default, **(wanted or {})}
    return {"depth": limits.get("depth"), "fan_out": limits.get("fan_out"), "budget": limits.get("budget")}


def _default_limits(parent: IdentityAnswer) -> Limits:
    # A budget is shared out on purpose or not at all.
    budget = None if parent.budget is None else 0
    return {"depth": max(parent.depth - 1, 0), "fan_out": parent.fan_out, "budget": budget}


def _read_limits(fields: Fields) -> Limits:
    depth, fan_out = fields.integer("depth"), fields.integer("fan_out")
    budget = None if fields.is_null("budget") else fields.integer("budget")
    fields.take("budget")
    fields.end()
    if depth > _MAX_DEPTH or fan_out > _MAX_FAN_OUT:
        fields.refuse("depth")
    return {"depth": depth, "fan_out": fan_out, "budget": budget}


def _format_value(prefix: str, value: JsonObject) -> str:
    return prefix + encode_base64url(encode_canonical_json(value))


def _mismatch(field: str) -> TrustWardenError:
    return fail("ticket_mismatch", {"field": field})
