"""`verify_evidence`: an evidence bundle, verified offline against trust anchors that the caller brings.

A part of a log shows what is in it; that nothing is missing is shown for a range by its proof, and for an agent by its
own count.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from .._bytes import encode_base64, parse_utf8
from .._crypto import sha256
from ..bundle import TrustBundle, parse_trust_bundle
from ..dsse import verify_envelope
from ..errors import TrustWardenError
from ..log_proof import (
    Cosignature,
    TlogPolicy,
    parse_tlog_policy,
)
from ..notes import Checkpoint
from ..records import DecisionRecord, Intent, seconds_of
from ..spiffe import TrustDomain, parse_trust_domain
from .answers import EventAnswer, answer_events
from .auditor import Finding, RecordAuditor, SequencedIntent, audit_sequence
from .contents import (
    TRUST_FILE,
    EvidenceManifest,
    OpenedBundle,
    file_of,
    open_evidence_bundle,
)
from .enrolments import SERVER_ID
from .growth import EarlierCheckpoint, verify_growth
from .heads import invalid, require_in_log, require_shard_starts, verify_heads
from .log_records import UnverifiedRecord, event_group_of
from .payloads import DisclosedPayload, ErasedPayload, verify_payload_files
from .policies import verify_policy_files
from .svids import SvidDirectory


@dataclass(frozen=True, slots=True)
class EvidenceTrust:
    """Whom to believe; never taken from the bundle. One of each pair has to be given."""

    log_vkey: str | None = None
    """The log's key."""
    policy: str | None = None
    """Or the text of a C2SP tlog-policy with the log and the witnesses that have to have signed."""
    bundle: str | None = None
    """The text of a SPIFFE trust bundle that you kept."""
    fingerprints: Sequence[str] | None = None
    """Or SHA-256 fingerprints (hex) of root certificates."""
    earlier: str | None = None
    """A checkpoint of the log that you kept: the bundle has to show that the log was not rewritten since."""


@dataclass(frozen=True, slots=True)
class PolicyCount:
    """How many policies decided, and how many of them are in the bundle, code and data."""

    named: int
    held: int


@dataclass(frozen=True, slots=True)
class BundleReport:
    """What a bundle turned out to show."""

    manifest: EvidenceManifest
    checkpoint: Checkpoint
    cosignatures: tuple[Cosignature, ...]
    """Of the auditor's witnesses."""
    entries: int
    signatures: int
    """Signatures of records that verified with an SVID that chains to a trust root."""
    policies: PolicyCount
    earlier: EarlierCheckpoint | None
    """What the log grew out of without being rewritten; None when the bundle does not show it."""
    payloads: Mapping[str, DisclosedPayload | ErasedPayload]
    """Payloads that are here and open what was committed to, or were erased; by event id."""
    events: tuple[EventAnswer, ...]
    alarms: tuple[Finding, ...]
    """Gaps and contradictions that somebody must explain; the bundle is what was logged all the same."""


def verify_evidence(data: bytes, trust: EvidenceTrust) -> BundleReport:
    """Proves an evidence bundle (`.twb`) and answers who did it, who authorized it and what stops it, for each event.

    Raises: TrustWardenError `evidence_bundle_malformed`, `evidence_bundle_invalid`, `checkpoint_malformed`,
    `checkpoint_untrusted`, `checkpoint_unwitnessed`, `witness_policy_malformed`, `proof_malformed`, `proof_invalid`,
    and the codes of the trust bundle.
    """
    opened = open_evidence_bundle(data)
    trust_domain = parse_trust_domain(opened.unverified_manifest.trust_domain)
    svids = SvidDirectory(_trusted_roots(opened, trust, trust_domain))
    text = trust.policy if trust.policy is not None else f"log {trust.log_vkey or ''}\nquorum none\n"
    return _verify(opened, parse_tlog_policy(text), svids, trust.earlier)


def _trusted_roots(opened: OpenedBundle, trust: EvidenceTrust, trust_domain: TrustDomain) -> TrustBundle:
    if trust.bundle is not None:
        return parse_trust_bundle(trust.bundle, trust_domain)
    offered = parse_trust_bundle(parse_utf8(file_of(opened.files, TRUST_FILE)), trust_domain)
    wanted = {text.replace(":", "").lower() for text in trust.fingerprints or ()}
    known = tuple(root for root in offered.x509_authorities if sha256(root.der).hex() in wanted)
    if not known:
        raise invalid("roots", "none of your fingerprints")
    return replace(offered, x509_authorities=known)


