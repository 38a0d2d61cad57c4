"""What a second admin confirmed: evidence holds with that one's own passkey, and logs that lie about it do not."""

from __future__ import annotations

from pathlib import Path

import pytest

from live import ROOT, Program
from trustwarden import EvidenceTrust, TrustWardenError, verify_evidence


def test_evidence_of_a_confirmation_holds_and_no_forged_one_does(tmp_path: Path) -> None:
    program = Program([ROOT / "test/support/write-confirmation-bundles.ts", tmp_path])
    program.close()
    accepted: list[str] = []
    for case in program.ready["cases"]:
        trust = EvidenceTrust(log_vkey=case["vkey"], bundle=program.ready["bundle"])
        data = (tmp_path / case["file"]).read_bytes()
        if case["isSound"]:
            verify_evidence(data, trust)
            accepted.append(case["name"])
            continue
        with pytest.raises(TrustWardenError) as refused:
            verify_evidence(data, trust)
        assert refused.value.code == "evidence_bundle_invalid", case["name"]
    assert len(accepted) == 2 < len(program.ready["cases"])
