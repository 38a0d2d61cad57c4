"""Who let each instance be: the document behind every issue event, and the proof of the new key.

The server signs what it issued; that an owner or a parent wanted it is their own signature, which the event carries.
Without this check a lying server could make agents in any owner's name and the log would still add up.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

from .._bytes import encode_base64url
from .._crypto import format_thumbprint, sha256
from .._json import Json, JsonObject
from ..dsse import UnverifiedEnvelope, parse_envelope, parse_unverified_payload, require_signed, verify_envelope
from ..errors import TrustWardenError
from ..passkey import OwnerKey
from ..records import ControlRecord, seconds_of
from ..scope import is_subset, parse_scope
from .entries import EntryAuditor, bound_digest_of, joined, number_of, text_of, texts_of
from .owners import OwnerKeys
from .revocations import Revocations, names_of
from .svids import SvidDirectory
from .transfers import AgentOwners

SERVER_ID = re.compile(r"spiffe://[^/]+/trustwarden/server/[^/]+")
"""SPIFFE IDs of servers."""

_SKEW_SECONDS = 30
"""Clocks differ, and an event is written a moment after its document was looked at."""


@dataclass(frozen=True, slots=True)
class _Issued:
    chain: tuple[str, ...]
    scope: Json
    epoch: int


class EnrolmentAuditor:
    """Owns the owners' keys and the chains of instances, as the log registers them; lives for one audit."""

    def __init__(self, svids: SvidDirectory, revocations: Revocations) -> None:
        self._svids = svids
        self._revocations = revocations
        self._owners = OwnerKeys()
        self._issued: dict[str, _Issued] = {}
        self._narrowed: dict[str, list[tuple[Json, int]]] = {}
        # Digests of the tickets and grants that were used.
        self._used: set[str] = set()
        self._foreign: set[str] = set()
        self._entries = EntryAuditor()
        self._holders = AgentOwners(self._owners.key_for)

    def chain_of(self, spiffe_id: str) -> tuple[str, ...] | None:
        """`owner:<id>` and agent ids that an instance was issued with; None when the log does not say."""
        issued = self._issued.get(spiffe_id)
        return None if issued is None else issued.chain

    def issued_at(self, spiffe_id: str) -> int | None:
        """Epoch at which an instance was issued; None when the log does not say."""
        issued = self._issued.get(spiffe_id)
        return None if issued is None else issued.epoch

    def is_foreign(self, spiffe_id: str) -> bool:
        """Whether a SPIFFE ID is a registered one of another trust domain."""
        return spiffe_id in self._foreign

    def owner_key(self, owner: object, envelope: UnverifiedEnvelope) -> OwnerKey:
        """The key that must have signed an owner's document, as the log registered it.

        Raises: TrustWardenError `record_malformed`.
        """
        return self._owners.key_for(owner, envelope)

    def add(self, control: ControlRecord, signer: str) -> None:
        """Checks an allowed event of a server that registers, admits, issues, narrows or gives away; in log order.

        Raises: TrustWardenError `record_malformed`, or what parsing, signatures and certificates are refused with.
        """
        subject = control.subject
        if not control.allow or subject is None:
            return
        if control.kind in ("owner", "person"):
            self._owners.add(control)
        elif control.kind == "entry":
            self._add_entry(control)
        elif control.kind == "node":
            self._entries.add_node(control)
            self._require_possession(subject, control)
        elif control.kind == "issue":
            self._issued[subject] = _Issued(control.chain, control.details.get("scope"), control.epoch)
            self._add_instance(subject, control)
            self._holders.require_owner(control)
        elif control.kind == "transfer":
            self._holders.add(control, signer)
        elif control.kind == "narrow":
            self._narrowed.setdefault(subject, []).append((control.details.get("scope"), control.epoch))

    def _add_instance(self, subject: str, control: ControlRecord) -> None:
        if control.details.get("via") == "foreign":
            self._require_registered(subject, control)
            return
        self._require_wanted(subject, control)
        key = self._require_possession(subject, control)
        _require_holder(parse_unverified_payload(parse_envelope(text_of(control.details.get("enrolment")))), key)

    def _require_wanted(self, subject: str, control: ControlRecord) -> None:
        details, via = control.details, control.details.get("via")
        envelope = parse_envelope(text_of(details.get("enrolment")))
        document = parse_unverified_payload(envelope)
        _require_current(document, control)
        self._require_timely(document, subject, control)
        if via != "entry":
            self._require_unused(envelope)
        _require_named(document, subject)
        if _is_service(document):
            self._require_server(envelope, control)
            return
        if joined(document.get("scope")) != joined(details.get("scope")):
            raise _invalid("another scope than was signed")
        if via == "entry":
            self._require_owner(envelope, "entry", document.get("owner"), control.chain)
            self._entries.require_match(document, control)
        elif document.get("kind") == "agent":
            self._require_owner(envelope, "ticket", document.get("owner"), control.chain)
        else:
            self._require_parent(envelope, document, control)

    def _require_registered(self, subject: str, control: ControlRecord) -> None:
        """Nothing was issued: the owner's document names the SPIFFE ID, and each intent proves who holds it."""
        envelope = parse_envelope(text_of(control.details.get("enrolment")))
        document = parse_unverified_payload(envelope)
        _require_current(document, control)
        if document.get("kind") != "foreign" or document.get("spiffe_id") != subject:
            raise _invalid("a registration of another workload")
        if joined(document.get("scope")) != joined(control.details.get("scope")):
            raise _invalid("another scope than was signed")
        self._require_owner(envelope, "entry", document.get("owner"), control.chain)
        self._foreign.add(subject)

    def _require_server(self, envelope: UnverifiedEnvelope, control: ControlRecord) -> None:
        svid = self._svids.verify(envelope.unverified_keyid, seconds_of(control.time))
        if not SERVER_ID.fullmatch(svid.spiffe_id):
            raise _invalid("a verifier's ticket that no server signed")
        verify_envelope(envelope, "ticket", svid.public_key)

    def _add_entry(self, control: ControlRecord) -> None:
        """A registered entry is its owner's, before any instance of it; what operators admit is only their word."""
        details = control.details
        self._entries.add_change(control)
        if details.get("change") != "create" or details.get("entry_kind") != "agent":
            return
        envelope = parse_envelope(text_of(details.get("entry")))
        document = parse_unverified_payload(envelope)
        if control.subject != f"ent_{joined(document.get('jti'))}":
            raise _invalid("an entry under another id")
        verify_envelope(envelope, "entry", self._owners.key_of_file(document.get("owner")))

    def _require_owner(self, envelope: UnverifiedEnvelope, kind: str, owner: Json, chain: Sequence[str]) -> None:
        # An entry is used again and again, long after its passkey may be gone: only a file's key signs one.
        key = self._owners.key_of_file(owner) if kind == "entry" else self._owners.key_for(owner, envelope)
        if len(chain) != 2 or chain[0] != f"owner:{owner}":
            raise _invalid(f"a {kind} of another owner")
        verify_envelope(envelope, kind, key)

    def _require_parent(self, envelope: UnverifiedEnvelope, document: JsonObject, control: ControlRecord) -> None:
        svid = self._svids.verify(text_of(document.get("svid_sha256")), seconds_of(control.time))
        parent = self._issued.get(svid.spiffe_id)
        if parent is None or svid.spiffe_id != document.get("parent") or parent.chain != control.chain[:-1]:
            raise _invalid("a grant of another parent")
        verify_envelope(envelope, "grant", svid.public_key)
        names = names_of(svid.spiffe_id, parent.chain)
        if self._revocations.find(names, after=parent.epoch, until=control.epoch) is not None:
            raise _invalid("a grant of a parent that was revoked")
        child = parse_scope(texts_of(control.details.get("scope")))
        narrowed = [scope for scope, epoch in self._narrowed.get(svid.spiffe_id, []) if epoch <= control.epoch]
        for scope in (parent.scope, *narrowed):
            if not is_subset(parent=parse_scope(texts_of(scope)), child=child):
                raise _invalid("a grant of more than the parent had")

    def _require_timely(self, document: JsonObject, subject: str, control: ControlRecord) -> None:
        """Whoever revoked did not know of a document that was signed before, so it lets nobody be afterwards."""
        revoked_at = self._revocations.last_at(names_of(subject, control.chain), control.epoch)
        if revoked_at is not None and (number_of(document.get("iat")) or 0) <= revoked_at:
            raise _invalid("a document of before a revocation")

    def _require_unused(self, envelope: UnverifiedEnvelope) -> None:
        """A ticket or grant lets one instance be; told by what was signed, since a signature has more than one form."""
        digest = encode_base64url(sha256(envelope.payload))
        if digest in self._used:
            raise _invalid("a ticket or grant that was used before")
        self._used.add(digest)

    def _require_possession(self, subject: str, control: ControlRecord) -> EllipticCurvePublicKey:
        """The new key signed for this very document, so that one document cannot serve a key of somebody else."""
        details = control.details
        svid = self._svids.verify(text_of(details.get("svid_sha256")), seconds_of(control.time))
        envelope = parse_envelope(text_of(details.get("possession")))
        require_signed(envelope, "possession", svid.public_key)
        proof = parse_unverified_payload(envelope)
        if svid.spiffe_id != subject or proof.get("enrolment_sha256") != bound_digest_of(control):
            raise _invalid("a proof of another key")
        return svid.public_key


