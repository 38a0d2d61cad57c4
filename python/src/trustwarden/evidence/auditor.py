"""Checks every record of a part of a log: who signed it, whether that one may, and whether the records agree.

Signatures are judged as of the record's own time, so that a record stays good after its signer's SVID expired or was
revoked. What only the whole part shows (missing outcomes) is reported by `finish`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from ..errors import TrustWardenError
from ..records import ControlRecord, DecisionRecord, Intent, OutcomeRecord, seconds_of
from .approvals import ApprovalAuditor
from .confirmations import ConfirmationAuditor
from .enrolments import SERVER_ID, EnrolmentAuditor
from .log_records import UnverifiedRecord, credential_of, intent_digest_of, parse_record, record_key, require_record
from .presented import PresentedAuditor, PresentedIntent
from .revocations import Revocations, names_of
from .svids import SvidDirectory

ALARMS = frozenset(
    {
        "record_repeated",
        "intent_without_decision",
        "decision_without_intent",
        "decision_without_outcome",
        "outcome_without_decision",
        "allowed_after_revocation",
        "sequence_gap",
        "sequence_repeated",
        "previous_mismatch",
        "earlier_checkpoint_missing",
    }
)
"""Findings that leave the log whole, with a hole or contradiction that somebody must explain; all others are damage."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing found."""

    code: str
    place: str
    """`entry <index>`, or an instance's SPIFFE ID."""
    detail: str
    """What exactly, for a person."""

    @property
    def severity(self) -> str:
        """`damage`, or `alarm`."""
        return "alarm" if self.code in ALARMS else "damage"


@dataclass(slots=True)
class _Action:
    """An intent and what came of it so far."""

    index: int
    intent: Intent | PresentedIntent
    credential: str
    decision: DecisionRecord | None = None
    control: ControlRecord | None = None
    outcome: OutcomeRecord | None = None


@dataclass(frozen=True, slots=True)
class SequencedIntent:
    """An intent, as far as counting goes."""

    index: int
    seq: int
    prev: str | None
    payload_sha256: str


