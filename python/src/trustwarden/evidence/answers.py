"""The three questions about each event of a bundle: which agent, who authorized it, what stops or stopped it.

Reads records that an audit has proven; it proves nothing itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from .._bytes import encode_base64
from .._json import is_json_list
from ..dsse import parse_envelope, parse_unverified_payload
from ..records import ControlRecord, DecisionRecord, Intent, OutcomeRecord
from .contents import EventIndexes
from .entries import joined
from .log_records import UnverifiedRecord
from .presented import PresentedIntent
from .revocations import is_ending, names_of


@dataclass(frozen=True, slots=True)
class JoinedEvent:
    """Who did what, to what, when, allowed by whom, and how it ended."""

    event_id: str
    kind: str
    """`action`, or the kind of the control event."""
    agent_id: str | None
    agent_identity: str | None
    """SPIFFE ID of the instance."""
    parent_agent_id: str | None
    owner_id: str | None
    chain: tuple[str, ...]
    action: str | None
    resource: str | None
    timestamp: str
    outcome: str
    """`success`, `failure`, `aborted`, `denied` or `pending`."""
    reasons: tuple[str, ...]
    action_class: str | None
    enforcement: str | None
    authorized_by: str
    """`policy:<name>@<digest>`, with the approval that it took; for a control event its principal."""
    signature: str
    """base64 signature of the agent's intent; of the control record when there is none."""
    indexes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Delegation:
    """One signed document that let somebody be."""

    by: str
    document: str
    """`ticket`, `grant`, `entry` or `registration`."""
    subject: str
    scope: tuple[str, ...]
    index: int


@dataclass(frozen=True, slots=True)
class EventAnswer:
    """What is known of one event."""

    event: JoinedEvent
    authorized_by: tuple[Delegation, ...]
    """From the owner down to the instance; empty for an event without an agent."""
    stopped_by: tuple[str, ...]
    """Refusal reasons, and revocations of anybody in the chain, as far as the bundle holds them."""


def answer_events(events: Iterable[EventIndexes], records: Mapping[int, UnverifiedRecord]) -> tuple[EventAnswer, ...]:
    """Answers about each event of the list, in its order."""
    controls = [
        (index, record.value)
        for index, record in records.items()
        if isinstance(record.value, ControlRecord) and record.value.allow
    ]
    issues = [(index, control) for index, control in controls if control.kind == "issue"]
    stops = [(index, control) for index, control in controls if is_ending(control)]
    answers: list[EventAnswer] = []
    for listed in events:
        event = _join_all(listed.indexes, records)
        if event is None:
            continue
        identity = event.agent_identity
        names = set[str]() if identity is None else set(names_of(identity, event.chain))
        denied = f"denied: {', '.join(event.reasons)} ({event.authorized_by})"
        stopped = [_format_stop(index, control) for index, control in stops if (control.subject or "") in names]
        until = listed.indexes[min(1, len(listed.indexes) - 1)]
        delegations = () if identity is None else _delegations_of(identity, issues, until)
        answers.append(EventAnswer(event, delegations, (*([denied] if event.outcome == "denied" else []), *stopped)))
    return tuple(answers)


def _join_all(indexes: Iterable[int], records: Mapping[int, UnverifiedRecord]) -> JoinedEvent | None:
    event: JoinedEvent | None = None
    for index in indexes:
        record = records.get(index)
        if record is None:
            continue
        before = event or _begin_event(record)
        event = replace(_with(before, record), indexes=(*before.indexes, index))
    return event


def _begin_event(record: UnverifiedRecord) -> JoinedEvent:
    signature = encode_base64(record.envelope.signature) if isinstance(record.value, ControlRecord) else ""
    return JoinedEvent(
        event_id=record.value.event_id,
        kind="action",
        agent_id=None,
        agent_identity=None,
        parent_agent_id=None,
        owner_id=None,
        chain=(),
        action=None,
        resource=None,
        timestamp=record.value.time,
        outcome="pending",
        reasons=(),
        action_class=None,
        enforcement=None,
        authorized_by="nobody",
        signature=signature,
        indexes=(),
    )