def _require_holder(document: JsonObject, key: EllipticCurvePublicKey) -> None:
    """A document that names the key which may use it lets in no other."""
    named = document.get("child_thumbprint", document.get("holder_thumbprint"))
    if named is not None and named != format_thumbprint(key):
        raise _invalid("a document for another key")


def _is_service(document: JsonObject) -> bool:
    """Whether a server lets something be with it that is no agent."""
    return document.get("kind") in ("verifier", "relay")


def _require_current(document: JsonObject, control: ControlRecord) -> None:
    """Whoever signed a document said until when it lets somebody be: at the time of the event it must be in force."""
    at, begin, end = seconds_of(control.time), number_of(document.get("iat")), number_of(document.get("exp"))
    if begin is None or end is None or end <= begin:
        raise _invalid("a document without its time")
    if begin > at + _SKEW_SECONDS:
        raise _invalid("a document of later")
    if at >= end + _SKEW_SECONDS:
        raise _invalid("a document that had expired")


def _require_named(document: JsonObject, subject: str) -> None:
    """Whoever signed a document let somebody be of one trust domain, path and name, and no other."""
    path = f"trustwarden/{joined(document.get('kind'))}" if _is_service(document) else document.get("path")
    parts = [document.get("aud"), path, document.get("name")]
    if subject.rpartition("/")[0] != "/".join(joined(part) for part in parts if part != ""):
        raise _invalid("another name than was signed")


def _invalid(reason: str) -> TrustWardenError:
    return TrustWardenError("record_malformed", {"reason": reason})