def _verify(opened: OpenedBundle, policy: TlogPolicy, svids: SvidDirectory, held: str | None) -> BundleReport:
    manifest = opened.unverified_manifest
    heads = verify_heads(opened, policy, manifest.log_vkey)
    checkpoint, cosignatures = heads[-1].checkpoint, heads[-1].cosignatures
    # That the manifest names the same tree keeps its words honest.
    if (manifest.log_size, manifest.log_root) != (checkpoint.size, encode_base64(checkpoint.root)):
        raise invalid("manifest", "the manifest names another tree than the checkpoint")
    require_in_log(opened, heads)
    marks = require_shard_starts(opened, heads, manifest.log_vkey)
    earlier = verify_growth(opened, heads, held)
    auditor = RecordAuditor(svids)
    found = ((index, auditor.add(index, entry)) for index, entry in opened.entries.items() if index not in marks)
    records = {index: record for index, record in found if record is not None}
    auditor.finish()
    findings = [*auditor.findings, *_audit_counts(opened, records)]
    if held is not None and earlier is None:
        detail = "nothing leads from yours to this log"
        findings.insert(0, Finding("earlier_checkpoint_missing", "checkpoint.prev", detail))
    damage = next((finding for finding in findings if finding.severity == "damage"), None)
    if damage is not None:
        raise invalid(damage.code, damage.detail, damage.place)
    _require_whole_events(opened, records)
    _require_shown(opened, records)
    _require_manifest_signed(opened, svids)
    policies = verify_policy_files(opened.files)
    named = {record.value.policy_sha256 for record in records.values() if isinstance(record.value, DecisionRecord)}
    return BundleReport(
        manifest=manifest,
        checkpoint=checkpoint,
        cosignatures=cosignatures,
        entries=len(opened.entries),
        signatures=auditor.signatures,
        policies=PolicyCount(len(named), len(named & policies)),
        earlier=earlier,
        payloads=verify_payload_files(opened, records),
        events=answer_events(opened.events, records),
        alarms=tuple(findings),
    )


def _audit_counts(opened: OpenedBundle, records: Mapping[int, UnverifiedRecord]) -> list[Finding]:
    """What the selection promises to be whole is counted: the intents of each instance between two entries, or all."""
    selection = opened.unverified_manifest.selection
    if selection.kind in ("event", "job"):
        return []
    chosen = {index for event in opened.events for index in event.indexes}
    instances: dict[str, list[SequencedIntent]] = {}
    for index, record in records.items():
        value = record.value
        if not isinstance(value, Intent) or index not in chosen:
            continue
        # Many processes may hold one foreign identity, each with a count of its own.
        if value.agent.spiffe_id.split("/")[2:3] != [opened.unverified_manifest.trust_domain]:
            continue
        intent = SequencedIntent(index, value.seq, value.prev, record.payload_sha256)
        instances.setdefault(value.agent.spiffe_id, []).append(intent)
    from_one = selection.kind == "agent" and selection.since is None
    return [
        finding
        for instance, intents in instances.items()
        for finding in audit_sequence(instance, intents, from_one=from_one)
    ]


def _require_whole_events(opened: OpenedBundle, records: Mapping[int, UnverifiedRecord]) -> None:
    """An event is shown with all its records that the bundle has, and under its own id."""
    groups: dict[str, list[int]] = {}
    for index, record in records.items():
        groups.setdefault(event_group_of(record), []).append(index)
    for event in opened.events:
        first = records.get(event.indexes[0])
        group = [] if first is None else groups[event_group_of(first)]
        if first is None or first.value.event_id != event.event_id or tuple(group) != event.indexes:
            raise invalid("event", "its records are not those that events.json names", event.event_id)
    manifest = opened.unverified_manifest
    if (manifest.events, manifest.entries) != (len(opened.events), len(opened.entries)):
        raise invalid("manifest", "other numbers")
    if (manifest.selection.kind == "range") != (manifest.range is not None):
        raise invalid("manifest", "range")


def _require_shown(opened: OpenedBundle, records: Mapping[int, UnverifiedRecord]) -> None:
    """Of a range every event is shown: its entries could else stand among those that verdicts rest on."""
    span = opened.unverified_manifest.range
    if span is None:
        return
    shown = {event.indexes[0] for event in opened.events}
    begun: set[str] = set()
    for index, record in records.items():
        group = event_group_of(record)
        is_begin = span[0] <= index < span[1] and record.kind not in ("decision", "outcome")
        if group in begun or not is_begin:
            continue
        begun.add(group)
        if index not in shown:
            raise invalid("event", "of the range, and not in events.json", record.value.event_id)


def _require_manifest_signed(opened: OpenedBundle, svids: SvidDirectory) -> None:
    manifest = opened.unverified_manifest
    try:
        svid = svids.verify(opened.envelope.unverified_keyid, seconds_of(manifest.time))
        verify_envelope(opened.envelope, "evidence", svid.public_key)
    except TrustWardenError as cause:
        raise invalid("manifest", cause.code) from cause
    is_own = not svid.is_foreign and svid.spiffe_id.split("/")[2] == manifest.trust_domain
    if not is_own or not SERVER_ID.fullmatch(svid.spiffe_id):
        raise invalid("manifest", "not signed by a server of its trust domain")
