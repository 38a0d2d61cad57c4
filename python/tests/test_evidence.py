"""Evidence bundles as a real server makes them: what they answer, and that a changed one answers nothing."""

from __future__ import annotations

import pytest

from live import LiveServer
from trustwarden import AgentIdentity, DeniedError, EvidenceTrust, TrustWardenError, verify_evidence


@pytest.fixture
def trust(live: LiveServer) -> EvidenceTrust:
    return EvidenceTrust(log_vkey=live.discovery["log_vkey"], bundle=live.read_text("/v1/bundle"))


def test_a_bundle_of_an_agent_says_who_did_it_who_authorized_it_and_how_it_ended(
    live: LiveServer, finance: str, orchestrator: AgentIdentity, trust: EvidenceTrust
) -> None:
    with orchestrator.spawn(name="payments", scope=["read:transactions"]) as child:
        assert child.fetch(f"{finance}/transactions").status_code == 200
        with pytest.raises(DeniedError):
            child.act("write:ledger", "ledger://books").__enter__()
        bundle = live.read_bytes(f"/v1/evidence?agent={child.agent_id}")
        report = verify_evidence(bundle, trust)
    assert report.signatures == report.entries
    assert report.policies.held == report.policies.named == 1
    done = {answer.event.action: answer for answer in report.events if answer.event.kind == "action"}
    read = done["read:transactions"]
    assert read.event.agent_identity == child.id
    assert [(one.document, one.subject) for one in read.authorized_by] == [
        ("ticket", orchestrator.id),
        ("grant", child.id),
    ]
    assert done["write:ledger"].stopped_by[0].startswith("denied: scope_not_covered")


def test_a_bundle_of_everything_holds_and_any_other_bytes_do_not(live: LiveServer, trust: EvidenceTrust) -> None:
    bundle = live.read_bytes("/v1/evidence?since=2020-01-01T00:00:00Z")
    assert verify_evidence(bundle, trust).manifest.range is not None
    for at in range(40, len(bundle), len(bundle) // 40):
        changed = bytes([*bundle[:at], bundle[at] ^ 1, *bundle[at + 1 :]])
        with pytest.raises(TrustWardenError):
            verify_evidence(changed, trust)


def test_the_log_and_the_roots_come_from_the_caller_only(live: LiveServer, trust: EvidenceTrust) -> None:
    bundle = live.read_bytes("/v1/evidence?since=2020-01-01T00:00:00Z")
    with pytest.raises(TrustWardenError, match="evidence_bundle_invalid"):
        verify_evidence(bundle, EvidenceTrust(log_vkey=trust.log_vkey, fingerprints=["00" * 32]))
    with pytest.raises(TrustWardenError, match="witness_policy_malformed"):
        verify_evidence(bundle, EvidenceTrust(log_vkey="nobody", bundle=trust.bundle))
