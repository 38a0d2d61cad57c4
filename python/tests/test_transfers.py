"""An agent that changed hands: evidence over both owners, and logs that lie about whose it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from live import ROOT, Program
from trustwarden import EvidenceTrust, TrustWardenError, verify_evidence


def test_evidence_of_a_transfer_holds_and_no_forged_one_does(tmp_path: Path) -> None:
    program = Program([ROOT / "test/support/write-transfer-bundles.ts", tmp_path])
    program.close()
    accepted: list[str] = []
    for case in program.ready["cases"]:
        trust = EvidenceTrust(log_vkey=case["vkey"], bundle=program.ready["bundle"])
        data = (tmp_path / case["file"]).read_bytes()
        if case["isSound"]:
            accepted.append(case["name"])
            stops = [stop for event in verify_evidence(data, trust).events for stop in event.stopped_by]
            assert any(stop.startswith("given away: agt_") for stop in stops)
            continue
        with pytest.raises(TrustWardenError) as refused:
            verify_evidence(data, trust)
        assert refused.value.code == "evidence_bundle_invalid", case["name"]
    assert len(accepted) == 4 < len(program.ready["cases"])
