"""The records of the ledger: what happened, in the words that are signed.

Intent, decision and outcome are the three records of one action, joined by `event_id` and `intent_sha256`; a control
record is one event of the control plane. Parsing is closed: an unknown member is refused, so that nothing rides along
unseen under a signature. Whoever verifies signatures uses `dsse`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from ._fields import Fields, parse_time_ms
from ._json import JsonObject

MAX_INTENT_SECONDS = 60
"""An intent lives at most this long."""

ActionClass: TypeAlias = Literal["A", "B", "C"]
Enforcement: TypeAlias = Literal["gateway", "service", "self"]
Status: TypeAlias = Literal["success", "failure", "aborted"]

_STRENGTHS = ("none", "same_uid", "unix", "launcher", "network")
CONTROL_KINDS = (
    "start",
    "owner",
    "ticket",
    "issue",
    "renew",
    "jwt",
    "token",
    "wit",
    "refuse",
    "revoke",
    "narrow",
    "entry",
    "node",
    "authority",
    "federation",
    "budget",
    "upstream",
    "secret",
    "alarm",
    "policy",
    "approval",
    "evaluation",
    "read",
    "admin",
    "person",
    "session",
    "confirmation",
    "transfer",
)
"""Every kind of event of the control plane; a test compares them with `core/event.ts`."""


@dataclass(frozen=True, slots=True)
class IntentAgent:
    """Who signed an intent."""

    id: str
    spiffe_id: str
    svid_sha256: str


@dataclass(frozen=True, slots=True)
class Intent:
    """Signed by the instance's SVID key at the moment of action."""

    event_id: str
    agent: IntentAgent
    action: str
    resource: str
    request: str | None
    params: str | None
    aud: str
    job: str | None
    time: str
    exp: int
    seq: int
    prev: str | None


@dataclass(frozen=True, slots=True)
class ApprovalReference:
    """The approval that a decision used up."""

    id: str
    owner: str
    envelope_sha256: str


@dataclass(frozen=True, slots=True)
class DecisionRecord:
    """Signed by the guard's SVID; logged directly after its intent."""

    event_id: str
    intent_sha256: str
    allow: bool
    reasons: tuple[str, ...]
    action_class: ActionClass
    chain: tuple[str, ...]
    """`owner:<id>`, then agent ids from the root down."""
    policy_name: str
    policy_sha256: str
    approval: ApprovalReference | None
    peer: str
    custody: str
    enforcement: Enforcement
    lease_epoch: int
    time: str


@dataclass(frozen=True, slots=True)
class OutcomeRecord:
    """Signed by the enforcement point named in the intent's `aud` (the agent itself for `self`)."""

    event_id: str
    intent_sha256: str
    decision_index: int
    status: Status
    result: str | None
    bytes: int
    duration_ms: int
    time: str


@dataclass(frozen=True, slots=True)
class ControlRecord:
    """One event of the control plane, signed by `/trustwarden/server/<id>`."""

    event_id: str
    kind: str
    allow: bool
    reasons: tuple[str, ...]
    principal: str
    subject: str | None
    chain: tuple[str, ...]
    intent_sha256: str | None
    epoch: int
    details: JsonObject
    time: str


def parse_intent(json: JsonObject) -> Intent:
    """An intent from its signed payload.

    Raises: TrustWardenError `record_malformed`.
    """
    fields = Fields(json, "record_malformed")
    agent = fields.object("agent")
    _read_seen(fields)
    fields.version()
    intent = Intent(
        event_id=fields.event_id(),
        agent=IntentAgent(agent.text("id"), agent.text("spiffe_id"), agent.digest("svid_sha256")),
        action=fields.text("action"),
        resource=fields.text("resource"),
        request=fields.digest_or_null("request"),
        params=fields.digest_or_null("params"),
        aud=fields.text("aud"),
        job=fields.text_or_null("job"),
        time=fields.time("time"),
        exp=fields.integer("exp"),
        seq=fields.integer("seq"),
        prev=fields.digest_or_null("prev"),
    )
    agent.end()
    fields.end()
    return intent


def _read_seen(fields: Fields) -> None:
    """The latest checkpoint that the agent had seen; bounds backdating, and nothing here compares it."""
    if fields.is_null("seen"):
        fields.null("seen")
        return
    seen = fields.object("seen")
    seen.text("origin")
    seen.integer("size")
    seen.text("root")
    seen.end()


def parse_decision_record(json: JsonObject) -> DecisionRecord:
    """A decision from its payload.

    Raises: TrustWardenError `record_malformed`.
    """
    fields = Fields(json, "record_malformed")
    policy, peer, attested = fields.object("policy"), fields.object("from"), fields.object("attested")
    fields.version()
    record = DecisionRecord(
        event_id=fields.event_id(),
        intent_sha256=fields.digest("intent_sha256"),
        allow=fields.boolean("allow"),
        reasons=fields.texts("reasons"),
        action_class=fields.one_of("class", ("A", "B", "C")),
        chain=fields.texts("chain"),
        policy_name=policy.text("name"),
        policy_sha256=policy.digest("bundle_sha256"),
        approval=_parse_approval(fields),
        peer=peer.text("peer"),
        custody=fields.one_of("custody", ("agent", "delivered", "sidecar")),
        enforcement=fields.one_of("enforcement", ("gateway", "service", "self")),
        lease_epoch=fields.integer("lease_epoch"),
        time=fields.time("time"),
    )
    attested.text("type")
    attested.one_of("strength", _STRENGTHS)
    attested.digest_or_null("composition_sha256")
    for part in (policy, peer, attested, fields):
        part.end()
    return record


def _parse_approval(fields: Fields) -> ApprovalReference | None:
    if fields.is_null("approval"):
        return fields.null("approval")
    approval = fields.object("approval")
    value = ApprovalReference(approval.event_id("id"), approval.text("owner"), approval.digest("envelope_sha256"))
    approval.end()
    return value


def parse_outcome_record(json: JsonObject) -> OutcomeRecord:
    """An outcome from its payload.

    Raises: TrustWardenError `record_malformed`.
    """
    fields = Fields(json, "record_malformed")
    fields.version()
    record = OutcomeRecord(
        event_id=fields.event_id(),
        intent_sha256=fields.digest("intent_sha256"),
        decision_index=fields.integer("decision_index"),
        status=fields.one_of("status", ("success", "failure", "aborted")),
        result=fields.digest_or_null("result"),
        bytes=fields.integer("bytes"),
        duration_ms=fields.integer("duration_ms"),
        time=fields.time("time"),
    )
    fields.end()
    return record


def parse_control_record(json: JsonObject) -> ControlRecord:
    """An event of the control plane from its payload.

    Raises: TrustWardenError `record_malformed`.
    """
    fields = Fields(json, "record_malformed")
    peer = fields.object("from")
    fields.version()
    record = ControlRecord(
        event_id=fields.event_id(),
        kind=fields.one_of("kind", CONTROL_KINDS),
        allow=fields.boolean("allow"),
        reasons=fields.texts("reasons"),
        principal=fields.text("principal"),
        subject=fields.text_or_null("subject"),
        chain=fields.texts("chain"),
        intent_sha256=fields.digest_or_null("intent_sha256"),
        epoch=fields.integer("epoch"),
        details=fields.json("details"),
        time=fields.time("time"),
    )
    peer.text("peer")
    peer.end()
    fields.end()
    return record


def seconds_of(time: str) -> int:
    """Unix seconds of a record's time, which its parser has read."""
    at = parse_time_ms(time)
    if at is None:
        raise ValueError("a record's time was read when it was parsed")
    return at // 1000