def _with(event: JoinedEvent, record: UnverifiedRecord) -> JoinedEvent:
    value = record.value
    if isinstance(value, (Intent, PresentedIntent)):
        return replace(
            event,
            agent_id=value.agent.id,
            agent_identity=value.agent.spiffe_id,
            action=value.action,
            resource=value.resource,
            timestamp=value.time,
            signature=encode_base64(record.envelope.signature),
        )
    if isinstance(value, DecisionRecord):
        return _with_decision(event, value)
    if isinstance(value, OutcomeRecord):
        # A denied action has no outcome; one that claims to have happened anyway must not hide the denial.
        return event if event.outcome == "denied" else replace(event, outcome=value.status)
    return _with_control(event, value)


def _with_decision(event: JoinedEvent, decision: DecisionRecord) -> JoinedEvent:
    approval = decision.approval
    approver = "" if approval is None else f" approved by owner:{approval.owner} ({approval.id})"
    return replace(
        _with_chain(event, decision.chain),
        outcome=event.outcome if decision.allow else "denied",
        reasons=decision.reasons,
        action_class=decision.action_class,
        enforcement=decision.enforcement,
        authorized_by=f"policy:{decision.policy_name}@{decision.policy_sha256}{approver}",
    )


def _with_control(event: JoinedEvent, control: ControlRecord) -> JoinedEvent:
    details, last = control.details, control.chain[-1] if control.chain else ""
    spiffe_id, agent_id = details.get("spiffe_id"), details.get("agent_id")
    identity = spiffe_id if isinstance(spiffe_id, str) else control.subject
    is_id = identity is not None and identity.startswith("spiffe://")
    last_agent = last if last.startswith("agt_") else None
    return replace(
        _with_chain(event, control.chain),
        kind=control.kind,
        agent_id=event.agent_id or (agent_id if isinstance(agent_id, str) else last_agent),
        agent_identity=event.agent_identity or (identity if is_id else None),
        resource=event.resource or control.subject,
        outcome="success" if control.allow else "denied",
        reasons=control.reasons,
        authorized_by=control.principal,
    )


def _with_chain(event: JoinedEvent, chain: tuple[str, ...]) -> JoinedEvent:
    first = chain[0] if chain else ""
    parent = chain[-2] if len(chain) > 1 else ""
    return replace(
        event,
        chain=chain,
        owner_id=first.removeprefix("owner:") if first.startswith("owner:") else None,
        parent_agent_id=parent if parent.startswith("agt_") else None,
    )


def _delegations_of(identity: str, issues: Sequence[tuple[int, ControlRecord]], until: int) -> tuple[Delegation, ...]:
    """From the owner down, each issued before the one that it let be.

    A workload of elsewhere may be registered anew when it had ended, and what it did before was by the word of before.
    """
    found: list[Delegation] = []
    subject, last = identity, until
    while known := [one for one in issues if one[0] <= last and one[1].subject == subject]:
        index, control = known[-1]
        delegation = _delegation_of(subject, index, control)
        found.insert(0, delegation)
        if delegation.document != "grant":
            break
        subject, last = delegation.by, index - 1
    return tuple(found)


def _delegation_of(subject: str, index: int, control: ControlRecord) -> Delegation:
    details = control.details
    document = parse_unverified_payload(parse_envelope(joined(details.get("enrolment"))))
    owner, parent, via, scope = document.get("owner"), document.get("parent"), details.get("via"), details.get("scope")
    by = parent if isinstance(parent, str) else owner if isinstance(owner, str) else control.principal
    kind = {"entry": "entry", "foreign": "registration"}.get(via if isinstance(via, str) else "")
    atoms = tuple(joined(atom) for atom in scope) if is_json_list(scope) else ()
    return Delegation(by, kind or ("grant" if isinstance(parent, str) else "ticket"), subject, atoms, index)


def _format_stop(index: int, control: ControlRecord) -> str:
    details, what = control.details, f"revoked: {control.subject}"
    if control.kind == "transfer":
        what = f"given away: {control.subject} by {details.get('from')} to {details.get('owner')}"
    return f"{what} at epoch {control.epoch}, {control.time} (entry {index})"