@dataclass
class RecordAuditor:
    """Owns what later records are checked against; lives for one audit."""

    svids: SvidDirectory
    findings: list[Finding] = field(default_factory=list[Finding])
    signatures: int = 0
    """Signatures that verified."""

    def __post_init__(self) -> None:
        self._revocations = Revocations()
        self._enrolments = EnrolmentAuditor(self.svids, self._revocations)
        self._presented = PresentedAuditor()
        self._approvals = ApprovalAuditor(self._enrolments.owner_key)
        self._confirmations = ConfirmationAuditor()
        self._actions: dict[str, _Action] = {}
        self._payloads: dict[tuple[str, str, str, str], str] = {}
        self._previous: tuple[int, str] | None = None

    def add(self, index: int, entry: bytes) -> UnverifiedRecord | None:
        """Checks one entry; call in the order of the log. Gives the record when it could be read."""
        before = self._previous[1] if self._previous is not None and self._previous[0] == index - 1 else None
        self._previous = None
        try:
            record = parse_record(entry)
        except TrustWardenError as error:
            self._find("record_unreadable", index, error.code)
            return None
        self._previous = (index, record.entry_sha256)
        if isinstance(record.value, ControlRecord):
            try:
                self.svids.collect(record.value)
            except TrustWardenError as error:
                self._find("record_unreadable", index, f"svid_chain: {error.code}")
        signer = self._verify(index, record)
        if signer is not None and not self._is_repeated(index, record):
            self._join(index, record, signer, before)
        return record

    def finish(self) -> None:
        """Reports what is missing now that the log has ended."""
        for action in self._actions.values():
            if action.decision is None and action.control is None:
                self._find("intent_without_decision", action.index, "nobody decided about this intent")
            if action.decision is not None and action.decision.allow and action.outcome is None:
                detail = "allowed, but how it ended was never recorded"
                self._find("decision_without_outcome", action.index, detail)

    def _verify(self, index: int, record: UnverifiedRecord) -> str | None:
        """SPIFFE ID of the proven signer, or None after a report."""
        try:
            svid = self.svids.verify(record.envelope.unverified_keyid, seconds_of(record.value.time))
            require_record(record, svid)
        except TrustWardenError as error:
            self._find(_finding_of(error.code), index, error.code)
            return None
        self.signatures += 1
        if svid.is_foreign and record.kind not in ("intent", "outcome"):
            self._find("signer_not_allowed", index, f"a {record.kind} of another trust domain")
            return None
        return svid.spiffe_id

    def _is_repeated(self, index: int, record: UnverifiedRecord) -> bool:
        action = self._actions.get(intent_digest_of(record) or "")
        key = record_key(record, None if action is None else action.credential)
        known = self._payloads.get(key)
        if known is None:
            self._payloads[key] = record.payload_sha256
            return False
        if known == record.payload_sha256:
            self._find("record_repeated", index, "this record is in the log already")
        else:
            self._find("record_conflict", index, "event_conflict")
        return True

    def _join(self, index: int, record: UnverifiedRecord, signer: str, before: str | None) -> None:
        value = record.value
        if isinstance(value, Intent):
            if signer != value.agent.spiffe_id:
                self._find("signer_not_allowed", index, "the intent names another agent than signed it")
            self._begin(index, value, record)
        elif isinstance(value, PresentedIntent):
            self._join_presented(index, value, record, signer)
        elif isinstance(value, DecisionRecord):
            self._join_decision(index, value, signer, before)
        elif isinstance(value, OutcomeRecord):
            self._join_outcome(index, value, signer)
        else:
            self._join_control(index, value, signer, before)

    def _join_presented(self, index: int, intent: PresentedIntent, record: UnverifiedRecord, signer: str) -> None:
        if not SERVER_ID.fullmatch(signer):
            self._find("signer_not_allowed", index, "a presented intent that no server signed")
        try:
            fault = self._presented.find_fault(intent)
        except TrustWardenError as error:
            fault = error.code
        if fault is not None:
            self._find("presented_unproven", index, fault)
        self._begin(index, intent, record)

    def _begin(self, index: int, intent: Intent | PresentedIntent, record: UnverifiedRecord) -> None:
        self._actions[record.entry_sha256] = _Action(index, intent, credential_of(intent) or "")

    def _join_decision(self, index: int, decision: DecisionRecord, signer: str, before: str | None) -> None:
        if not SERVER_ID.fullmatch(signer):
            self._find("signer_not_allowed", index, "a decision that no server signed")
        action = self._actions.get(decision.intent_sha256)
        if action is None or before != decision.intent_sha256:
            self._find("decision_without_intent", index, "its intent is not the entry before it")
        if action is None:
            return
        intent = action.intent
        if intent.event_id != decision.event_id or decision.chain[-1:] != (intent.agent.id,):
            self._find("decision_mismatch", index, "event or agent is not the intent's")
        elif self._enrolments.chain_of(intent.agent.spiffe_id) != decision.chain:
            self._find("decision_mismatch", index, "its chain is not the one that the instance was issued with")
        if isinstance(intent, PresentedIntent) and self._presented.is_unsigned(intent, decision):
            self._find("presented_unproven", index, "allowed, but nobody had signed its body")
        self._audit("approval_unproven", index, (lambda: self._approvals.require_approved(decision, intent),))
        action.decision = decision
        if decision.allow:
            self._require_unrevoked(index, decision, intent)

    def _require_unrevoked(self, index: int, decision: DecisionRecord, intent: Intent | PresentedIntent) -> None:
        """A decision made on an epoch that includes a revocation must not allow what was revoked."""
        spiffe_id = intent.agent.spiffe_id
        issued_at = self._enrolments.issued_at(spiffe_id)
        after = -1 if issued_at is None else issued_at
        found = self._revocations.find(names_of(spiffe_id, decision.chain), after=after, until=decision.lease_epoch)
        if found is not None:
            self._find("allowed_after_revocation", index, f"{found[0]} was revoked at epoch {found[1]}")

    def _join_outcome(self, index: int, outcome: OutcomeRecord, signer: str) -> None:
        action = self._actions.get(outcome.intent_sha256)
        if action is None or action.decision is None or not action.decision.allow:
            self._find("outcome_without_decision", index, "nothing allowed what it reports")
            return
        intent = action.intent
        enforcer = intent.agent.spiffe_id if action.decision.enforcement == "self" else intent.aud
        if signer != enforcer:
            self._find("signer_not_allowed", index, "the outcome is not the enforcement point's")
        if outcome.event_id != intent.event_id or outcome.decision_index != action.index + 1:
            self._find("outcome_mismatch", index, "event or decision is not the intent's")
        action.outcome = outcome

    def _join_control(self, index: int, control: ControlRecord, signer: str, before: str | None) -> None:
        if not SERVER_ID.fullmatch(signer):
            self._find("signer_not_allowed", index, "a control record that no server signed")
        else:
            learning = [
                lambda: self._enrolments.add(control, signer),
                lambda: self._presented.learn(control),
                lambda: self._confirmations.add(control),
            ]
            if control.kind == "federation" and control.allow:
                learning.append(lambda: self.svids.learn(control))
            self._audit("enrolment_unproven", index, learning)
            self._audit("approval_unproven", index, (lambda: self._approvals.add(control, signer),))
        if control.intent_sha256 is not None:
            action = self._actions.get(control.intent_sha256)
            if action is None or before != control.intent_sha256:
                self._find("control_mismatch", index, "its intent is not the entry before it")
            if action is not None:
                action.control = control
        self._revocations.add(control)

    def _audit(self, code: str, index: int, checks: Iterable[Callable[[], None]]) -> None:
        try:
            for check in checks:
                check()
        except TrustWardenError as error:
            self._find(code, index, str(error.details.get("reason", error.code)))

    def _find(self, code: str, index: int, detail: str) -> None:
        self.findings.append(Finding(code, f"entry {index}", detail))


def audit_sequence(instance: str, intents: Iterable[SequencedIntent], *, from_one: bool) -> list[Finding]:
    """Gaps, repeats and broken links of one instance's count of its own intents."""
    ordered = sorted(intents, key=lambda intent: (intent.seq, intent.index))
    last = None if from_one or not ordered else ordered[0]
    findings: list[Finding] = []
    for intent in ordered if from_one else ordered[1:]:
        expected = (last.seq if last is not None else 0) + 1
        detail = f"seq {intent.seq} at entry {intent.index}"
        if last is not None and intent.seq == last.seq:
            findings.append(Finding("sequence_repeated", instance, detail))
        elif intent.seq != expected:
            findings.append(Finding("sequence_gap", instance, f"{detail}, expected {expected}"))
        elif intent.prev != (last.payload_sha256 if last is not None else None):
            findings.append(Finding("previous_mismatch", instance, detail))
        last = intent
    return findings


def _finding_of(code: str) -> str:
    if code == "not_found":
        return "svid_unknown"
    return "signature_bad" if code in ("signature_invalid", "svid_mismatch") else "svid_refused"
